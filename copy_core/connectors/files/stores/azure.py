"""Objects in a container of Azure Blob Storage or ADLS Gen2, through the Blob service."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceModifiedError
from azure.storage.blob import BlobClient, BlobProperties

from copy_core.connectors.files.store import (
    ANYTHING,
    FEW,
    NOTHING,
    Entry,
    Properties,
    Store,
    Upload,
    confined,
)
from copy_core.connectors.files.stores import azure_copy, azure_listing, azure_remove
from copy_core.connectors.files.stores.azure_faults import ABSENT, code_of, faults
from copy_core.connectors.files.stores.azure_fetch import Address, Fetching, same
from copy_core.connectors.files.stores.azure_login import Login
from copy_core.connectors.files.stores.azure_properties import described, properties_of
from copy_core.connectors.files.stores.azure_upload import (
    BlockUpload,
    nanoseconds,
    plain,
    written,
)
from copy_core.errors import ConfigError, ConflictError, TransientError

if TYPE_CHECKING:
    from copy_core.connectors.file_options import AzureStorageOptions

_SIGNED_SECONDS = 3600
_CLOCK_TRIES = 5


class AzureStore(Store):
    """The objects of a container below a prefix.

    Args:
        options: the connection, secrets resolved.

    Attributes:
        page_size: how many objects a request for a listing asks for.
        version: the version of the service that is spoken; None is the SDK's newest.
        take_away: removes up to `azure_remove.BATCH` blobs.
    """

    tick_ns = 10**9
    page_size = 5_000
    version: ClassVar[str | None] = None
    take_away = staticmethod(azure_remove.together)

    def __init__(self, options: AzureStorageOptions) -> None:
        self._login = Login(options)
        self._client = self._login.container(self.version)
        prefix = options.prefix.strip("/")
        self._root = f"{confined(prefix)}/" if prefix else ""
        self._named_so = options.type == "adls_gen2"
        self._is_deep: bool | None = None
        self._fetching = Fetching()
        self.label = f"{self._login.account_url}/{options.container}/{prefix}".rstrip("/")

    def now(self) -> int:
        dates: list[str] = []

        def keep(pipeline: Any) -> None:
            answer = pipeline.http_response
            status, date = answer.status_code, answer.headers.get("Date")
            if date and (status < 300 or status == 404):  # where there is no folder there is a time
                dates.append(date)

        for _ in range(_CLOCK_TRIES):
            found = self._client.list_blobs(self._root, results_per_page=1, raw_response_hook=keep)
            next(azure_listing.pages(found), None)
            if dates:
                return nanoseconds(parsedate_to_datetime(dates[-1]))
            # The SDK forgot the hook: a connection broke, and it tried again by itself.
        raise TransientError(
            "the connection breaks whenever the service is asked for its time",
            fix="If it goes on, check the network",
            code="storage-unreachable",
        )

    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        return self._listed(prefix, after, self.page_size)

    def holds(self, prefix: str) -> bool:
        return next(self._listed(prefix, "", FEW), None) is not None

    def _listed(self, prefix: str, after: str, page: int) -> Iterator[Entry]:
        # Whoever says that there is a hierarchy is believed: walking a flat account is right too.
        walk = azure_listing.deep if self._named_so or self._deep() else azure_listing.flat
        begin = self._root + after if after else ""
        for blob in walk(self._client, self._root + prefix, begin, page):
            yield self._entry(blob)

    def stat(self, key: str) -> Entry | None:
        with faults(key):
            found = azure_copy.looked(self._blob(key))
        if found is None or azure_listing.is_folder(found):
            return None
        return self._entry(found)

    def properties(self, entry: Entry) -> Properties:
        blob = self._blob(entry.key)
        with self._unless_gone(blob, entry):
            found = blob.get_blob_properties(**_still(entry))
            return properties_of(found, blob.get_blob_tags() if found.tag_count else {})

    def read(self, entry: Entry, start: int, length: int) -> bytes:
        return self._downloaded(entry, start, length)[0] if length else b""

    def fetch(self, entry: Entry) -> tuple[bytes, Properties]:
        if not entry.size:
            return b"", self.properties(entry)
        data, found = self._downloaded(entry, 0, entry.size)
        blob = self._blob(entry.key)
        with self._unless_gone(blob, entry):
            return data, properties_of(found, blob.get_blob_tags() if found.tag_count else {})

    def _downloaded(self, entry: Entry, start: int, length: int) -> tuple[bytes, BlobProperties]:
        blob = self._blob(entry.key)
        with self._unless_gone(blob, entry):
            # Unpacked, bytes would be others than the object's.
            came = blob.download_blob(start, length, decompress=False, **_still(entry))
            data: bytes = came.readall()
        if len(data) != length:
            raise TransientError(
                f"{len(data)} bytes came of {length}", code="short-read", file=entry.key
            )
        known = came.properties.content_settings.content_md5 if length == entry.size else None
        if known and hashlib.md5(data, usedforsecurity=False).digest() != bytes(known):
            raise TransientError(
                "the bytes that came have another MD5 than the object",
                fix="If it goes on, its Content-MD5 was set wrong by whoever wrote it: correct it",
                code="checksum",
                file=entry.key,
            )
        return data, came.properties

    def put(
        self,
        key: str,
        data: bytes,
        replacing: str | None = ANYTHING,
        properties: Properties | None = None,
    ) -> Entry:
        blob, how = self._blob(key), self._described(properties)
        if replacing is not ANYTHING:
            # A second try would be refused because of the first, if only its answer was lost.
            how |= {"retry_total": 0} | _only(replacing)
        with faults(key):
            try:
                return written(blob, key, data, **how)
            except HttpResponseError as e:
                if replacing is ANYTHING or code_of(e) not in _OTHERS:
                    raise
                raise ConflictError(
                    "another writer changed the object meanwhile", code="etag-changed", file=key
                ) from e

    def upload(
        self, key: str, size: int | None = None, properties: Properties | None = None
    ) -> Upload:
        return BlockUpload(self._blob(key), key, size, self._described(properties))

    def move(self, source: str, key: str) -> None:
        (address, token), target = self.address(source), self._blob(key)
        if source != key:
            with faults(source):
                azure_copy.move(self._blob(source), target, address, token)

    def remove(self, keys: Iterable[str]) -> None:
        self._remove((key, None) for key in keys)

    def discard(self, objects: Iterable[tuple[str, str]]) -> None:
        self._remove(objects)

    def _remove(self, objects: Iterable[tuple[str, str | None]]) -> None:
        blobs = (azure_remove.Blob(key, self._name(key), etag) for key, etag in objects)
        while batch := list(islice(blobs, azure_remove.BATCH)):
            self.take_away(self._client, batch)

    def copied(
        self,
        source: Store,
        entry: Entry,
        key: str,
        properties: Properties | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Entry | None:
        blob, at = self._blob(key), partial(_address, source, entry)
        if not entry.size or not self._fetching.may(source) or at() is None:
            return None
        upload = BlockUpload(blob, key, entry.size, {})
        with faults(entry.key):
            if not self._fetching.fetch(source, entry, upload, blob, at):
                return None
        if not same(source, entry):
            raise TransientError(
                "the object was changed while it was copied", code="file-changed", file=entry.key
            )
        upload.kept = self._described(properties or source.properties(entry))
        check()
        return upload.complete()

    def address(self, key: str) -> tuple[str, str | None]:
        """Where a service may read an object for an hour, and the token that it needs besides."""
        name = self._name(key)
        signed = self._login.readable(self._client, name, _SIGNED_SECONDS)
        return signed or self._blob(key).url, None if signed else self._login.token()

    @contextmanager
    def _unless_gone(self, blob: BlobClient, entry: Entry) -> Iterator[None]:
        """Turns errors into ours; a condition on what is not there is not met, says the service."""
        with faults(entry.key):
            try:
                yield
            except ResourceModifiedError:
                if azure_copy.looked(blob) is None:
                    raise TransientError(
                        "the object is not there any more", code="file-moved", file=entry.key
                    ) from None
                raise

    def _name(self, key: str) -> str:
        if "\\" in confined(key):
            raise ConfigError(
                "the service takes a backslash for a slash, so that the name would be another",
                fix="Rename the object, or leave it out with `exclude`",
                code="bad-name",
                file=key,
            )
        return self._root + key

    def _blob(self, key: str) -> BlobClient:
        return self._client.get_blob_client(self._name(key))

    def _entry(self, found: BlobProperties) -> Entry:
        key = str(found.name).removeprefix(self._root)
        return Entry(key, found.size, nanoseconds(found.last_modified), plain(found.etag))

    def _deep(self) -> bool:
        """Whether the account has a hierarchical namespace: other order, and no tags."""
        if self._is_deep is None:
            with faults():
                try:
                    told = self._client.get_account_information()
                    self._is_deep = bool(told.get("is_hns_enabled"))
                except HttpResponseError as e:
                    if azure_copy.busy(e):
                        raise
                    self._is_deep = self._named_so  # not everybody may ask
        return self._is_deep

    def _described(self, properties: Properties | None) -> dict[str, Any]:
        tags = bool(properties and properties.tags) and not self._deep()
        return described(properties, tags)


_OTHERS = ("ConditionNotMet", "BlobAlreadyExists", "TargetConditionNotMet", *ABSENT)


def _still(entry: Entry) -> dict[str, Any]:
    """The condition that an object is the same still."""
    return {"etag": f'"{entry.etag}"', "match_condition": MatchConditions.IfNotModified}


def _only(replacing: str) -> dict[str, Any]:
    if replacing == NOTHING:
        return {"match_condition": MatchConditions.IfMissing}
    return {"etag": f'"{replacing}"', "match_condition": MatchConditions.IfNotModified}


def _address(source: Store, entry: Entry) -> Address | None:
    """Where this service may read an object of another store; None where it cannot."""
    if isinstance(source, AzureStore):
        return source.address(entry.key)
    url = source.signed_url(entry, _SIGNED_SECONDS)
    return (url, None) if url else None
