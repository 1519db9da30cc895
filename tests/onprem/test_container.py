"""The container is made of what Azure installs, and knows how it fares."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import ROOT
from tests.web.served import Served

FILE = (ROOT / "infra/onprem/Dockerfile").read_text("utf-8").replace("\\\n", "")


def lines(instruction: str) -> list[str]:
    return re.findall(rf"^{instruction} (.*)$", FILE, re.MULTILINE)


def test_its_python_is_that_of_the_app() -> None:
    [wanted] = re.findall(r"^AZURE_PYTHON := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    images = {line.split()[0] for line in lines("FROM")}
    assert len(images) == 1
    assert set(re.findall(r"python:?(\d+\.\d+)", FILE)) == {wanted}


def test_what_it_takes_from_the_clone_is_let_in() -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {line.split()[0] for line in lines("COPY") if not line.startswith("--from")}
    assert copied == let_in
    assert all((ROOT / each).exists() for each in copied)
    # The first rule keeps everything else out.
    assert next(rule for rule in rules if not rule.startswith("#")) == "*"


@pytest.mark.parametrize("up", [True, False])
def test_its_health_is_that_of_the_server(up: bool, tmp_path: Path) -> None:
    [check] = lines("HEALTHCHECK")
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    with Served(jobs) as server:
        port = str(urlsplit(server.address).port)
        if not up:
            server.stop()
        [_, *given] = json.loads(check.partition("CMD ")[2])
        told = [argument.replace("8080", port) for argument in given]
        # A proxy for the way out is not asked.
        environment = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
        command = [sys.executable, *told]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode == 0) == up


def test_it_serves_as_somebody_without_rights() -> None:
    assert lines("USER") == ["10001"]
    command = [*json.loads(lines("ENTRYPOINT")[0]), *json.loads(lines("CMD")[0])]
    assert command[:2] == ["copyjob", "serve"]
