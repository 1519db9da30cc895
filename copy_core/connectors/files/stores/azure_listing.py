"""Listing a container in the order of the keys' UTF-8 bytes, whatever order the service has.

A flat account sorts names as they are. One with a hierarchical namespace sorts them step by step,
so that `a/b` comes before `a-b`: https://github.com/Azure/azure-sdk-for-go/issues/24210. There the
folders are listed one by one, and each is put back to where its slash belongs. Nobody says whether
characters beyond U+FFFF sort by their UTF-16 or their UTF-8; either is put in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobPrefix, BlobProperties, ContainerClient

from copy_core.connectors.files.stores.azure_faults import ABSENT, code_of, faults
from copy_core.connectors.files.stores.azure_properties import FOLDER
from copy_core.errors import ConfigError

Item = BlobProperties | str
"""A blob, or the name of a folder, which ends in a slash."""

_BEYOND = re.compile("[\U00010000-\U0010ffff]")


def flat(client: ContainerClient, prefix: str, after: str, page: int) -> Iterator[BlobProperties]:
    """Every blob of an account without a hierarchy.

    Args:
        client: the container.
        prefix: what names begin with.
        after: a name; only those that come after it are given.
        page: how many blobs a request asks for.

    Raises:
        ConfigError: the account has a hierarchy, which not everybody is told (`unordered`).
    """
    # Where the service knows `start_from` it saves the pages before; an old one ignores it.
    start: dict[str, Any] = (
        {"start_from": after} if after > prefix and not _BEYOND.search(after) else {}
    )
    found = client.list_blobs(prefix, include=["metadata"], results_per_page=page, **start)
    last = ""
    for blob in by_bytes(item for page in pages(found) for item in page):
        last, before = name_of(blob), last
        if last < before:
            raise ConfigError(
                "the account does not list blobs in the order of their names, as one with a"
                " hierarchical namespace does not",
                fix="Set the connection's `type` to adls_gen2",
                code="unordered",
                file=last,
            )
        if isinstance(blob, BlobProperties) and last > after and not is_folder(blob):
            yield blob


def deep(client: ContainerClient, prefix: str, after: str, page: int) -> Iterator[BlobProperties]:
    """Every blob of an account with a hierarchy, folder by folder; arguments as `flat`."""
    found = client.walk_blobs(prefix, include=["metadata"], results_per_page=page)
    for item in by_bytes(slashed(items(found))):
        if isinstance(item, str):
            if item > after or after.startswith(item):
                yield from deep(client, item, after, page)
        elif name_of(item) > after and not is_folder(item):
            yield item


def is_folder(blob: BlobProperties) -> bool:
    """Whether it stands for a folder: of a hierarchical namespace, or as some programs mark one."""
    names = (name.lower() for name in blob.metadata or {})
    return name_of(blob).endswith("/") or FOLDER in names


def name_of(item: Item) -> str:
    """A blob's name, or the folder's."""
    return item if isinstance(item, str) else str(item.name)


def slashed(items: Iterator[Item]) -> Iterator[Item]:
    """One level in which a folder `a` comes where `a` sorts, or where `a/` does, as if it were
    called `a/` in either case.
    """
    held: list[str] = []
    for item in items:
        name = name_of(item)
        while held and not _before(name, held[0]):
            yield heappop(held)
        if isinstance(item, str):
            heappush(held, name)
        else:
            yield item
    yield from sorted(held)


def by_bytes(items: Iterator[Item]) -> Iterator[Item]:
    """What is sorted by UTF-16 or by UTF-8, sorted by UTF-8. UTF-16 has U+10000 and above before
    U+E000 to U+FFFF; so names with such a character wait until all that begin as they do have come.
    """
    held: list[tuple[str, str, int, Item]] = []
    for n, item in enumerate(items):
        name = name_of(item)
        while held and not name.startswith(held[0][1]):
            yield heappop(held)[-1]
        if beyond := _BEYOND.search(name):
            heappush(held, (name, name[: beyond.start()], n, item))
        else:
            yield item
    yield from (each[-1] for each in sorted(held, key=lambda each: each[:3]))


def _before(name: str, folder: str) -> bool:
    """Whether a name that follows a folder's in the listing still comes before its slash."""
    return name.startswith(folder[:-1]) and name < folder


def items(found: Any) -> Iterator[Item]:
    """What is on one level, sorted as its names are without their slashes."""
    for page in pages(found):
        # An answer names folders first and blobs after them.
        yield from sorted(page, key=lambda item: name_of(item).removesuffix("/"))


def pages(found: Any) -> Iterator[list[Item]]:
    """What was found, page by page, each asked for when it is its turn.

    Args:
        found: what `list_blobs` or `walk_blobs` gives.
    """
    answers = found.by_page()
    while True:
        with faults():
            try:
                page = next(answers, None)
            except ResourceNotFoundError as e:
                if code_of(e) not in ABSENT:
                    raise
                return  # a folder that went away meanwhile, or was a file all the time
        if page is None:
            return
        yield [str(item.name) if isinstance(item, BlobPrefix) else item for item in page]
