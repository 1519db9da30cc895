"""What S3's error codes mean, and what to change. Pure data.

The codes are those of Amazon's list of error responses and of its security token service; HEAD
requests are answered with a bare HTTP status instead.
"""

from __future__ import annotations

from typing import NamedTuple

from copy_core.errors import ConfigError, TerminalError, TransientError


class Cause(NamedTuple):
    """What some codes mean.

    Attributes:
        codes: the codes by which the service tells it, apart by spaces.
        error: the class of our error.
        code: its code.
        what: what happened; `said` is what the service said, `right` the right that was needed.
        fix: what to change.
    """

    codes: str
    error: type[ConfigError | TerminalError | TransientError]
    code: str
    what: str
    fix: str = ""


CAUSES = (
    Cause(
        "NoSuchBucket InvalidBucketName", ConfigError, "root-missing",
        "the bucket does not exist: {said}", "Correct `bucket`, or create it",
    ),
    Cause(
        "AccessDenied AccessDeniedException AllAccessDisabled AccountProblem 403", ConfigError,
        "no-right", "the right {right} is missing: {said}",
        "Grant it to whom the connection signs in as; the policies of the user or role, the bucket"
        " and its key all have a say. Without s3:ListBucket a missing object counts as denied too",
    ),
    Cause(
        "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired", ConfigError,
        "login-failed", "the credentials have expired: {said}",
        "Get new ones; a role (`role_arn`) or the environment's own identity renews itself",
    ),
    Cause(
        "InvalidAccessKeyId SignatureDoesNotMatch InvalidToken InvalidSecurity AuthFailure"
        " InvalidClientTokenId UnrecognizedClientException InvalidIdentityToken IDPRejectedClaim"
        " IncompleteSignature NotSignedUp 401",
        ConfigError, "login-failed", "the sign-in is refused: {said}",
        "Check the access key and its secret, or the role's trust policy",
    ),
    Cause(
        "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException"
        " TemporaryRedirect 301 307",
        ConfigError, "region-wrong", "the bucket is in {region}: {said}",
        "Set `region` to the bucket's, and check `endpoint_url`",
    ),
    Cause(
        "RequestTimeTooSkewed", ConfigError, "clock-wrong",
        "this machine's clock is off: {said}", "Set the clock by a time service",
    ),
    Cause(
        "NotImplemented MethodNotAllowed XNotImplemented 501 405", ConfigError, "not-supported",
        "the service lacks something that is needed: {said}",
        "Use a service that has conditional puts (If-Match, If-None-Match) and uploads in parts",
    ),
    Cause(
        "PreconditionFailed 412", TransientError, "file-changed",
        "the object has changed meanwhile",
    ),
    Cause("NoSuchKey 404", TransientError, "file-moved", "the object is gone"),
    Cause(
        "InvalidRange 416", TransientError, "short-read",
        "the object has fewer bytes than it was listed with",
    ),
    Cause(
        "NoSuchUpload", TransientError, "upload-lost",
        "the upload is gone: another completed it, gave it up or cleaned up after it",
        "If it goes on, check that no lifecycle rule removes uploads that are under way",
    ),
    Cause(
        "BadDigest InvalidDigest XAmzContentChecksumMismatch XAmzContentSHA256Mismatch"
        " IncompleteBody RequestTimeout",
        TransientError, "checksum", "the bytes did not arrive as they were sent: {said}",
    ),
    Cause(
        "SlowDown ServiceUnavailable InternalError InternalFailure Throttling ThrottlingException"
        " RequestLimitExceeded TooManyRequests TooManyRequestsException RequestThrottled"
        " OperationAborted ConditionalRequestConflict BandwidthLimitExceeded Busy 409 429",
        TransientError, "store-busy", "the service is busy: {said}",
        "If it goes on, lower `parallel`",
    ),
    Cause(
        "InvalidObjectState", TerminalError, "archived",
        "the object is in an archive, from where it must be restored first: {said}",
        "Restore it, or leave it out with `exclude`",
    ),
    Cause(
        "EntityTooLarge", TerminalError, "too-large", "the service takes no object this large",
        "Leave it out with `exclude`",
    ),
    Cause(
        "KeyTooLongError InvalidURI", TerminalError, "name-refused",
        "the service takes no such name: {said}",
        "Rename the object, or leave it out with `exclude`",
    ),
    Cause(
        "MetadataTooLarge InvalidTag", TerminalError, "properties-refused",
        "the service does not take the object's metadata or tags: {said}",
        "Shorten them at the source, or leave the object out with `exclude`",
    ),
)  # fmt: skip
