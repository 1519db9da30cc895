"""Conditional requests (RFC 9110): what a store calls an etag, and what HTTP does. Pure."""

from __future__ import annotations

import re

from copy_core.errors import ConfigError, ConflictError

_LISTED = re.compile(r'(W/)?("[^"]*")')


def quoted(etag: str) -> str:
    """A store's etag as HTTP writes it. Some stores quote theirs already."""
    return f'"{etag.removeprefix("W/").strip(chr(34))}"'


def unchanged(etag: str, if_none_match: str | None) -> bool:
    """Whether the asker has this version already."""
    if if_none_match is None:
        return False
    listed = {tag for _, tag in _LISTED.findall(if_none_match)}
    return if_none_match.strip() == "*" or quoted(etag) in listed


def require(etag: str, if_match: str, *, job: str) -> None:
    """Makes sure that a change is meant for this version.

    Raises:
        ConflictError: it is meant for another one (code `changed`).
    """
    strong = {tag for weak, tag in _LISTED.findall(if_match) if not weak}
    if if_match.strip() != "*" and quoted(etag) not in strong:
        raise changed(job)


def changed(job: str) -> ConflictError:
    """The job is not, or no longer, what the request says."""
    return ConflictError(
        "the job is not the version that the request is about",
        fix="Read it again, and make the change to what it is now",
        code="changed",
        job=job,
    )


def missing(wanted: str) -> ConfigError:
    """A change without a condition could overwrite somebody else's."""
    return ConfigError(
        "the request does not say which version of the job it changes",
        fix=f"Send {wanted}",
        code="precondition-missing",
    )
