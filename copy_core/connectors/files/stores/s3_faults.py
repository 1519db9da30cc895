"""What boto3 raises -> our errors, by the service's code or the kind of exception. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from copy_core.connectors.files.stores.s3_causes import CAUSES
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError

FAILURES: tuple[type[Exception], ...] = (ClientError, BotoCoreError, HTTPError)
"""What boto3 raises; a body that is read breaks off with errors of urllib3 at times."""

_DENIED = re.compile(r"not authorized to perform: ([\w:*]+)")
_REGION = re.compile(r"expecting '([\w-]+)'")


_BY_CODE = {code: cause for cause in CAUSES for code in cause.codes.split()}

_LOGIN = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.LoginError,
    boto.InvalidConfigError,
    boto.ConfigParseError,
)
_AWAY = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.MetadataRetrievalError,
    HTTPError,
)


@contextmanager
def guarded(right: str, key: str = "") -> Iterator[None]:
    """Turns what boto3 raises into our errors.

    Args:
        right: the right that is needed, such as `s3:GetObject`.
        key: the object it is about, below the root.
    """
    try:
        yield
    except FAILURES as e:
        raise translate(e, right).at(file=key) from e


def code_of(error: Exception) -> str:
    """The service's code; a bare HTTP status where its answer had no body. "" of other errors."""
    return str(_said_of(error).get("Code", ""))


def translate(error: Exception, right: str = "") -> CopyJobError:
    """Our error for one of `FAILURES`.

    Args:
        error: what boto3 raised.
        right: the right that was needed.
    """
    if not isinstance(error, ClientError):
        return _without_answer(error)
    answer: Mapping[str, Any] = error.response
    meta: Mapping[str, Any] = answer.get("ResponseMetadata", {})
    headers: Mapping[str, str] = meta.get("HTTPHeaders", {})
    status = int(meta.get("HTTPStatusCode", 0))
    code = code_of(error)
    said = str(_said_of(error).get("Message") or code).strip().rstrip(".")
    cause = _BY_CODE.get(code) or (_BY_CODE["SlowDown"] if status >= 500 else None)
    if cause is None:
        return TerminalError(
            f"the service refuses {error.operation_name}: {said} ({code})",
            fix="Correct what it speaks of; if there is nothing wrong with it, please report this"
            " with the log of the run",
            code="store-refused",
        )
    denied, expected = _DENIED.search(said), _REGION.search(said)
    named = _said_of(error).get("Region") or headers.get("x-amz-bucket-region")
    what = cause.what.format(
        said=said,
        right=denied[1] if denied else right or "for this",
        region=named or (expected[1] if expected else "another region"),
    )
    if cause.error is TransientError:
        return TransientError(
            what, fix=cause.fix, code=cause.code, retry_after=_retry_after(headers)
        )
    return cause.error(what, fix=cause.fix, code=cause.code)


def _without_answer(error: Exception) -> CopyJobError:
    """Our error for what went wrong on this side, or on the way."""
    said = str(error).strip().rstrip(".")
    if isinstance(error, boto.IncompleteReadError):
        return TransientError(f"the answer broke off: {said}", code="short-read")
    if isinstance(error, boto.FlexibleChecksumError | boto.ChecksumError):
        return TransientError(
            f"the bytes did not arrive as they were sent: {said}",
            code="checksum",
        )
    if isinstance(error, boto.SSLError) and "CERTIFICATE" in said.upper():
        return ConfigError(
            f"the service's certificate is not trusted: {said}",
            fix="Check `endpoint_url`; AWS_CA_BUNDLE names a file of certificates to trust",
            code="certificate",
        )
    if isinstance(error, _AWAY):
        return TransientError(
            f"the service does not answer: {said}",
            fix="If it goes on, check `endpoint_url`, `region` and the network",
            code="unreachable",
        )
    if isinstance(error, _LOGIN):
        return ConfigError(
            f"nothing to sign in with: {said}",
            fix="Give `access_key_id` and `secret_access_key`, a `role_arn`, or set up boto3's own"
            " chain: AWS_PROFILE, the variables AWS_*, or the machine's role",
            code="login-failed",
        )
    if isinstance(error, boto.NoRegionError):
        return ConfigError(said, fix="Set `region`", code="region-wrong")
    return TerminalError(
        f"boto3 refuses the request: {said}",
        fix="Correct what it speaks of; if there is nothing wrong with it, please report this with"
        " the log of the run",
        code="store-refused",
    )


def _said_of(error: Exception) -> Mapping[str, Any]:
    return error.response.get("Error", {}) if isinstance(error, ClientError) else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the service asked to wait for, which it gives as a number or as a time."""
    asked = headers.get("retry-after", "")
    if asked.isdigit():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
