"""A service over a real state and a folder of jobs; its runs begin and end when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from copy_core.errors import ConflictError, TransientError
from copy_core.model import JsonDict, RunRequest, RunSummary
from copy_core.service.catalog import open_catalog
from copy_core.service.launcher import Launcher
from copy_core.service.service import Service
from copy_core.service.settings import Settings
from copy_core.state import history, lease
from copy_core.state.base import ANY, Row, StateStore
from copy_core.state.sqlite import SqliteStateStore

CONNECTIONS = "connections: {shop: {type: memory}, lake: {type: memory}}\n"


class Engine(Launcher):
    """Starts an id once and lets it be, as Durable Functions do until a worker takes it up.

    Attributes:
        started: what was started, in order.
        down: whether it can be reached.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._under_way: set[str] = set()
        self.started: list[RunRequest] = []
        self.down = False

    async def start(self, request: RunRequest) -> bool:
        if self.down:
            raise TransientError("the engine does not answer", job=request.job)
        if request.run_id in self.ids:
            return False
        self.started.append(request)
        self._under_way.add(request.run_id)
        return True

    async def progress(self, run_id: str) -> JsonDict | None:
        return {} if run_id in self._under_way else None

    async def purge(self, before: datetime) -> None:
        raise NotImplementedError

    @property
    def ids(self) -> list[str]:
        return [request.run_id for request in self.started]

    def begin(self, request: RunRequest) -> None:
        """The run claims its job, or ends without a trace when another has it."""
        who = lease.Owner(run_id=request.run_id, holder="the engine")
        try:
            lease.claim(self._store, request.job, 3600, who)
        except ConflictError:
            self._under_way.remove(request.run_id)
            return
        history.begin(self._store, request, 1, datetime.now(UTC))

    def end(self, request: RunRequest) -> None:
        now = datetime.now(UTC).isoformat()
        about = request.model_dump(include={"run_id", "job", "trigger"})
        history.end(
            self._store, RunSummary(**about, status="succeeded", started_at=now, ended_at=now)
        )
        lease.release(self._store, request.job, request.run_id)
        self._under_way.remove(request.run_id)

    def run(self, request: RunRequest) -> None:
        self.begin(request)
        self.end(request)


class Place:
    """A service in a folder.

    Attributes:
        service: the service.
        engine: its launcher.
        store: its state.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "jobs"
        self.folder.mkdir()
        (self.folder / "connections.yaml").write_text(CONNECTIONS)
        self.store: StateStore = SqliteStateStore(folder / "state.db")
        self.engine = Engine(self.store)
        self.service = self.over(self.store)

    def over(self, store: StateStore) -> Service:
        """The service over another view of its state."""
        settings = Settings(jobs=str(self.folder), state="")
        return Service(settings, open_catalog(settings), store, self.engine)

    def job(self, name: str, **keys: str) -> None:
        """Writes a job file; `keys` are its further lines."""
        lines = {"name": name, "source": "shop", "destination": "lake", **keys}
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        (self.folder / f"{name}.yaml").write_text(f"{text}tables: [{{source: orders}}]\n")

    def history(self, job: str | None = None) -> list[history.RunHeader]:
        return list(history.runs(self.store, job, 100).runs)


class Died(BaseException):
    """The process is killed here."""


class Watched(StateStore):
    """A state whose every call is announced before and after it is made.

    Args:
        inner: the state.
        announce: told the partition of each call; what it raises stands for what happens there.
    """

    def __init__(self, inner: StateStore, announce: Callable[[str], None]) -> None:
        self._inner, self._announce = inner, announce

    def get(self, partition: str, key: str) -> Row | None:
        self._announce(partition)
        return self._inner.get(partition, key)

    def put(self, partition: str, key: str, value: JsonDict, expect: str = ANY) -> str:
        self._announce(partition)
        etag = self._inner.put(partition, key, value, expect)
        self._announce(partition)
        return etag

    def put_many(self, partition: str, values: object) -> None:
        raise NotImplementedError

    def delete(self, partition: str, key: str, expect: str = ANY) -> None:
        raise NotImplementedError

    def list(
        self, partition: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[Row]:
        self._announce(partition)
        return self._inner.list(partition, prefix, after, limit)

    def delete_prefix(self, partition: str, prefix: str) -> None:
        self._announce(partition)
        self._inner.delete_prefix(partition, prefix)
