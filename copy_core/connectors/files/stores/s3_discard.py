"""Removes objects of S3 that are the same still, in the surest way that the service has.

Amazon takes an etag with each object of DeleteObjects, and with DeleteObject:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html. Other services
refuse it, or remove the object in spite of it, which nothing but a trial tells. On trial is an
object that may go and has just been looked at: a service that overlooks the etag does to it what
it does to all objects of such a service, which are looked at and then removed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from copy_core.connectors.files.stores.s3_entries import quoted
from copy_core.connectors.files.stores.s3_faults import FAILURES, code_of, translate
from copy_core.connectors.files.stores.s3_remove import CANNOT, remove

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

    from copy_core.connectors.files.store import Entry

Object = tuple[str, str]
"""The key below the root, and the etag that it must have."""
_Way = Callable[[Sequence[Object]], set[str] | None]
"""Removes objects; the keys of those that had another etag, None where the service cannot."""

log = logging.getLogger("copyjob")
_RIGHT = "s3:DeleteObject"
_WRONG = "0" * 32
_THREADS = 16


class Discards:
    """Knows how a service removes objects on a condition, once it was tried. Serves many threads.

    Args:
        client: the client to use.
        bucket: the bucket.
        root: what keys in the bucket begin with.
        look: `Store.stat`.
    """

    def __init__(
        self, client: S3Client, bucket: str, root: str, look: Callable[[str], Entry | None]
    ) -> None:
        self._client, self._bucket, self._root = client, bucket, root
        self._look = look
        self._heeded: dict[str, bool] = {}
        self._warned = False
        self._lock = Lock()

    def discard(self, objects: Sequence[Object]) -> None:
        """Removes up to 1,000 objects that are the same still; errors as of `remove`."""
        # XML cannot say every character that a key may have.
        plain = [each for each in objects if each[0].isprintable()]
        odd = [each for each in objects if not each[0].isprintable()]
        left = [*odd, *self._by("together", self._together, plain)]
        left = self._same(self._by("singly", self._singly, left))
        if left:
            if not self._warned:
                self._warned = True
                log.warning(
                    "the service of bucket %s heeds no etag when it removes: objects that are"
                    " replaced at that very moment are lost",
                    self._bucket,
                )
            remove(self._client, self._bucket, [self._root + key for key, _ in left], self._root)

    def _by(self, name: str, way: _Way, objects: list[Object]) -> list[Object]:
        """Removes objects in a way, if the service heeds etags in it; what is left to do."""
        while objects and name not in self._heeded:
            some, others = objects[:_THREADS], objects[_THREADS:]
            if same := self._same(some):
                with self._lock:
                    if name not in self._heeded:
                        self._heeded[name] = _heeded(way, *same[0])
            objects = same + others
        if objects and self._heeded.get(name) and way(objects) is not None:
            return []
        return objects

    def _same(self, objects: list[Object]) -> list[Object]:
        """The objects that are the same now."""
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(self._look, (key for key, _ in objects)))
        both = zip(objects, found, strict=True)
        return [each for each, now in both if now is not None and now.etag == each[1]]

    def _together(self, objects: Sequence[Object]) -> set[str] | None:
        names: list[ObjectIdentifierTypeDef] = [
            {"Key": self._root + key, "ETag": quoted(etag)} for key, etag in objects
        ]
        try:
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": names, "Quiet": True}
            )
        except FAILURES as e:
            if code_of(e) in CANNOT:
                return None
            raise translate(e, _RIGHT) from e
        refused = ((error.get("Key", ""), error) for error in answer.get("Errors", ()))
        return _stayed(
            (key.removeprefix(self._root), ClientError({"Error": error}, "DeleteObjects"))
            for key, error in refused
        )

    def _singly(self, objects: Sequence[Object]) -> set[str] | None:
        def refusal(each: Object) -> Exception | None:
            name = self._root + each[0]
            try:
                self._client.delete_object(Bucket=self._bucket, Key=name, IfMatch=quoted(each[1]))
            except FAILURES as e:
                return e
            return None

        with ThreadPoolExecutor(_THREADS) as pool:
            refused = zip((key for key, _ in objects), pool.map(refusal, objects), strict=True)
            return _stayed((key, error) for key, error in refused if error is not None)


def _heeded(way: _Way, key: str, etag: str) -> bool:
    """Whether an object that is the same still stays for a wrong etag, and goes for its own, which
    not every service may know as it is written.
    """
    return bool(way([(key, _WRONG)])) and way([(key, etag)]) == set()


def _stayed(refused: Iterable[tuple[str, Exception]]) -> set[str] | None:
    """The objects that have another etag, of those that were not removed; None where the service
    takes no etags.

    Raises:
        CopyJobError: there is another reason.
    """
    stayed: set[str] = set()
    for key, e in refused:
        if code_of(e) in CANNOT:
            return None
        error = translate(e, _RIGHT).at(file=key)
        if error.code == "file-changed":
            stayed.add(key)
        elif error.code != "file-moved":
            raise error from e
    return stayed
