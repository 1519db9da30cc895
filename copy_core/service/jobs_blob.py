"""Job files as blobs of an Azure container, below a prefix.

A job's etag is the service's own, and compare-and-set is the service's If-Match. A document that
is known already is asked for with If-None-Match: while it is current, nothing is transferred.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobProperties, ContainerClient, ContentSettings, LinearRetry

from copy_core import entra
from copy_core.azure_errors import classed, status_of
from copy_core.errors import ConfigError, ConflictError, CopyJobError
from copy_core.service.jobs import JobDocument, JobStore, changed, document, stem

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_T = TypeVar("_T")

CONTAINER: Final = "copyjob-jobs"
"""The container that is used when none is named."""

_MARK: Final = "mark"
_TYPES: Final = {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


def _client_options() -> dict[str, Any]:
    """Callers repeat requests by their own rules; the client only bridges a dropped connection."""
    return {
        "retry_policy": LinearRetry(
            backoff=0, random_jitter_range=1, retry_total=2, retry_status=0
        ),
        "connection_timeout": 10,
        "read_timeout": 30,
    }


class BlobJobs(JobStore):
    """The job files of a container, which is made when it is first needed.

    Args:
        client: the container; it closes with the store.
        prefix: the folder within it, such as `production/jobs`; "" for the container itself.
    """

    def __init__(self, client: ContainerClient, prefix: str = "") -> None:
        self._client = client
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def from_url(
        cls,
        account_url: str,
        container: str = CONTAINER,
        prefix: str = "",
        *,
        credential: TokenCredential | None = None,
    ) -> BlobJobs:
        """Opens a container by identity, without a secret.

        Args:
            account_url: `https://ACCOUNT.blob.core.windows.net`.
            container: the container's name.
            prefix: the folder within it.
            credential: who asks; by default `entra.own()`.
        """
        credential = credential or entra.own()
        client = ContainerClient(account_url, container, credential=credential, **_client_options())
        return cls(client, prefix)

    @classmethod
    def from_connection_string(
        cls, connection: str, container: str = CONTAINER, prefix: str = ""
    ) -> BlobJobs:
        """Opens a container by a storage connection string, which is a secret.

        Raises:
            ConfigError: it is no connection string.
        """
        try:
            client = ContainerClient.from_connection_string(
                connection, container, **_client_options()
            )
        except ValueError as e:
            raise ConfigError(
                "the value is no storage connection string",
                fix="Copy it from the storage account:"
                " DefaultEndpointsProtocol=...;AccountName=...;AccountKey=...",
                code="jobs-connection",
            ) from e
        return cls(client, prefix)

    @property
    def address(self) -> str:
        """The place as people know it: `ACCOUNT/CONTAINER/PREFIX`."""
        parts = (self._client.account_name, self._client.container_name, self._prefix)
        return "/".join(map(str, parts)).rstrip("/")

    def close(self) -> None:
        self._client.close()

    def _files(self, start: str) -> dict[str, str]:
        def listed() -> dict[str, str]:
            # By levels, so that what lies in folders below is not listed at all.
            found = self._client.walk_blobs(name_starts_with=self._prefix + start)
            return {
                blob.name.removeprefix(self._prefix): _plain(blob.etag)
                for blob in found
                if isinstance(blob, BlobProperties) and stem(blob.name)
            }

        return self._call(listed)

    def _read(self, file: str, known: JobDocument | None) -> JobDocument | None:
        unless = _if(MatchConditions.IfModified, known.etag) if known else {}

        def read() -> JobDocument | None:
            try:
                blob = self._client.download_blob(self._prefix + file, **unless)
                return document(file, blob.readall(), _plain(blob.properties.etag))
            except HttpResponseError as e:
                if e.status_code not in (304, 404):
                    raise
                return known if e.status_code == 304 else None

        return self._call(read)

    def _write(self, file: str, content: bytes, etag: str | None) -> str:
        mark = uuid4().hex
        condition = {} if etag is None else _if(MatchConditions.IfNotModified, etag)

        def write() -> str:
            written = self._client.get_blob_client(self._prefix + file).upload_blob(
                content,
                overwrite=etag is not None,
                metadata={_MARK: mark},
                content_settings=ContentSettings(_TYPES[f".{file.rpartition('.')[2].lower()}"]),
                **condition,
            )
            return _plain(written["etag"])

        try:
            return self._call(write, stem(file))
        except ConflictError:
            # When an answer is lost the client repeats the request, and is refused because of
            # its own first write: the mark tells that from somebody else's.
            stored = self._call(
                lambda: self._client.download_blob(self._prefix + file).properties, stem(file)
            )
            if (stored.metadata or {}).get(_MARK) == mark:
                return _plain(stored.etag)
            raise

    def _remove(self, file: str, etag: str) -> None:
        condition = _if(MatchConditions.IfNotModified, etag)
        self._call(lambda: self._client.delete_blob(self._prefix + file, **condition), stem(file))

    def _call(self, action: Callable[[], _T], writes: str = "") -> _T:
        """Runs one request, makes the container if that is all that was missing, classes errors.

        Args:
            action: the request.
            writes: the document that it writes, for which a refused condition is a conflict.
        """
        try:
            try:
                return action()
            except HttpResponseError as e:
                if "ContainerNotFound" not in str(e):
                    raise
            with suppress(ResourceExistsError):
                self._client.create_container()
            return action()
        except AzureError as e:
            raise _classed(e, writes).at(jobs=self.address) from e


def _classed(error: AzureError, writes: str) -> CopyJobError:
    taken = "BlobAlreadyExists" in str(error)
    if writes and (status_of(error) in (404, 412) or taken):
        return changed(writes)
    return classed(error, "Azure Blob Storage", "Storage Blob Data Contributor", "jobs")


def _if(condition: MatchConditions, etag: str) -> dict[str, Any]:
    return {"etag": f'"{etag}"', "match_condition": condition}


def _plain(etag: object) -> str:
    """An etag without quotes: the service gives it with them in headers and without in lists."""
    return str(etag).strip('"')
