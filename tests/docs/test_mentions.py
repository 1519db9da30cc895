"""What the docs name is there: commands, options, routes of the API; what they show parses."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import click
import pytest

from copy_core.cli import main
from copy_core.errors import ConfigError
from copy_core.service.service import Service
from copy_core.web.app import create_app
from copy_core.web.security import TokenGuard
from tests.docs.pages import PAGES, ROOT, blocks

NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


def scripts(page: str) -> Iterator[str]:
    """The shell of a page: its blocks, and the commands of its sessions."""
    yield from (block.text for block in blocks(page, "sh"))
    for block in blocks(page, "console"):
        typed = re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)
        yield "\n".join(typed) if typed else block.text


@pytest.mark.parametrize("page", NAMES)
def test_scripts_and_json_parse(page: str) -> None:
    for script in scripts(page):
        done = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{script}"
    for block in blocks(page, "json"):
        json.loads(block.text)


@pytest.mark.parametrize("page", NAMES)
def test_commands_have_the_options_that_they_are_given(page: str) -> None:
    assert isinstance(main, click.Group)
    lines = [line for script in scripts(page) for line in script.splitlines()]
    inline = re.findall(r"`(copyjob [^`]+)`", (ROOT / page).read_text("utf-8"))
    wrong = []
    for line in [*lines, *inline]:
        if not (found := re.match(r"(?:\w+=\S+ )*copyjob ([a-z]+)(.*)", line)):
            continue
        command = main.commands.get(found[1])
        known = {o for p in [*main.params, *(command.params if command else [])] for o in p.opts}
        given = set(re.findall(r" (--?[a-z]+(?:-[a-z]+)*)", found[2].partition(" -- ")[0]))
        if command is None or given - known - {"--help", "-h"}:
            wrong.append(line)
    assert wrong == []


def routes() -> set[str]:
    """The paths of the API, with a star for what varies."""

    def no_service() -> Service:
        raise ConfigError("there is none")

    app = create_app(no_service, TokenGuard("a-token-that-is-long-enough"))
    return {re.sub(r"\{\w+\}", "*", path) for path in app.openapi()["paths"]}


@pytest.mark.parametrize("page", NAMES)
def test_paths_of_the_api_are_routes(page: str) -> None:
    named = re.findall(r"/api/[\w/{}$-]+", (ROOT / page).read_text("utf-8"))
    known = [path.strip("/").split("/") for path in routes() | {"/api/openapi"}]

    def exists(path: str) -> bool:
        steps = path.strip("/").split("/")
        return any(
            len(steps) == len(route)
            and all(b in ("*", a) for a, b in zip(steps, route, strict=True))
            for route in known
        )

    assert [path for path in named if not exists(path)] == []
