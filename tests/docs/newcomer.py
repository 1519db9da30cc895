"""Does what a page says, as somebody would who has nothing but the page."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.docs.pages import Block, blocks
from tests.ports import ports_of_ones_own

_MARK = "@@ end of a block"
_WRITE = re.compile(r"`([\w.-]+\.yaml)`:$")


class Newcomer:
    """A home without anything, a terminal, and python3 on its path.

    Args:
        home: an empty folder.
        installed: whether `copyjob` is on the path, too.
    """

    def __init__(self, home: Path, *, installed: bool = False) -> None:
        commands = home / "bin"
        commands.mkdir()
        (commands / "python3").symlink_to(Path(sys.executable).resolve())
        if installed:
            (commands / "copyjob").symlink_to(Path(sys.executable).parent / "copyjob")
        self._environment = {
            "HOME": str(home),
            "PATH": os.pathsep.join([str(commands), "/usr/bin", "/bin"]),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as "no isolation"
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def follow(
        self, page: str, folder: Path, before: Mapping[str, str] | None = None
    ) -> list[tuple[Block, str]]:
        """Types every command of a page, in one terminal, and writes the files that it shows.

        Args:
            page: the page.
            folder: where to begin.
            before: what is typed before the lines that begin so, and is not on the page.

        Returns:
            The blocks of commands, each with what it printed.

        Raises:
            AssertionError: a command failed.
        """
        typed = []
        script = "set -e\n"
        for block in blocks(page, "sh", "yaml"):
            if block.language == "sh":
                typed.append(block)
                for line in block.text.splitlines():
                    hidden = [
                        more for start, more in (before or {}).items() if line.startswith(start)
                    ]
                    script += "\n".join([*hidden, line, ""])
                script += f"echo; echo '{_MARK}'\n"
            elif name := _WRITE.search(block.lead):
                how = ">>" if block.lead.startswith("Add to") else ">"
                script += f"printf %s {shlex.quote(block.text)} {how} {name[1]}\n"
        printed = self.type(script, folder).split(f"\n{_MARK}\n")
        assert printed.pop() == ""
        return list(zip(typed, printed, strict=True))

    def type(self, script: str, folder: Path) -> str:
        """Runs a script of the shell; returns what it printed, errors included.

        Raises:
            AssertionError: it failed.
        """
        with ports_of_ones_own(1) as [port]:
            process = subprocess.Popen(
                ["bash", "-c", script.replace("8080", str(port))],
                cwd=folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                printed, _ = process.communicate()
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # what it left behind when it failed
        assert process.returncode == 0, printed
        return printed
