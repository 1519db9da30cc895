"""What the answers of Blob Storage mean, by its error codes.

The codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from copy_core.azure_errors import classed, no_sign_in, status_of
from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError

SERVICE: Final = "Azure Blob Storage"
READER: Final = "Storage Blob Data Reader"
WRITER: Final = "Storage Blob Data Contributor"

ABSENT: Final = ("BlobNotFound", "PathNotFound")
"""The codes of an object that is not there, in a container that is."""

_MISSING = ("ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled", "AccountIsDisabled")
# OneLake's, see https://github.com/microsoft/vscode-fabric/issues/111.
_NO_LAKEHOUSE = ("WorkspaceNotFound", "ArtifactNotFound")
_UNKNOWN = ("AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation")
_NAMES = ("InvalidResourceName", "InvalidUri", "OutOfRangeInput", "InvalidQueryParameterValue")
_CHECKSUMS = ("Md5Mismatch", "Crc64Mismatch")

# What is so until somebody changes the object: what happened, the fix, our code.
_LASTING: Final = {
    "BlobArchived": (
        "the object is in the archive tier, where it cannot be read",
        "Set its tier to hot, cool or cold, wait until it is back (hours), or use `exclude`",
        "archived",
    ),
    "BlobBeingRehydrated": (
        "the object is on its way back from the archive tier",
        "Run the job again when its tier is hot, cool or cold, which takes hours",
        "archived",
    ),
    "InvalidBlobType": (
        "an append or page blob has this name, which a block blob cannot replace",
        "Delete that blob, or write to another prefix",
        "blob-type",
    ),
    "BlobImmutableDueToPolicy": (
        "a policy of immutability keeps the object from being replaced or removed",
        "Write to another container, or wait until the policy ends",
        "immutable",
    ),
    "SnapshotsPresent": (
        "the object has snapshots, and cannot be removed before them",
        "Delete its snapshots",
        "has-snapshots",
    ),
    "InvalidBlobOrBlock": (
        "another program began to upload this object with block ids of another length",
        "Finish that upload, delete the object, or wait a week until the service forgets it",
        "blocks-unfit",
    ),
}
_LEASED = (
    "somebody holds a lease on the object",
    "Break the lease, or have its holder give it back",
    "leased",
)


@contextmanager
def faults(key: str = "") -> Iterator[None]:
    """Turns errors of the SDK into ours.

    Args:
        key: the object at hand.
    """
    try:
        yield
    except AzureError as e:
        raise fault(e, key) from e


def code_of(error: AzureError) -> str:
    """The service's own code of an error; "" when there is none."""
    code = getattr(error, "error_code", None)
    if isinstance(code, Enum):
        return str(code.value)
    response = error.response if isinstance(error, HttpResponseError) else None
    return str(code or getattr(response, "headers", {}).get("x-ms-error-code") or "")


def fault(error: AzureError, key: str = "") -> CopyJobError:
    """An error by what may be done about it, a refused condition of a writer apart."""
    code, status = code_of(error), status_of(error)
    found = _of_access(error, code, status) or _of_object(code, status)
    return (found or classed(error, SERVICE, WRITER, "storage")).at(file=key)


def _of_access(error: AzureError, code: str, status: int | None) -> CopyJobError | None:
    said = str(error.message).partition("\n")[0]
    if code in _MISSING or (status == 404 and code in ("", "ResourceNotFound")):
        return ConfigError(
            f"the container is not there ({code or status})",
            fix="Create it, or correct the connection's `account_url` and `container`",
            code="root-missing",
        )
    if code in _NO_LAKEHOUSE:
        return ConfigError(
            f"there is no such workspace or lakehouse: {said}",
            fix="Correct `workspace` and `lakehouse` of the connection: both names, or both ids",
            code="root-missing",
        )
    if code == "FriendlyNameSupportDisabled":
        return ConfigError(
            "OneLake takes no names of workspaces and lakehouses here",
            fix="Give the ids of both, which stand in the portal's address of the lakehouse",
            code="bad-name",
        )
    if isinstance(error, ClientAuthenticationError) and status is None:
        return no_sign_in(error)
    if status == 401 or code in _UNKNOWN:
        return ConfigError(
            f"{SERVICE} refuses the sign-in: {said}",
            fix="Check the connection's `account_key`, when its `sas` expires, or its identity, and"
            " this machine's clock",
            code="login-failed",
        )
    if code in ("KeyBasedAuthenticationNotPermitted", "PublicAccessNotPermitted"):
        return ConfigError(
            f"the account does not let anybody in this way: {code}",
            fix="Set the connection's `auth` to default or managed_identity",
            code="login-failed",
        )
    if status == 403:
        return ConfigError(
            f"{SERVICE} does not allow it: {said} ({code})",
            fix=f"Give the identity the role {READER} to read and {WRITER} to write (Storage Blob"
            " Data Owner for tags; in Fabric, Contributor of the workspace), or the signature these"
            " rights; check the account's firewall",
            code="no-right",
        )
    return None


def _of_object(code: str, status: int | None) -> CopyJobError | None:
    if lasting := _LEASED if code.startswith("Lease") else _LASTING.get(code):
        what, fix, ours = lasting
        return TerminalError(what, fix=fix, code=ours)
    if code in _NAMES:
        return ConfigError(
            f"{SERVICE} takes no object of this name ({code})",
            fix="Rename it, or leave it out with `exclude`; a name has 1,024 characters at most",
            code="bad-name",
        )
    if code in _CHECKSUMS:
        return TransientError("the bytes were damaged on their way", code="checksum")
    if code == "InvalidBlockList":
        return TransientError(
            "another upload of the same object took the place of this one", code="upload-lost"
        )
    if status == 404:
        return TransientError("the object is not there any more", code="file-moved")
    if status == 412:
        return TransientError("the object was changed meanwhile", code="file-changed")
    if status == 416:
        return TransientError("the object is shorter than it was", code="short-read")
    return None
