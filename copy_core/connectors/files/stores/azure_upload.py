"""An object on its way into a container: blocks that nobody sees, and the list that joins them."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Final

from azure.storage.blob import BlobBlock, BlobClient

from copy_core.connectors.files.store import Entry, Upload
from copy_core.connectors.files.stores.azure_faults import faults
from copy_core.connectors.files.stores.parts import all_there

MIB: Final = 1 << 20
_LEAST = 8 * MIB
_PARTS = 10_000


class BlockUpload(Upload):
    """Blocks of one attempt, told by its ids from those of another.

    A commit makes the service forget every block of the object that it does not name. So of two
    attempts at once, the first to end is whole, and the other is told to begin again.

    Args:
        blob: where to.
        key: its name below the root.
        size: as `Store.upload`.
        kept: arguments of the SDK that say what to keep beside the bytes; may be set until it is
            complete.
    """

    def __init__(self, blob: BlobClient, key: str, size: int | None, kept: dict[str, Any]) -> None:
        self.part_bytes = max(_LEAST, -(-(size or 0) // (_PARTS * MIB)) * MIB)
        self._blob = blob
        self._key = key
        self._size = size
        self.kept = kept
        self._attempt = secrets.token_hex(8)
        self._sizes: dict[int, int] = {}
        self._alone: bytes | None = b""

    def put(self, number: int, data: bytes | memoryview) -> None:
        held = bytes(data)
        if number == 0 and (len(held) < self.part_bytes or len(held) == self._size):
            self._alone = held  # there is no other: one request does
            return
        with faults(self._key):
            self._blob.stage_block(
                self.block(number), held, length=len(held), validate_content=True
            )
        self._sizes[number] = len(held)
        self._alone = None

    def complete(self) -> Entry:
        with faults(self._key):
            if self._alone is not None:
                return written(self._blob, self._key, self._alone, **self.kept)
            numbers = sorted(self._sizes)
            all_there(numbers, self._key)
            blocks = [BlobBlock(self.block(number)) for number in numbers]
            done = self._blob.commit_block_list(blocks, **self.kept)
        return entry_of(self._key, sum(self._sizes.values()), done)

    def abandon(self) -> None:
        """Nothing to do: the service forgets blocks that nobody joins after a week."""

    def block(self, number: int) -> str:
        """The id of a block; all ids of an object have to be of one length."""
        return f"{self._attempt}-{number:06}"

    def staged(self, number: int, size: int) -> None:
        """Remembers a block that came by another way."""
        self._sizes[number] = size
        self._alone = None


def written(blob: BlobClient, key: str, data: bytes, **how: Any) -> Entry:
    """Writes an object in one request, whose bytes the service holds against their MD5: against
    the one that is to be kept beside them if there is one, which it would prefer to ours anyway.

    Args:
        blob: where to.
        key: its name below the root.
        data: its bytes.
        **how: what to keep beside them and conditions, as the SDK has them.
    """
    settings = how.get("content_settings")
    known = settings is not None and settings.content_md5 is not None
    done = blob.upload_blob(
        data, length=len(data), overwrite=True, validate_content=not known, **how
    )
    return entry_of(key, len(data), done)


def entry_of(key: str, size: int, done: dict[str, Any]) -> Entry:
    """An object that was just written, by the headers of the answer."""
    return Entry(key, size, nanoseconds(done["last_modified"]), plain(done["etag"]))


def nanoseconds(time: datetime) -> int:
    """A time of the service, which has whole seconds."""
    return int(time.timestamp()) * 10**9


def plain(etag: object) -> str:
    """An etag without quotes: the service gives it with them in headers and without in lists."""
    return str(etag).strip('"')
