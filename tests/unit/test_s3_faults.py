"""What the errors of S3 and of boto3 mean."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError
from urllib3.exceptions import ProtocolError

from copy_core.connectors.files.stores.s3_causes import CAUSES, Cause
from copy_core.connectors.files.stores.s3_faults import FAILURES, code_of, guarded, translate
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError


def refusal(
    code: str,
    status: int = 400,
    said: str = "so it is",
    headers: Mapping[str, str] | None = None,
    region: str | None = None,
) -> ClientError:
    error: Any = {"Code": code, "Message": said} | ({"Region": region} if region else {})
    return ClientError(
        {
            "Error": error,
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "HTTPHeaders": dict(headers or {}),
                "RequestId": "",
                "HostId": "",
                "RetryAttempts": 0,
            },
        },
        "GetObject",
    )


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.code)
def test_every_code_has_its_error(cause: Cause) -> None:
    for code in cause.codes.split():
        found = translate(refusal(code), "s3:GetObject")
        assert type(found) is cause.error
        assert found.code == cause.code
        assert "{" not in str(found)


def test_no_code_has_two_meanings() -> None:
    codes = [code for cause in CAUSES for code in cause.codes.split()]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (refusal("Strange", 500), TransientError, "store-busy"),
        (refusal("503", 503), TransientError, "store-busy"),
        (refusal("Strange"), TerminalError, "store-refused"),
        (boto.NoCredentialsError(), ConfigError, "login-failed"),
        (boto.ProfileNotFound(profile="x"), ConfigError, "login-failed"),
        (boto.NoRegionError(), ConfigError, "region-wrong"),
        (boto.EndpointConnectionError(endpoint_url="x"), TransientError, "unreachable"),
        (boto.ReadTimeoutError(endpoint_url="x"), TransientError, "unreachable"),
        (boto.ConnectionClosedError(endpoint_url="x"), TransientError, "unreachable"),
        (boto.ResponseStreamingError(error="x"), TransientError, "unreachable"),
        (ProtocolError("x"), TransientError, "unreachable"),
        (
            boto.SSLError(endpoint_url="x", error=OSError("CERTIFICATE_VERIFY_FAILED")),
            ConfigError,
            "certificate",
        ),
        (boto.SSLError(endpoint_url="x", error=OSError("EOF")), TransientError, "unreachable"),
        (
            boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            TransientError,
            "short-read",
        ),
        (boto.FlexibleChecksumError(error_msg="x"), TransientError, "checksum"),
        (boto.ParamValidationError(report="x"), TerminalError, "store-refused"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_the_rest_goes_by_its_kind(error: Exception, kind: type[CopyJobError], code: str) -> None:
    assert isinstance(error, FAILURES)
    found = translate(error)
    assert (type(found), found.code) == (kind, code)


def test_the_right_is_named_that_the_service_names() -> None:
    said = "User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt on resource: y"
    assert "the right kms:Decrypt " in translate(refusal("AccessDenied", said=said), "s3:X").what
    assert "the right s3:X " in translate(refusal("AccessDenied"), "s3:X").what


@pytest.mark.parametrize(
    "error",
    [
        refusal("AuthorizationHeaderMalformed", region="eu-west-1"),
        refusal("PermanentRedirect", 301, headers={"x-amz-bucket-region": "eu-west-1"}),
        refusal("AuthorizationHeaderMalformed", said="is wrong; expecting 'eu-west-1'"),
    ],
)
def test_the_region_is_named(error: ClientError) -> None:
    assert "eu-west-1" in translate(error).what


def test_what_expired_is_said() -> None:
    assert "expired" in translate(refusal("ExpiredToken")).what


@pytest.mark.parametrize(
    ("asked", "seconds"), [("17", 17.0), ("", None), ("soon", None), ("-1", None)]
)
def test_it_is_told_when_to_come_back(asked: str, seconds: float | None) -> None:
    found = translate(refusal("SlowDown", 503, headers={"retry-after": asked}))
    assert isinstance(found, TransientError)
    assert found.retry_after == seconds


def test_it_may_be_told_a_time() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(minutes=5))
    found = translate(refusal("SlowDown", 503, headers={"retry-after": when}))
    assert isinstance(found, TransientError)
    assert found.retry_after is not None
    assert 200 < found.retry_after <= 300


def test_the_object_is_named() -> None:
    with pytest.raises(TransientError) as caught, guarded("s3:GetObject", "a/x"):
        raise refusal("NoSuchKey", 404)
    assert caught.value.where == {"file": "a/x"}


def test_other_errors_go_through() -> None:
    with pytest.raises(KeyError), guarded("s3:GetObject"):
        raise KeyError


def test_what_has_no_answer_has_no_code() -> None:
    assert code_of(refusal("X")) == "X"
    assert code_of(boto.NoRegionError()) == ""
