"""What delta-rs, object stores and Parquet raise, told apart by what recovers from it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError

from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError
from copy_core.failures import from_os
from copy_core.secrets import scrub

# The object stores' clients give no status, only text; it is matched where they write it.
_OS_ERROR = re.compile(r"(?:\(os error |Os \{ code: )(\d+)")
_STATUS = re.compile(r"(?:status(?: code)?:?|error \()\s*(\d{3})\b", re.IGNORECASE)
_DENIED = re.compile(
    r"permission ?denied|access ?denied|unauthorized|forbidden|authenticat|authoriz|credential"
    r"|InvalidAccessKeyId|SignatureDoesNotMatch|account must be specified|invalid.{0,9}key",
    re.IGNORECASE,
)
# docs: https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory
# The answer to a HEAD has no body that would say so; a wrong identity was told by a list before.
_EXPIRED = re.compile(
    r"lifetime validation failed|token is expired|performing HEAD .*\b401 Unauthorized",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"timed? ?out|connection (?:refused|reset|closed|aborted)|connect error|error sending request"
    r"|dns error|broken pipe|too many requests|throttl|slow ?down|server ?busy"
    r"|service unavailable|internal server error|reached max retries|incomplete message",
    re.IGNORECASE,
)
_FEATURE = re.compile(
    r"Kernel error: Unsupported|column mapping|deletion vector|unsupported (?:reader|writer|table)"
    r"|Invalid protocol action|Max catalog version",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"(?:NoSuchBucket|ContainerNotFound|container does not exist|bucket does not exist"
    r"|WorkspaceNotFound|ArtifactNotFound"
    r"|unable to recogni[sz]e|unknown scheme|unsupported url|not a valid"
    r"|invalid table location|cannot create directory)",
    re.IGNORECASE,
)
_DAMAGED = re.compile(
    r"Kernel error: (?:Json error|Arrow error|Invalid Checkpoint|No table metadata|.*found gap)"
)
# What Rust adds for its own programmers.
_BACKTRACE = re.compile(r"\n\s*0: .*|: ParsedLogPath .*", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def faults(**where: str) -> Iterator[None]:
    """Turns what libraries raise inside into `copy_core.errors`, with the places given.

    Raises:
        CopyJobError: of the class that tells what recovers from it.
    """
    try:
        yield
    except CopyJobError as e:
        raise e.at(**where) from e.__cause__
    except (DeltaError, OSError, pa.ArrowException) as e:
        raise translate(e).at(**where) from e


def translate(error: Exception) -> CopyJobError:
    """The error that stands for what a library raised."""
    text = _tidy(str(error))
    if isinstance(error, CommitFailedError) or "already exists at that location" in text:
        return TransientError(f"another writer was faster: {text}", code="commit-conflict")
    if isinstance(error, DeltaProtocolError) or _FEATURE.search(text):
        return ConfigError(
            f"the table asks for what cannot be done here: {text}",
            fix="Turn that table feature off, or choose a table without it",
            code="table-feature",
        )
    if local := _of_this_machine(error, text):
        return local
    status = int(match[1]) if (match := _STATUS.search(text)) else 0
    if status in (408, 429) or status >= 500:
        return TransientError(f"the store is busy: {text}", code="store-busy")
    if _EXPIRED.search(text):
        # The next attempt begins with a new one.
        return TransientError(f"the token ran out in mid-step: {text}", code="token-expired")
    if status in (401, 403) or _DENIED.search(text):
        return ConfigError(
            f"access is denied: {text}",
            fix="Correct how the connection signs in, or grant it the right",
            code="access-denied",
        )
    if _BUSY.search(text):
        return TransientError(f"the store does not answer: {text}", code="store-busy")
    if _PLACE.search(text):
        return ConfigError(
            f"there is no such place: {text}",
            fix="Correct where the connection says that the tables are",
            code="root-missing",
        )
    if _DAMAGED.search(text):
        return TerminalError(
            f"the log of the table is damaged: {text}",
            fix="Restore the files in its `_delta_log` from a backup, the newest ones first",
            code="delta-damaged",
        )
    return TerminalError(
        text or type(error).__name__,
        fix="Try whether another reader of Delta can read the table; if it can, please report this"
        " with the log of the run",
        code="delta",
    )


def _of_this_machine(error: Exception, text: str) -> CopyJobError | None:
    """What the operating system says about a local folder; None where the rest of the text tells
    more. What is not there is left to those who know whether it was to be read or written.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (match := _OS_ERROR.search(text)):
        number = int(match[1])
    if number is None or number == errno.ENOENT:
        return None
    known = from_os(OSError(number, text))
    if known.code == "not-permitted":
        known.code = "access-denied"  # as in an object store
    return None if known.code == "os-error" else known


def _tidy(text: str) -> str:
    """The first lines of a message, without colours, backtraces and secrets."""
    # Scrubbed before it is cut off: half a secret would not be known for one.
    plain = scrub(_BACKTRACE.sub("", _COLOUR.sub("", text)))
    return " ".join(plain.split())[:600].rstrip(". ")
