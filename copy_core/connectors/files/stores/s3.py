"""Amazon S3, and services that speak its protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from copy_core.connectors.files.checksums import verify
from copy_core.connectors.files.store import (
    ANYTHING,
    FEW,
    Entry,
    Properties,
    Store,
    Upload,
    confined,
)
from copy_core.connectors.files.stores.s3_client import client
from copy_core.connectors.files.stores.s3_copy import PART, WHOLE, copy_in_parts
from copy_core.connectors.files.stores.s3_discard import Discards
from copy_core.connectors.files.stores.s3_entries import (
    answered,
    bare,
    looked_at,
    nanoseconds,
    quoted,
    unchanged,
    written,
)
from copy_core.connectors.files.stores.s3_faults import FAILURES, code_of, guarded, translate
from copy_core.connectors.files.stores.s3_list import entries
from copy_core.connectors.files.stores.s3_properties import from_answer, to_request
from copy_core.connectors.files.stores.s3_put import put
from copy_core.connectors.files.stores.s3_read import fetch, read, verified
from copy_core.connectors.files.stores.s3_remove import remove
from copy_core.connectors.files.stores.s3_unfinished import oldest
from copy_core.connectors.files.stores.s3_upload import S3Upload
from copy_core.errors import ConfigError, TerminalError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef, ListObjectsV2OutputTypeDef

    from copy_core.connectors.file_options import S3Options


class S3Store(Store):
    """Objects in a bucket.

    Attributes:
        page_size: how many objects a listing asks for at a time.
        whole_copy: how large an object may be that the service copies in one request, bytes.
        copy_part: how large the parts of larger ones are, at least.
    """

    tick_ns = 10**9
    page_size = 1000
    whole_copy = WHOLE
    copy_part = PART

    def __init__(self, options: S3Options) -> None:
        prefix = options.prefix.strip("/")
        self.label = f"s3://{options.bucket}/{prefix}".rstrip("/")
        self._bucket = options.bucket
        self._root = f"{prefix}/" if prefix else ""
        self._endpoint = options.endpoint_url
        self._client = client(options)
        self._seen = False
        self._out_of_reach: set[str] = set()
        self._discards = Discards(self._client, self._bucket, self._root, self.stat)

    def now(self) -> int:
        return answered(self._look())

    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        return entries(self._client, self._bucket, self._root, prefix, after, self.page_size)

    def holds(self, prefix: str) -> bool:
        few = entries(self._client, self._bucket, self._root, prefix, "", FEW)
        return next(few, None) is not None

    def stat(self, key: str) -> Entry | None:
        try:
            head = self._head(key)
        except TransientError as e:
            if e.code == "file-moved":
                return None
            raise
        return looked_at(key, head)

    def properties(self, entry: Entry) -> Properties:
        config: Any = self._client.meta.config  # its stub is older than this setting
        told = config.response_checksum_validation == "when_supported"
        mode = {"ChecksumMode": "ENABLED"} if told else {}
        head = self._head(entry.key, IfMatch=quoted(entry.etag), **mode)
        unchanged(entry, head)
        return from_answer(head, self._tags(entry))

    def fetch(self, entry: Entry) -> tuple[bytes, Properties]:
        data, answer = fetch(self._client, self._at(entry.key), entry)
        properties = from_answer(answer, self._tags(entry) if answer.get("TagCount") else {})
        if not verified(answer):
            verify(data, properties, entry)
        return data, properties

    def read(self, entry: Entry, start: int, length: int) -> bytes:
        target = self._at(entry.key)
        return read(self._client, target, entry, start, length) if length else b""

    def put(
        self,
        key: str,
        data: bytes,
        replacing: str | None = ANYTHING,
        properties: Properties | None = None,
    ) -> Entry:
        request = self._at(key) | to_request(properties or Properties())
        return put(self._client, request, key, data, replacing)

    def upload(
        self, key: str, size: int | None = None, properties: Properties | None = None
    ) -> Upload:
        return self._upload(key, size, properties or Properties())

    def move(self, source: str, key: str) -> None:
        target, entry = confined(key), self.stat(source)
        if entry is None or source == key:
            return
        try:
            self._copy(self, entry, target, None)
        except TransientError as e:
            if e.code == "file-moved":
                return
            raise
        self.remove([source])

    def remove(self, keys: Iterable[str]) -> None:
        names = (self._root + confined(key) for key in keys)
        while batch := list(islice(names, 1000)):
            remove(self._client, self._bucket, batch, self._root)

    def discard(self, objects: Iterable[tuple[str, str]]) -> None:
        safe = ((confined(key), etag) for key, etag in objects)
        while batch := list(islice(safe, 1000)):
            self._discards.discard(batch)

    def copied(
        self,
        source: Store,
        entry: Entry,
        key: str,
        properties: Properties | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Entry | None:
        confined(key)
        confined(entry.key)
        if not isinstance(source, S3Store) or source._endpoint != self._endpoint:
            return None
        if source.label in self._out_of_reach:
            return None
        try:
            return self._copy(source, entry, key, properties, check)
        except TerminalError:
            return None
        except ConfigError:  # these credentials do not reach that bucket, or from this region
            self._out_of_reach.add(source.label)
            return None

    def unfinished(self, prefix: str = "") -> int | None:
        now = datetime.fromtimestamp(self.now() / 10**9, UTC)
        begun = oldest(self._client, self._bucket, self._root + prefix, now)
        return None if begun is None else nanoseconds(begun)

    def signed_url(self, entry: Entry, seconds: int) -> str:
        with guarded("s3:GetObject", entry.key):
            return self._client.generate_presigned_url(
                "get_object", Params=self._at(entry.key), ExpiresIn=seconds
            )

    def _tags(self, entry: Entry) -> dict[str, str]:
        try:
            answer = self._client.get_object_tagging(**self._at(entry.key))
        except FAILURES as e:
            error = translate(e, "s3:GetObjectTagging").at(file=entry.key)
            if error.code != "not-supported":  # a service without tags
                raise error from e
            return {}
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._root + confined(key)}

    def _look(self) -> ListObjectsV2OutputTypeDef:
        """The least question that is answered with a reason when something is wrong."""
        with guarded("s3:ListBucket"):
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._root, MaxKeys=1)
        self._seen = True
        return answer

    def _head(self, key: str, **conditions: Any) -> HeadObjectOutputTypeDef:
        target = self._at(key)
        try:
            return self._client.head_object(**target, **conditions)
        except FAILURES as e:
            # HEAD is answered with a bare status, that of a missing object for a missing bucket.
            known = self._seen and code_of(e) in ("404", "412")
            if code_of(e).isdigit() and not known:
                self._look()
            raise translate(e, "s3:GetObject").at(file=key) from e

    def _upload(self, key: str, size: int | None, properties: Properties) -> S3Upload:
        return S3Upload(
            self._client,
            self._at(key),
            key,
            size=size,
            request=to_request(properties),
            put_whole=lambda data: self.put(key, data, properties=properties),
            entry=lambda answer, bytes_: written(key, bytes_, answer),
        )

    def _copy(
        self,
        source: S3Store,
        entry: Entry,
        key: str,
        properties: Properties | None,
        check: Callable[[], None] = lambda: None,
    ) -> Entry:
        """Has the service copy an object; with `properties` None it keeps those that it has."""
        seen: dict[str, Any] = {
            "CopySource": source._at(entry.key),
            "CopySourceIfMatch": quoted(entry.etag),
        }
        if entry.size > self.whole_copy:
            upload = self._upload(key, entry.size, properties or source.properties(entry))
            return copy_in_parts(upload, entry, seen, self.copy_part, check)
        request: dict[str, Any] = {}
        if properties is not None:
            request = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
            request |= to_request(properties)
        with guarded("s3:GetObject", entry.key):
            answer = self._client.copy_object(**self._at(key), **seen, **request)
        made = answer["CopyObjectResult"]
        return Entry(key, entry.size, nanoseconds(made["LastModified"]), bare(made["ETag"]))
