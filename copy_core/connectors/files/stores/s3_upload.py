"""Uploads to S3: in one request when one part is all, else in parts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from copy_core.connectors.files.store import Entry, Upload
from copy_core.connectors.files.stores.parts import all_there
from copy_core.connectors.files.stores.s3_faults import guarded
from copy_core.errors import CopyJobError, TerminalError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SMALLEST_PART = 8 << 20
"""How large parts are where nothing asks for larger ones; S3 takes 5 MiB and more."""

# How many parts S3 puts together, at most.
_MOST_PARTS = 10_000
_MIB = 1 << 20
_log = logging.getLogger("copyjob")


def part_bytes(size: int, least: int = SMALLEST_PART) -> int:
    """How large the parts of an object of `size` bytes have to be: whole MiB, `least` or more."""
    needed = -(-size // _MOST_PARTS)
    return max(least, -(-needed // _MIB) * _MIB)


class S3Upload(Upload):
    """An object on its way.

    Args:
        client: the client to use.
        target: its Bucket and Key.
        key: its key below the root, for errors.
        size: how many bytes it will have, if that is known.
        request: further arguments of the request that begins it: its properties.
        put_whole: writes it in one step.
        entry: makes its entry of an answer and a size.
    """

    def __init__(
        self,
        client: S3Client,
        target: Mapping[str, Any],
        key: str,
        *,
        size: int | None,
        request: Mapping[str, Any],
        put_whole: Callable[[bytes], Entry],
        entry: Callable[[Mapping[str, Any], int], Entry],
    ) -> None:
        self.part_bytes = part_bytes(size or 0)
        self._client, self._target, self._key, self._request = client, target, key, request
        self._put_whole, self._entry = put_whole, entry
        self._may_be_one = size is None or size <= self.part_bytes
        self._held: tuple[int, bytes] | None = None
        self._id = ""
        self._over = False
        self._sent: dict[int, tuple[int, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()

    def put(self, number: int, data: bytes | memoryview) -> None:
        if number >= _MOST_PARTS:
            raise TerminalError(
                f"the object has more than {_MOST_PARTS} parts of {self.part_bytes >> 20} MiB,"
                " which is all that S3 takes",
                fix="Lower `file_mb`",
                code="too-large",
                file=self._key,
            )
        with self._lock:
            if self._over:
                raise TransientError("the upload was given up", code="upload-lost", file=self._key)
            first = not self._id and (self._held is None or self._held[0] == number)
            if first and self._may_be_one:
                self._held = (number, bytes(data))  # perhaps there is no other
                return
            if not self._id:
                self._begin()
            held, self._held = self._held, None
        if held:
            self._send(*held)
        self._send(number, bytes(data))

    def complete(self) -> Entry:
        if not self._id:
            number, data = self._held or (0, b"")
            all_there([number], self._key)
            entry = self._put_whole(data)
        else:
            numbers = sorted(self._sent)
            all_there(numbers, self._key)
            parts: list[Any] = [{"PartNumber": n + 1, **_proof(self._sent[n][1])} for n in numbers]
            with guarded("s3:PutObject", self._key):
                answer = self._client.complete_multipart_upload(
                    **self._target, UploadId=self._id, MultipartUpload={"Parts": parts}
                )
            entry = self._entry(answer, sum(size for size, _ in self._sent.values()))
        self._over = True
        return entry

    def abandon(self) -> None:
        with self._lock:
            over, self._over, self._held = self._over, True, None
        if over or not self._id:
            return
        try:
            with guarded("s3:AbortMultipartUpload", self._key):
                self._client.abort_multipart_upload(**self._target, UploadId=self._id)
        except CopyJobError as error:
            if error.code != "upload-lost":  # it is gone, which is what was wanted
                _log.warning("parts of an upload are left behind: %s", error)

    def copy(self, number: int, size: int, source: Mapping[str, Any]) -> None:
        """Has the service copy a part from an object that it holds; raises what boto3 raises.

        Args:
            number: the part's, from 0.
            size: how many bytes it has.
            source: CopySource, CopySourceIfMatch and CopySourceRange.
        """
        with self._lock:
            if not self._id:
                self._begin()
        answer = self._client.upload_part_copy(
            **self._target, **source, UploadId=self._id, PartNumber=number + 1
        )
        self._keep(number, size, answer["CopyPartResult"])

    def _begin(self) -> None:
        request = dict(self._request)
        config: Any = self._client.meta.config  # its stub is older than this setting
        if config.request_checksum_calculation == "when_supported":
            # boto3 sends each part's: it is verified once more when all are put together.
            request["ChecksumAlgorithm"] = "CRC32"
        with guarded("s3:PutObject", self._key):
            answer = self._client.create_multipart_upload(**self._target, **request)
        self._id = answer["UploadId"]

    def _send(self, number: int, data: bytes) -> None:
        with guarded("s3:PutObject", self._key):
            answer = self._client.upload_part(
                **self._target, UploadId=self._id, PartNumber=number + 1, Body=data
            )
        self._keep(number, len(data), answer)

    def _keep(self, number: int, size: int, answer: Mapping[str, Any]) -> None:
        with self._lock:
            self._sent[number] = (size, answer)


def _proof(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the service which part was meant: its etag and its checksum."""
    return {k: v for k, v in answer.items() if k == "ETag" or k.startswith("Checksum")}
