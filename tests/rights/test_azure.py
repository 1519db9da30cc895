"""The roles of the pages of Azure storage: they are enough, and what the page says that a copy
needs of them is not too much.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient, generate_container_sas

from copy_core.connectors.options import AzureStorageOptions, LocalOptions
from tests.crash.store_places import Kind, options
from tests.matrix.cells import run
from tests.rights import copies, pages, rbac
from tests.rights.copies import Copy, Place
from tests.rights.guard import Guard
from tests.servers import Azurite
from tests.store_proxy import Answer, Exchange, Rule, answering, proxy

AT_SOURCE, AT_DESTINATION = "keep tags, at the source", "keep tags, at the destination"
# What the page's table says that each copy is.
USES: dict[Copy, tuple[str, ...]] = {
    copies.reads_rows: ("read",),
    copies.reads_new_files: ("read",),
    copies.reads_objects: ("read", AT_SOURCE),
    copies.reads_new_objects: ("read", AT_SOURCE),
    copies.moves_objects: ("read", "`delete_source`"),
    copies.leaves_rows_out: ("read", "`bad_rows: skip`"),
    copies.writes_rows: ("write",),
    copies.breaks_off: ("write",),
    copies.is_tried_for_writing: ("write",),
    copies.writes_objects: ("write", AT_DESTINATION),
    copies.copies_within: ("read", "write", AT_SOURCE, AT_DESTINATION),
}
# For each use, a copy that fails without any of its actions, or lacks something.
LACKING: dict[str, Copy] = {
    "read": copies.reads_rows,
    "write": copies.writes_rows,
    "`delete_source`": copies.moves_objects,
    "`bad_rows: skip`": copies.leaves_rows_out,
    AT_SOURCE: copies.reads_objects,
    AT_DESTINATION: copies.writes_objects,
}


class Container:
    """A container, past the guard."""

    def __init__(self, azurite: Azurite, name: str) -> None:
        self._client = ContainerClient(azurite.blob_endpoint, name, credential=azurite.key)
        self._client.create_container()

    def put(self, key: str, data: bytes, tags: Mapping[str, str]) -> None:
        self._client.upload_blob(key, data, tags=dict(tags) or None)

    def all(self) -> dict[str, dict[str, str]]:
        names = list(self._client.list_blob_names())
        return {name: self._client.get_blob_client(name).get_blob_tags() for name in names}

    def unfinished(self) -> list[str]:
        return []  # blocks that nobody joins go by themselves


@pytest.fixture
def guard() -> Guard:
    return Guard(
        rbac.needs, "AuthorizationPermissionMismatch", {"x-ms-tag-count": f"{rbac.BLOB}/tags/read"}
    )


@pytest.fixture
def place(tmp_path: Path, azurite: Azurite, guard: Guard) -> Iterator[Place]:
    name = f"rights-{secrets.token_hex(8)}"
    inside, outside = (Container(azurite, each) for each in (name, f"{name}-other"))
    with proxy(azurite.blob_origin) as server:
        server.reset(Rule(guard))
        guarded, free = (
            options(Kind("azure_blob", "parquet", f"{origin}/{azurite.account}", each))
            for origin, each in ((server.origin, name), (azurite.blob_origin, f"{name}-other"))
        )
        yield Place(tmp_path, guarded, inside, free, outside)


@pytest.mark.parametrize("copy", USES, ids=lambda copy: copy.__name__)
def test_what_the_page_says_is_enough(place: Place, guard: Guard, copy: Copy) -> None:
    guard.allow_actions({action for use in USES[copy] for action in pages.uses()[use]})
    assert copy(place) == ""
    # Who may not be told whether the account has a hierarchy does without.
    assert guard.refused <= {f"{rbac.BLOB_SERVICE}/getInfo/action"}


@pytest.mark.parametrize(
    ("use", "action"),
    [(use, each) for use, actions in pages.uses().items() for each in sorted(actions)],
)
def test_no_action_is_superfluous(place: Place, guard: Guard, use: str, action: str) -> None:
    copy = LACKING[use]
    guard.allow_actions({each for use in USES[copy] for each in pages.uses()[use]} - {action})
    assert copy(place) != ""


BLOB = """<Blob><Name>{name}</Name><Properties>
<Last-Modified>Mon, 23 Nov 2026 12:00:00 GMT</Last-Modified><Etag>0x1</Etag>
<Content-Length>1</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"""
PAGE = """<?xml version="1.0"?><EnumerationResults><Blobs>{blobs}</Blobs>
<NextMarker>{marker}</NextMarker></EnumerationResults>"""


@pytest.mark.parametrize("answers", [[["in/a/b"], ["in/a-b"]], [["in/a/b", "in/a-b"]]])
def test_a_hierarchy_that_nobody_may_know_of_is_noticed_by_its_order(
    tmp_path: Path, azurite: Azurite, answers: list[list[str]]
) -> None:
    """Such an account has `a/b` before `a-b`; parts are ranges of names, and would lose some."""

    def answer(exchange: Exchange) -> None:
        if "comp=list" not in exchange.path:  # getInfo
            answering(403, "AuthorizationPermissionMismatch")(exchange)
            return
        n = int("marker=" in exchange.path)
        blobs = "".join(BLOB.format(name=name) for name in answers[n])
        body = PAGE.format(blobs=blobs, marker="2" if n + 1 < len(answers) else "").encode()
        exchange.reply(Answer(200, {"Content-Type": "application/xml"}, body))

    with proxy(azurite.blob_origin) as server:
        server.reset(Rule(answer))
        endpoint = f"{server.origin}/{azurite.account}"
        source = options(Kind("azure_blob", "binary", endpoint, "lake"))
        to = LocalOptions.model_validate(
            {"type": "local", "root": str(tmp_path / "to"), "format": "binary"}
        )
        assert run(tmp_path, source, to, {"source": "in"}) == "unordered"


def letters(use: str) -> str:
    """The permissions of a signature that the page names for a use."""
    text = (pages.FOLDER / "azure_blob.md").read_text("utf-8")
    (found,) = re.findall(rf"^\| {re.escape(use)} \| [^|]*\(`(\w+)`\) \|$", text, re.MULTILINE)
    return str(found)


SIGNED: dict[Copy, tuple[str, ...]] = {
    copies.reads_rows: ("read",),
    copies.moves_objects: ("read", "`delete_source`"),
    copies.leaves_rows_out: ("read", "`bad_rows: skip`"),
    copies.reads_objects: ("read", "keep tags"),
    copies.writes_rows: ("write",),
}


@pytest.mark.parametrize(
    ("copy", "lacking"),
    [(copy, each) for copy, uses in SIGNED.items() for each in ("", *letters(uses[-1]))],
    ids=lambda value: getattr(value, "__name__", value or "none"),
)
def test_a_signature_needs_these_permissions(
    place: Place, azurite: Azurite, monkeypatch: pytest.MonkeyPatch, copy: Copy, lacking: str
) -> None:
    assert isinstance(place.guarded, AzureStorageOptions)
    signature = generate_container_sas(
        azurite.account,
        place.guarded.container,
        account_key=azurite.key,
        permission="".join({each for use in SIGNED[copy] for each in letters(use)} - {lacking}),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    monkeypatch.setenv("COPYJOB_TEST_SIGNATURE", signature)
    signed = {"account_key": None, "sas": "${env:COPYJOB_TEST_SIGNATURE}"}
    guarded = place.guarded.model_copy(update=signed)
    assert (copy(place._replace(guarded=guarded)) == "") == (not lacking)


def test_the_roles_hold_what_the_page_says() -> None:
    uses = pages.uses()
    reader, contributor = (
        rbac.ROLES[f"Storage Blob Data {name}"][1] for name in ("Reader", "Contributor")
    )
    assert uses.pop("read") <= reader
    tags = {action for use in list(uses) if "tags" in use for action in uses.pop(use)}
    assert set().union(*uses.values()) <= contributor
    (role,) = (json.loads(block.text) for block in pages.blocks("azure_blob", "json"))
    assert set(role["DataActions"]) == tags
    assert not tags & contributor
