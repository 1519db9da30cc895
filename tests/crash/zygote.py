"""A process that has everything imported and forks a child for each run: one costs milliseconds.

It speaks lines of JSON: requests come in on its standard input, answers go out on its standard
output. It starts no thread itself and opens no connector, so its children are as good as new.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from typing import IO, Any

from tests.crash import child
from tests.servers import die_with_parent

_NEEDED = (
    "adbc_driver_sqlite.dbapi copy_core.connectors.delta copy_core.connectors.files.connector"
    " copy_core.connectors.files.csv copy_core.connectors.files.destination"
    " copy_core.connectors.files.jsonl copy_core.connectors.files.parquet"
    " copy_core.connectors.files.source copy_core.connectors.files.stores.local"
    " copy_core.connectors.sql.sqlite pyarrow.acero pyarrow.compute pyarrow.csv pyarrow.dataset"
    " pyarrow.json pyarrow.parquet"
)


class Zygote:
    """Forks children and tells what became of them."""

    def __init__(self) -> None:
        self._answers: dict[int, IO[bytes]] = {}

    def serve(self) -> None:
        """Answers requests until there are no more; no child is left behind."""
        try:
            for line in sys.stdin:
                print(json.dumps(self._do(json.loads(line))), flush=True)
        finally:
            for pid in self._answers:
                os.kill(pid, signal.SIGKILL)

    def _do(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """`start`: children with these specs at the same time; each ends, stops, or is killed
        after so many seconds. `resume` one that stopped.
        """
        match request:
            case {"start": specs}:
                return [self._wait(pid, spec) for pid, spec in [(self._fork(s), s) for s in specs]]
            case {"resume": pid}:
                os.kill(pid, signal.SIGCONT)
                return [self._wait(pid, {})]
        raise AssertionError(request)

    def _fork(self, spec: dict[str, Any]) -> int:
        answer = tempfile.TemporaryFile()  # noqa: SIM115 - open until the child has ended
        pid = os.fork()
        if pid:
            self._answers[pid] = answer
            return pid
        die_with_parent()
        self._answers.clear()
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            child.work(spec, lambda value: _note(answer.fileno(), value))
            code = 0
        except BaseException:  # noqa: BLE001 - the parent is told, and this process ends
            _note(answer.fileno(), {"raised": traceback.format_exc()})
        finally:
            os._exit(code)

    def _wait(self, pid: int, spec: dict[str, Any]) -> dict[str, Any]:
        if "after" in spec:
            time.sleep(spec["after"])
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, os.WUNTRACED)
        answer = self._answers[pid]
        answer.seek(0)
        value: dict[str, Any] = json.loads(answer.read() or b"{}")
        if os.WIFSTOPPED(status):
            return {"pid": pid, "end": "stopped", **value}
        self._answers.pop(pid).close()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
            name = signal.Signals(os.WTERMSIG(status)).name
            return {"end": "done", "raised": f"it died of {name}, which nobody sent: see above"}
        return {"end": "killed" if os.WIFSIGNALED(status) else "done", **value}


def _note(file: int, value: dict[str, Any]) -> None:
    text = json.dumps(value).encode()
    os.ftruncate(file, 0)
    os.pwrite(file, text, 0)


if __name__ == "__main__":
    for name in [*_NEEDED.split(), *sys.argv[1:]]:
        importlib.import_module(name)
    faulthandler.enable()
    gc.freeze()
    Zygote().serve()
