"""Storage of a test's own, that it may take away and bring back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import servers
from tests.ports import ports_of_ones_own


class OwnStorage:
    """An Azurite that keeps what it holds, and its ports, when it is stopped and started again.

    Args:
        folder: where it keeps that.

    Attributes:
        connection_string: leads there; a secret anywhere else.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._held = ExitStack()
        self._ports = self._held.enter_context(ports_of_ones_own(3))
        self.connection_string = servers.Azurite(*self._ports).connection_string
        self._running = ExitStack()

    def start(self) -> None:
        """Returns once it answers."""
        azurite = servers._SERVERS["azurite"]
        process = self._running.enter_context(
            subprocess.Popen(
                azurite.command(self._folder, self._ports),
                cwd=self._folder,
                env=os.environ | azurite.environment(self._folder, self._ports),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=servers.die_with_parent,  # noqa: PLW1509 - it takes no lock
            )
        )
        self._running.callback(process.send_signal, signal.SIGTERM)
        while not all(servers._answers(port, None) for port in self._ports):
            assert process.poll() is None, "Azurite ended"
            time.sleep(0.05)

    def stop(self) -> None:
        """Returns once it has written down what it holds, and is gone."""
        self._running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._held.close()
