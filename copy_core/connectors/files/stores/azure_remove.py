"""Removes blobs, many with one request or side by side, those alone that have a certain etag."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from copy_core.connectors.files.stores.azure_faults import ABSENT, code_of, fault, faults

BATCH: Final = 256
"""How many blobs one request removes: https://learn.microsoft.com/rest/api/storageservices/blob-batch."""

# It is not there, or is another than was meant: then it stays.
_FINE = (*ABSENT, "ConditionNotMet")
_THREADS = 16


class Blob(NamedTuple):
    """A blob that is to go.

    Attributes:
        key: its key below the root, for messages.
        name: its name in the container.
        etag: the etag that it must have; None for any.
    """

    key: str
    name: str
    etag: str | None = None

    @property
    def condition(self) -> dict[str, Any]:
        """The same as arguments of the SDK."""
        if self.etag is None:
            return {}
        return {"etag": f'"{self.etag}"', "match_condition": MatchConditions.IfNotModified}


def together(client: ContainerClient, blobs: Sequence[Blob]) -> None:
    """Removes up to `BATCH` blobs with one request.

    Raises:
        CopyJobError: the service refuses one.
    """
    names = [{"name": blob.name, **blob.condition} for blob in blobs]
    with faults():
        answers = client.delete_blobs(*names, raise_on_any_failure=False)
        for blob, answer in zip(blobs, answers, strict=True):
            if answer.status_code < 300:
                continue
            error = HttpResponseError(response=answer)
            if code_of(error) not in _FINE:
                raise fault(error, blob.key)


def singly(client: ContainerClient, blobs: Sequence[Blob]) -> None:
    """Removes blobs with a request each; errors as of `together`."""

    def remove(blob: Blob) -> None:
        with faults(blob.key):
            try:
                client.delete_blob(blob.name, **blob.condition)
            except HttpResponseError as e:
                if code_of(e) not in _FINE:
                    raise

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(remove, blobs))
