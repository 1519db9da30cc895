"""Address of the jobs -> the store behind it, imported when it is first needed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from copy_core.errors import ConfigError
from copy_core.secrets import remember, resolve

if TYPE_CHECKING:
    from copy_core.service.jobs import JobStore

# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_WITHIN = (
    r"(?:/(?P<container>(?=[^/]{3,63}(?:/|$))[a-z0-9]+(?:-[a-z0-9]+)*)"
    r"(?:/(?P<prefix>[\w=-][\w.=-]*(?:/[\w=-][\w.=-]*)*))?)?/?"
)
_BLOBS_URL = re.compile(rf"(?P<account>https://[a-z0-9-]+\.blob\.[a-z0-9.-]+){_WITHIN}", re.ASCII)
_BY_REFERENCE = re.compile(rf"blobs:(?P<reference>\$\{{env:\w+\}}){_WITHIN}", re.ASCII)
_SECRETS = re.compile(r"(?:AccountKey=|SharedAccessSignature=|[?&;=]sig=)([^;&]+)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_CHOICES = (
    "Give a folder, https://ACCOUNT.blob.core.windows.net/CONTAINER,"
    " or blobs:${env:NAME}/CONTAINER where NAME holds a storage connection string"
)


def open_jobs(url: str) -> JobStore:
    """Opens a store of job definitions.

    Args:
        url: one of

            * `path`: a folder of this machine;
            * `https://ACCOUNT.blob.core.windows.net[/CONTAINER[/PREFIX]]`: a container of Azure
              Blob Storage, by identity;
            * `blobs:${env:NAME}[/CONTAINER[/PREFIX]]`: the same or Azurite, by the connection
              string in the environment variable NAME.

    Raises:
        ConfigError: it is none of these, or a variable is not set.
    """
    return jobs_opener(url)()


def jobs_opener(url: str, environ: Mapping[str, str] = os.environ) -> Callable[[], JobStore]:
    """Understands the address of a store of job definitions, and returns what opens it.

    Nothing is imported or asked before that is called, so an address can be checked at any start.

    Args:
        url: as for `open_jobs`.
        environ: the environment that its reference is looked up in.

    Raises:
        ConfigError: it is none of these, or a variable is not set.
    """
    if found := _BLOBS_URL.fullmatch(url):
        return partial(_by_identity, found["account"], found["container"], found["prefix"])
    if found := _BY_REFERENCE.fullmatch(url):
        return _by_connection_string(found, environ)
    # A single letter before the colon is a drive of Windows.
    if not url or _SCHEME.match(url):
        # What stands there may be a secret itself: it is not repeated.
        raise ConfigError("the jobs' address is not understood", fix=_CHOICES, code="jobs-url")
    return partial(_folder, url)


def _folder(path: str) -> JobStore:
    from copy_core.service.jobs_folder import FolderJobs

    return FolderJobs(path)


def _by_identity(account_url: str, container: str | None, prefix: str | None) -> JobStore:
    from copy_core.service.jobs_blob import CONTAINER, BlobJobs

    return BlobJobs.from_url(account_url, container or CONTAINER, prefix or "")


def _by_connection_string(
    found: re.Match[str], environ: Mapping[str, str]
) -> Callable[[], JobStore]:
    connection = resolve(found["reference"], environ)
    for secret in _SECRETS.findall(connection):
        remember(secret)  # a message may hold this part alone

    def opened() -> JobStore:
        from copy_core.service.jobs_blob import CONTAINER, BlobJobs

        return BlobJobs.from_connection_string(
            connection, found["container"] or CONTAINER, found["prefix"] or ""
        )

    return opened
