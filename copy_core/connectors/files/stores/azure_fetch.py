"""Objects that the service fetches from an address by itself, where it can and may."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Final

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

from copy_core.connectors.files.store import Entry, Store
from copy_core.connectors.files.stores.azure_copy import busy
from copy_core.connectors.files.stores.azure_upload import MIB, BlockUpload

Address = tuple[str, str | None]
"""Where to read, and the token that has to go with it; None when the address will do."""

BLOCK: Final = 64 * MIB
_BLOCKS = 50_000
_THREADS = 8
_ANSWER_SECONDS = 600.0


class Fetching:
    """Has the service fetch objects, and remembers from which stores it cannot.

    Nobody can tell before it is tried. The first block of the first object tells; whoever comes
    meanwhile waits, or as many would try in vain as there are threads.
    """

    def __init__(self) -> None:
        self._can: dict[str, bool] = {}
        self._asking = Lock()

    def may(self, source: Store) -> bool:
        """Whether it is worth a try."""
        return self._can.get(source.label, True)

    def fetch(
        self,
        source: Store,
        entry: Entry,
        upload: BlockUpload,
        blob: BlobClient,
        at: Callable[[], Address | None],
    ) -> bool:
        """Has an object fetched into the blocks of an upload.

        Args:
            source: where it is.
            entry: the object, of more than no bytes.
            upload: the upload, to be completed by the caller.
            blob: its blob.
            at: says where to read the object, for a while from then on.

        Returns:
            Whether it was; False when the service cannot, or may not read there.
        """
        step = max(BLOCK, -(-entry.size // (_BLOCKS * MIB)) * MIB)

        def block(number: int) -> None:
            address, token = at() or ("", None)
            start = number * step
            length = min(step, entry.size - start)
            blob.stage_block_from_url(
                upload.block(number),
                address,
                start,
                length,
                source_authorization=f"Bearer {token}" if token else None,
                read_timeout=_ANSWER_SECONDS,
            )
            upload.staged(number, length)

        def blocks(numbers: range) -> bool:
            if not self.may(source):
                return False
            done = _all(block, numbers)
            if done:
                self._can[source.label] = True
            elif same(source, entry):  # then it is not for this object alone
                self._can[source.label] = False
            return done

        numbers = range(-(-entry.size // step))
        with self._asking:
            if source.label not in self._can:
                if not blocks(numbers[:1]):
                    return False
                numbers = numbers[1:]
        return blocks(numbers)


def same(source: Store, entry: Entry) -> bool:
    """Whether an object is the same still."""
    found = source.stat(entry.key)
    return found is not None and found.etag == entry.etag


def _all(block: Callable[[int], None], numbers: range) -> bool:
    """Fetches some blocks; False when the service refuses one, and would again."""
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(block, numbers))
    except HttpResponseError as e:
        if busy(e):
            raise
        return False
    return True
