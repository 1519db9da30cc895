"""Any exception -> the class of error that tells what to do about it."""

from __future__ import annotations

import errno

from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}
_PASSING = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT}


def classify(error: BaseException) -> CopyJobError:
    """The error as one of ours; one of ours stays what it is.

    Connectors translate what their libraries raise; this is for the operating system, and for
    what nobody foresaw, which is terminal.
    """
    if isinstance(error, CopyJobError):
        return error
    if isinstance(error, OSError):
        return from_os(error)
    if isinstance(error, MemoryError):
        return TerminalError(
            "the machine ran out of memory",
            fix="Lower `limits: batch_rows`, `parallel_tables` or `parallel_parts`",
            code="out-of-memory",
        )
    return TerminalError(
        f"unexpected {type(error).__name__}: {error}",
        fix="Please report this with the log of the run",
        code="unexpected",
    )


def from_os(error: OSError, *, file: str = "") -> CopyJobError:
    """What the operating system refused, and why."""
    text = error.strerror or str(error)
    if not file and isinstance(error.filename, str):
        file = error.filename
    if error.errno in _FULL or "No space left" in str(error):
        return TerminalError(
            f"the disk is full ({text})",
            fix="Free some space; the next run goes on from here",
            code="disk-full",
            file=file,
        )
    if error.errno in _REFUSED:
        return ConfigError(
            f"the operating system refused: {text}",
            fix="Check the path and the rights of this user",
            code="not-permitted",
            file=file,
        )
    if isinstance(error, ConnectionError | TimeoutError) or error.errno in _PASSING:
        return TransientError(f"the operating system reported: {text}", code="passing", file=file)
    return TerminalError(f"the operating system reported: {text}", code="os-error", file=file)
