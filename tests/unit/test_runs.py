"""Runs of a service on one machine: started, followed, cancelled, resumed, at most some at once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pytest

from copy_core.connectors import memory
from copy_core.errors import ConfigError, ConflictError, TransientError
from copy_core.model import RunRequest, RunStatus, RunSummary, Slice, TableResult
from copy_core.run_ids import resumed_as
from copy_core.runners import threaded
from copy_core.runners.launcher import LocalLauncher
from copy_core.runners.threaded import ThreadedRun
from copy_core.service import interrupted, runs
from copy_core.service.catalog import open_catalog
from copy_core.service.run_records import RunView
from copy_core.service.service import Service
from copy_core.service.settings import Settings
from copy_core.state import history, lease, process
from copy_core.state.sqlite import SqliteStateStore

T = TypeVar("T")
Patch = pytest.MonkeyPatch


def now(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def once(patch: Patch, where: Any, name: str, work: Callable[[Callable[[], Any]], Any]) -> None:
    """Has something happen around the next call of a function: `work` makes that call."""
    call = getattr(where, name)

    def instead(*args: Any, **more: Any) -> Any:
        patch.setattr(where, name, call)
        return work(lambda: call(*args, **more))

    patch.setattr(where, name, instead)


def then(happen: Callable[[], object]) -> Callable[[Callable[[], T]], T]:
    """For `once`: something happens just after the call."""

    def work(call: Callable[[], T]) -> T:
        found = call()
        happen()
        return found

    return work


def first(happen: Callable[[], object]) -> Callable[[Callable[[], T]], T]:
    """For `once`: something happens just before the call."""

    def work(call: Callable[[], T]) -> T:
        happen()
        return call()

    return work


class Desk:
    """A service with memory tables.

    Until `open` is set, reading the table `gated` waits after its first row, and the table
    `endless` repeats its own; both set `reading`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = uuid.uuid4().hex
        self.reading, self.open = threading.Event(), threading.Event()
        connections = {
            name: {"type": "memory", "name": f"{self.key}-{name}"} for name in ("here", "there")
        }
        (folder / "connections.json").write_text(json.dumps({"connections": connections}))
        self.store = SqliteStateStore(folder / "state.db")
        self.services: list[Service] = []
        for name in ("a", "gated", "endless", "z"):
            rows = pa.table({"id": list(range(5))})
            memory.store(f"{self.key}-here").put(name, rows, ["id"])

    def job(self, name: str, *tables: str, **settings: Any) -> None:
        job = {
            "name": name,
            "source": "here",
            "destination": "there",
            "write": "append",
            "limits": {"batch_rows": 1, "parallel_tables": 1},
            "tables": [{"source": t, "destination": f"{name}-{t}"} for t in tables],
        }
        (self.folder / f"{name}.json").write_text(json.dumps(job | settings))

    def service(self, at_once: int = 4) -> Service:
        settings = Settings(jobs=str(self.folder), state="unused")
        catalog = open_catalog(settings)
        launcher = LocalLauncher(catalog.load, self.store, at_once)
        self.services.append(Service(settings, catalog, self.store, launcher))
        return self.services[-1]

    def start(self, service: Service, job: str = "trial", **more: Any) -> str:
        request = runs.new_request(job, "http", **more)
        now(runs.start(service, request))
        return request.run_id

    def rows(self, name: str) -> list[int]:
        try:
            return sorted(memory.store(f"{self.key}-there").read(name)["id"].to_pylist())
        except KeyError:
            return []

    def close(self) -> None:
        self.open.set()
        for service in self.services:
            stop(service)
        self.store.close()


def stop(service: Service) -> None:
    assert isinstance(service.launcher, LocalLauncher)
    service.launcher.stop()


def until(seen: Callable[[], T | None]) -> T:
    """What is seen once it is there; the test's own time limit ends a vain wait."""
    while not (found := seen()):
        time.sleep(0.01)
    return found


def ended(service: Service, run_id: str) -> RunView:
    """A run once it has ended and given its job back, which comes a moment after its record."""

    def seen() -> RunView | None:
        run = now(runs.get(service, run_id))
        held = lease.holder_of(service.store, run.job)
        return None if run.status == "running" or (held and held.run_id == run_id) else run

    return until(seen)


def statuses(run: RunView) -> dict[str, str]:
    return {table.source: table.status for table in run.tables}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: Patch) -> Iterator[Desk]:
    desk = Desk(tmp_path)

    class Source(memory.MemorySource):
        def read(self, part: Slice, batch_rows: int) -> Iterator[pa.RecordBatch]:
            for batch in super().read(part, batch_rows):
                yield batch
                while part.object in ("gated", "endless") and not desk.open.is_set():
                    desk.reading.set()
                    if part.object == "endless":
                        yield batch
                    desk.open.wait(0.001)

    monkeypatch.setattr(memory, "MemorySource", Source)
    yield desk
    desk.close()


def test_a_run_is_started_and_can_be_looked_at(desk: Desk) -> None:
    desk.job("trial", "a", "z")
    service = desk.service()
    run_id = desk.start(service)
    run = ended(service, run_id)
    assert (run.status, run.job, run.trigger) == ("succeeded", "trial", "http")
    assert statuses(run) == {"a": "copied", "z": "copied"}
    assert desk.rows("trial-a") == [0, 1, 2, 3, 4]
    page = runs.listed(service, "trial")
    assert [(each.run_id, each.status) for each in page.runs] == [(run_id, "succeeded")]


def test_a_run_can_be_looked_at_as_soon_as_it_is_started(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run = now(runs.get(service, desk.start(service)))
    assert run.status in ("running", "succeeded")
    assert len(runs.listed(service).runs) == 1


def test_only_the_tables_that_were_asked_for_are_copied(desk: Desk) -> None:
    desk.job("trial", "a", "z")
    service = desk.service()
    assert statuses(ended(service, desk.start(service, tables=["z"]))) == {"z": "copied"}
    assert desk.rows("trial-a") == []


def test_a_full_run_replaces_what_is_there(desk: Desk) -> None:
    desk.job("trial", "a", mode="incremental", incremental_column="id")
    service = desk.service()
    ended(service, desk.start(service))
    assert statuses(ended(service, desk.start(service))) == {"a": "unchanged"}
    run = ended(service, desk.start(service, full=True))
    assert [table.load_type for table in run.tables] == ["full"]
    assert desk.rows("trial-a") == [0, 1, 2, 3, 4]


def test_the_same_key_starts_one_run(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    ids = {desk.start(service, key="monday") for _ in range(2)}
    ended(service, *ids)
    assert desk.start(desk.service(), key="monday") in ids
    assert len(runs.listed(service).runs) == 1
    assert desk.rows("trial-a") == [0, 1, 2, 3, 4]


def test_many_who_ask_at_once_for_the_same_run_get_one(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    request = runs.new_request("trial", "http", key="monday")

    async def all_at_once() -> None:
        await asyncio.gather(*(runs.start(service, request) for _ in range(8)))

    now(all_at_once())
    ended(service, request.run_id)
    assert desk.rows("trial-a") == [0, 1, 2, 3, 4]


def test_of_many_runs_that_start_at_once_one_gets_the_job(desk: Desk) -> None:
    desk.job("trial", "gated")
    service = desk.service()
    requests = [runs.new_request("trial", "http") for _ in range(8)]

    async def all_at_once() -> list[BaseException | None]:
        starts = (runs.start(service, request) for request in requests)
        return await asyncio.gather(*starts, return_exceptions=True)

    refused = [each for each in now(all_at_once()) if each is not None]
    assert len(refused) == 7
    assert {type(each) for each in refused} == {ConflictError}
    (run,) = runs.listed(service).runs
    assert {each.holder.split()[1] for each in refused if isinstance(each, ConflictError)} == {
        run.run_id
    }


def test_a_key_is_not_used_for_something_else(desk: Desk) -> None:
    desk.job("trial", "a", "z")
    service = desk.service()
    ended(service, desk.start(service, key="monday"))
    with pytest.raises(ConflictError) as e:
        desk.start(service, key="monday", tables=["a"])
    assert e.value.code == "key-reused"


@pytest.mark.parametrize("look", ["run", "asked"])
def test_a_key_that_is_used_at_once_for_two_things_is_good_for_one(
    desk: Desk, look: str, monkeypatch: Patch
) -> None:
    desk.job("trial", "a", "z")
    service = desk.service()
    once(monkeypatch, history, look, then(lambda: desk.start(service, key="monday", tables=["a"])))
    with pytest.raises(ConflictError) as e:
        desk.start(service, key="monday", tables=["z"])
    assert e.value.code == "key-reused"
    (run,) = runs.listed(service).runs
    assert statuses(ended(service, run.run_id)) == {"a": "copied"}


def test_who_asks_for_a_run_that_was_refused_just_now_is_refused_too(
    desk: Desk, monkeypatch: Patch
) -> None:
    once(monkeypatch, LocalLauncher, "_ended", first(desk.open.wait))
    desk.job("trial", "a")
    service = desk.service()
    lease.claim(desk.store, "trial", 60, lease.Owner(run_id="other", holder="somebody"))
    request = runs.new_request("trial", "http")
    for _ in range(2):
        with pytest.raises(ConflictError) as e:
            now(service.launcher.start(request))
        assert e.value.code == "lease-held"


def test_a_run_that_two_servers_start_at_once_is_carried_by_one(
    desk: Desk, monkeypatch: Patch
) -> None:
    desk.job("trial", "gated", mode="full")
    service, other = desk.service(), desk.service()
    request = runs.new_request("trial", "http", key="monday")
    here = process.this()

    def elsewhere() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(process, "this", lambda: here.model_copy(update={"machine": "other"}))
            now(runs.start(other, request))

    once(monkeypatch, lease, "claim", first(elsewhere))
    now(runs.start(service, request))
    until(lambda: now(service.launcher.progress(request.run_id)) is None)
    assert now(runs.get(service, request.run_id)).status == "running"
    desk.open.set()
    assert statuses(ended(other, request.run_id)) == {"gated": "copied"}
    assert desk.rows("trial-gated") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("listed", [True, False])
def test_a_run_that_another_server_has_taken_is_started_once_it_is_listed(
    desk: Desk, monkeypatch: Patch, *, listed: bool
) -> None:
    desk.job("trial", "a")
    service = desk.service()
    request = runs.new_request("trial", "http", key="monday")
    elsewhere = process.this().model_copy(update={"machine": "other"})
    other = lease.Owner(run_id=request.run_id, holder="another server", process=elsewhere)
    lease.claim(desk.store, "trial", 3600, other)
    monkeypatch.setattr(threaded, "_LOOKS", 10**6 if listed else 2)

    def slowly(claim: Callable[[], T]) -> T:
        if listed:
            begin = partial(history.begin, desk.store, request, 1, datetime.now(UTC))
            threading.Timer(0.1, begin).start()
        return claim()

    once(monkeypatch, lease, "claim", slowly)
    if listed:
        now(runs.start(service, request))
        assert now(runs.get(service, request.run_id)).status == "running"
    else:
        with pytest.raises(TransientError) as e:
            now(runs.start(service, request))
        assert e.value.code == "not-begun"


def test_a_job_that_is_held_starts_nothing_and_names_the_holder(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    lease.claim(desk.store, "trial", 60, lease.Owner(run_id="other", holder="somebody"))
    request = runs.new_request("trial", "http")
    with pytest.raises(ConflictError) as e:
        now(runs.start(service, request))
    assert e.value.code == "lease-held"
    assert "other" in e.value.holder
    assert "somebody" in str(e.value)
    with pytest.raises(ConfigError) as unknown:
        now(runs.get(service, request.run_id))
    assert unknown.value.code == "run-unknown"


def test_a_job_can_be_run_again_as_soon_as_its_run_is_seen_to_have_ended(
    desk: Desk, monkeypatch: Patch
) -> None:
    desk.job("trial", "a")
    service = desk.service()
    # A run records its end, and lets go of the job a moment later.
    letting_go = threading.Event()

    def linger() -> None:
        letting_go.set()
        desk.open.wait()

    once(monkeypatch, lease, "release", first(linger))
    run_id = desk.start(service)
    letting_go.wait()
    assert now(runs.get(service, run_id)).status == "succeeded"
    again = desk.start(service)
    desk.open.set()
    assert ended(service, again).status == "succeeded"


def test_a_job_that_another_run_took_from_one_that_has_ended_is_held_by_that(
    desk: Desk, monkeypatch: Patch
) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run = ended(service, desk.start(service))
    lease.claim(desk.store, "trial", 60, lease.Owner(run_id=run.run_id, holder="copyjob serve"))

    def faster() -> None:
        lease.release(desk.store, "trial", run.run_id)
        lease.claim(desk.store, "trial", 60, lease.Owner(run_id="other", holder="somebody"))

    once(monkeypatch, lease, "release", first(faster))
    with pytest.raises(ConflictError) as e:
        desk.start(service)
    assert "run other" in e.value.holder


@pytest.mark.parametrize(
    ("job", "more", "code"),
    [
        ("nosuch", {}, "job-unknown"),
        ("trial", {"tables": ["nosuch"]}, "table-unknown"),
        ("broken", {}, "job-file"),
        ("shared", {"full": True}, "destination-shared"),
    ],
)
def test_what_cannot_run_is_not_started(
    desk: Desk, job: str, more: dict[str, Any], code: str
) -> None:
    desk.job("trial", "a")
    desk.job("shared", tables=[{"source": t, "destination": "same"} for t in ("a", "z")])
    (desk.folder / "broken.json").write_text('{"name": "broken"')
    service = desk.service()
    with pytest.raises(ConfigError) as e:
        desk.start(service, job, **more)
    assert e.value.code == code
    assert runs.listed(service).runs == ()


@pytest.mark.parametrize("run_id", ["nosuch", "", "a/b", "\0", "ä", "x" * 300])
def test_an_unknown_run_is_told(desk: Desk, run_id: str) -> None:
    service = desk.service()
    for ask in (runs.get, runs.cancel, runs.resume):
        with pytest.raises(ConfigError) as e:
            now(ask(service, run_id))
        assert e.value.code == "run-unknown"


def test_a_run_under_way_shows_what_has_ended_and_how_far_it_is(desk: Desk) -> None:
    desk.job("trial", "a", "gated", "z")
    service = desk.service()
    run_id = desk.start(service)
    desk.reading.wait()

    def six_rows() -> RunView | None:
        # The sixth, the first of `gated`, is counted a moment after it was read.
        run = now(runs.get(service, run_id))
        return run if run.progress and run.progress["rows"] == 6 else None

    run = until(six_rows)
    assert run.status == "running"
    assert run.ended_at == ""
    assert statuses(run) == {"a": "copied"}
    assert run.progress is not None
    assert [run.progress[name] for name in ("tables", "done", "failed")] == [3, 1, 0]
    assert run.progress["bytes"] > 0
    assert run.progress["rows_per_s"] > 0
    desk.open.set()
    run = ended(service, run_id)
    assert statuses(run) == {"a": "copied", "gated": "copied", "z": "copied"}
    assert run.progress is None


def test_a_cancelled_run_stops_between_batches_and_is_resumed(desk: Desk) -> None:
    desk.job("trial", "a", "endless", "z")
    service = desk.service()
    run_id = desk.start(service)
    desk.reading.wait()
    now(runs.cancel(service, run_id))
    run = ended(service, run_id)
    assert run.status == "cancelled"
    assert statuses(run) == {"a": "copied", "endless": "cancelled", "z": "cancelled"}
    until(lambda: lease.holder_of(desk.store, "trial") is None)
    desk.open.set()
    resumed = now(runs.resume(service, run_id))
    assert resumed.trigger == "resume"
    assert statuses(ended(service, resumed.run_id)) == {"endless": "copied", "z": "copied"}
    assert [desk.rows(f"trial-{t}") for t in ("a", "endless", "z")] == [[0, 1, 2, 3, 4]] * 3


def test_a_run_that_ended_cannot_be_cancelled_or_resumed(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = desk.start(service)
    ended(service, run_id)
    with pytest.raises(ConflictError) as e:
        now(runs.cancel(service, run_id))
    assert e.value.code == "run-ended"
    with pytest.raises(ConflictError) as e:
        now(runs.resume(service, run_id))
    assert e.value.code == "nothing-to-resume"


def test_a_run_under_way_cannot_be_resumed(desk: Desk) -> None:
    desk.job("trial", "gated")
    service = desk.service()
    run_id = desk.start(service)
    with pytest.raises(ConflictError) as e:
        now(runs.resume(service, run_id))
    assert e.value.code == "run-under-way"


def test_what_a_stop_of_the_server_cuts_off_goes_on_at_the_next_start(desk: Desk) -> None:
    desk.job("trial", "a", "endless", "z")
    service = desk.service()
    run_id = desk.start(service)
    desk.reading.wait()
    stop(service)
    assert now(runs.get(service, run_id)).status == "interrupted"
    assert lease.holder_of(desk.store, "trial") is None
    desk.open.set()
    again = desk.service()
    assert interrupted.left_open(again) == [run_id]
    assert now(interrupted.take_up(again, [run_id])) == []
    new, old = runs.listed(again).runs
    assert (old.run_id, old.status, new.trigger) == (run_id, "interrupted", "resume")
    assert statuses(ended(again, new.run_id)) == {"endless": "copied", "z": "copied"}
    assert [desk.rows(f"trial-{t}") for t in ("a", "endless", "z")] == [[0, 1, 2, 3, 4]] * 3
    assert interrupted.left_open(again) == []


def test_a_stop_waits_for_the_batches_at_hand(desk: Desk, monkeypatch: Patch) -> None:
    asked, interrupt = threading.Event(), ThreadedRun.interrupt

    def tell(run: ThreadedRun) -> None:
        interrupt(run)
        asked.set()

    monkeypatch.setattr(ThreadedRun, "interrupt", tell)
    desk.job("trial", "gated")
    service = desk.service()
    run_id = desk.start(service)
    desk.reading.wait()
    stopping = threading.Thread(target=stop, args=[service])
    stopping.start()
    asked.wait()  # or the run might go on, and end, before it is asked to stop
    stopping.join(0.2)
    assert stopping.is_alive()
    desk.open.set()
    stopping.join()
    assert now(runs.get(service, run_id)).status == "interrupted"


def test_a_stopped_server_starts_nothing_and_remembers_nothing(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    stop(service)
    request = runs.new_request("trial", "schedule", key="monday")
    with pytest.raises(TransientError):
        now(runs.start(service, request))
    again = desk.service()
    now(runs.start(again, request))
    assert ended(again, request.run_id).status == "succeeded"


def test_a_run_that_was_cancelled_as_the_server_stopped_does_not_go_on(desk: Desk) -> None:
    desk.job("trial", "endless")
    service = desk.service()
    run_id = desk.start(service)
    desk.reading.wait()
    now(runs.cancel(service, run_id))
    stop(service)
    assert now(runs.get(service, run_id)).status == "cancelled"
    assert interrupted.left_open(desk.service()) == []


def test_a_run_that_is_cancelled_as_it_gives_its_job_back_does_not_go_on(
    desk: Desk, monkeypatch: Patch
) -> None:
    desk.job("trial", "endless")
    service = desk.service()
    run_id = desk.start(service)
    desk.reading.wait()
    once(monkeypatch, lease, "release", first(lambda: now(runs.cancel(service, run_id))))
    stop(service)
    assert now(runs.get(service, run_id)).status == "cancelled"
    assert interrupted.left_open(desk.service()) == []


def died(desk: Desk, *copied: str, holds: float = -1, run_id: str = "died", **more: Any) -> str:
    """A run whose process died: its record is open, and its lease has run out."""
    request = RunRequest(run_id=run_id, job="trial", **more)
    history.ask(desk.store, request, datetime.now(UTC))
    lease.claim(desk.store, "trial", holds, lease.Owner(run_id=run_id, holder="dead"))
    history.begin(desk.store, request, 3, datetime.now(UTC))
    results = {
        number: TableResult(source=table, destination=table, status="copied")
        for number, table in enumerate(copied)
    }
    history.record_tables(desk.store, run_id, results)
    return run_id


def test_a_run_whose_process_died_is_shown_as_interrupted(desk: Desk) -> None:
    desk.job("trial", "a", "gated", "z")
    service = desk.service()
    assert now(runs.get(service, died(desk, "a"))).status == "interrupted"
    assert [run.status for run in runs.listed(service).runs] == ["interrupted"]


def test_an_interrupted_run_can_be_cancelled(desk: Desk) -> None:
    desk.job("trial", "a", "gated", "z")
    service = desk.service()
    now(runs.cancel(service, died(desk, "a")))
    run = now(runs.get(service, "died"))
    assert (run.status, statuses(run)) == ("cancelled", {"a": "copied"})
    assert run.ended_at
    assert desk.store.get("trial", "lease") is None
    assert interrupted.left_open(service) == []


def test_who_cancels_a_run_that_ends_by_itself_at_that_moment_is_told(
    desk: Desk, monkeypatch: Patch
) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk)
    once(monkeypatch, history, "end", first(lambda: end(desk, run_id, "failed")))
    with pytest.raises(ConflictError) as e:
        now(runs.cancel(service, run_id))
    assert e.value.code == "run-ended"
    assert "failed" in e.value.what
    assert now(runs.get(service, run_id)).status == "failed"


def test_cancelling_an_interrupted_run_leaves_the_run_after_it_alone(desk: Desk) -> None:
    desk.job("trial", "gated")
    service = desk.service()
    died(desk)
    run_id = desk.start(service)
    now(runs.cancel(service, "died"))
    assert now(runs.get(service, "died")).status == "cancelled"
    assert now(runs.get(service, run_id)).status == "running"


def test_an_interrupted_run_is_resumed_with_what_it_was_asked_for(desk: Desk) -> None:
    desk.job("trial", "a", "gated", "z")
    desk.open.set()
    service = desk.service()
    request = now(runs.resume(service, died(desk, "a", tables=("a", "z"))))
    assert statuses(ended(service, request.run_id)) == {"z": "copied"}


def test_a_run_that_was_asked_for_and_never_began_is_shown_and_can_be_resumed(desk: Desk) -> None:
    desk.job("trial", "a", "z")
    service = desk.service()
    request = runs.new_request("trial", "http", ["z"])
    history.ask(desk.store, request, datetime.now(UTC))
    run = now(runs.get(service, request.run_id))
    assert (run.status, run.job, run.trigger) == ("interrupted", "trial", "http")
    resumed = now(runs.resume(service, request.run_id))
    assert statuses(ended(service, resumed.run_id)) == {"z": "copied"}


def test_a_full_run_is_resumed_in_full(desk: Desk) -> None:
    desk.job("trial", "a", "z", mode="incremental", incremental_column="id")
    service = desk.service()
    ended(service, desk.start(service))
    request = now(runs.resume(service, died(desk, "a", full=True)))
    (table,) = ended(service, request.run_id).tables
    assert (table.source, table.load_type) == ("z", "full")
    assert desk.rows("trial-z") == [0, 1, 2, 3, 4]


def test_a_full_load_goes_on_where_it_was_cut_off(desk: Desk) -> None:
    desk.job("trial", "endless", mode="incremental", incremental_column="id")
    service = desk.service()
    desk.start(service, full=True)
    desk.reading.wait()
    stop(service)
    desk.open.set()
    again = desk.service()
    assert now(interrupted.take_up(again, interrupted.left_open(again))) == []
    run = ended(again, runs.listed(again).runs[0].run_id)
    assert [(table.load_type, table.resumed) for table in run.tables] == [("full", True)]
    assert desk.rows("trial-endless") == [0, 1, 2, 3, 4]


def test_an_interrupted_run_that_had_copied_all_has_succeeded(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk, "a")
    assert now(interrupted.take_up(service, interrupted.left_open(service))) == []
    assert now(runs.get(service, run_id)).status == "succeeded"


def test_a_run_that_still_holds_its_job_is_taken_up_later(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk, holds=60)
    assert now(interrupted.take_up(service, interrupted.left_open(service))) == [run_id]
    assert len(runs.listed(service).runs) == 1


def test_a_run_that_was_cancelled_when_it_was_dead_already_is_not_taken_up(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk, holds=60)
    now(runs.cancel(service, run_id))
    lease.renew(desk.store, "trial", -1, run_id)
    assert now(interrupted.take_up(service, interrupted.left_open(service))) == []
    assert [run.status for run in runs.listed(service).runs] == ["cancelled"]


def end(desk: Desk, run_id: str, status: RunStatus) -> None:
    """Ends a run as its process does."""
    at = datetime.now(UTC).isoformat()
    summary = RunSummary(run_id=run_id, job="trial", status=status, started_at=at, ended_at=at)
    history.end(desk.store, summary)
    lease.release(desk.store, "trial", run_id)


ENDS: list[RunStatus] = ["failed", "cancelled", "succeeded", "interrupted"]


@pytest.mark.parametrize("status", ENDS)
def test_a_run_that_was_under_way_elsewhere_and_has_ended_is_not_taken_up(
    desk: Desk, status: RunStatus
) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk, holds=60)
    left = now(interrupted.take_up(service, interrupted.left_open(service)))
    end(desk, run_id, status)
    assert now(interrupted.take_up(service, left)) == []
    assert len(runs.listed(service).runs) == 1


@pytest.mark.parametrize("status", ENDS)
def test_a_run_that_ends_while_it_is_looked_at_is_not_taken_up(
    desk: Desk, status: RunStatus, monkeypatch: Patch
) -> None:
    desk.job("trial", "a")
    service = desk.service()
    left = [died(desk, holds=60)]
    once(monkeypatch, history, "run", then(lambda: end(desk, left[0], status)))
    assert now(interrupted.take_up(service, left)) == []
    assert [run.status for run in runs.listed(service).runs] == [status]


def test_a_run_that_died_and_was_overtaken_before_it_was_seen_is_not_taken_up(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    left = [died(desk, holds=60)]
    assert now(interrupted.take_up(service, left)) == left
    now(runs.cancel(service, left[0]))
    lease.renew(desk.store, "trial", -1, left[0])
    # It had been told to stop, which its lease does not tell any more.
    ended(service, desk.start(service))
    assert now(interrupted.take_up(service, left)) == []
    assert len(runs.listed(service).runs) == 2


def test_a_run_whose_end_is_not_listed_yet_is_not_taken_up(desk: Desk, monkeypatch: Patch) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk, holds=60)
    monkeypatch.setattr(history, "_list", lambda *_: None)
    end(desk, run_id, "failed")
    lease.release(desk.store, "trial", run_id)
    assert now(interrupted.take_up(service, interrupted.left_open(service))) == []
    assert [run.run_id for run in runs.listed(service).runs] == [run_id]


def test_a_run_that_died_is_taken_up_after_a_run_of_other_tables(desk: Desk) -> None:
    desk.job("trial", "a", "z")
    service = desk.service()
    run_id = died(desk, holds=60)
    assert now(interrupted.take_up(service, [run_id])) == [run_id]
    lease.renew(desk.store, "trial", -1, run_id)
    ended(service, desk.start(service, tables=["z"]))
    assert interrupted.left_open(service) == [run_id]
    assert now(interrupted.take_up(service, [run_id])) == []
    run = ended(service, resumed_as(run_id))
    assert statuses(run) == {"a": "copied", "z": "copied"}


def test_of_two_runs_that_died_the_first_is_taken_up_after_the_second(desk: Desk) -> None:
    desk.job("trial", "a", "z")
    service = desk.service()
    first_id = died(desk)
    second_id = died(desk, run_id="later", tables=("z",))
    left = interrupted.left_open(service)
    assert left == [second_id, first_id]
    assert now(interrupted.take_up(service, left)) == [first_id]
    ended(service, resumed_as(second_id))
    assert now(interrupted.take_up(service, [first_id])) == []
    assert statuses(ended(service, resumed_as(first_id))) == {"a": "copied", "z": "copied"}
    assert interrupted.left_open(service) == []


def test_a_run_that_died_is_found_behind_all_that_were_skipped(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk)
    at = datetime.now(UTC).isoformat()
    for n in range(120):
        skipped = RunSummary(
            run_id=f"s{n}", job="trial", status="skipped", started_at=at, ended_at=at
        )
        history.record(desk.store, skipped)
    assert interrupted.left_open(service) == [run_id]


def test_a_run_that_is_cancelled_while_it_is_looked_at_is_not_taken_up(
    desk: Desk, monkeypatch: Patch
) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk)
    once(monkeypatch, lease, "check", then(lambda: now(runs.cancel(service, run_id))))
    assert now(interrupted.take_up(service, [run_id])) == []
    assert [run.status for run in runs.listed(service).runs] == ["cancelled"]


def test_a_run_that_is_cancelled_while_it_is_taken_up_takes_the_new_one_along(
    desk: Desk, monkeypatch: Patch
) -> None:
    desk.job("trial", "endless")
    service = desk.service()
    run_id = died(desk)

    async def started(start: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
        found = await start()
        await runs.cancel(service, run_id)
        return found

    once(monkeypatch, LocalLauncher, "start", started)
    assert now(interrupted.take_up(service, [run_id])) == []
    new, old = runs.listed(service).runs
    assert old.status == "cancelled"
    assert ended(service, new.run_id).status == "cancelled"


def test_a_run_is_resumed_once_and_the_new_run_then(desk: Desk) -> None:
    desk.job("trial", "a", "endless")
    service = desk.service()
    first = now(runs.resume(service, died(desk, "a"))).run_id
    desk.reading.wait()
    now(runs.cancel(service, first))
    assert ended(service, first).status == "cancelled"
    desk.open.set()
    with pytest.raises(ConflictError) as e:
        now(runs.resume(service, "died"))
    assert (e.value.code, e.value.where["run"]) == ("run-resumed", first)
    second = now(runs.resume(service, first)).run_id
    assert statuses(ended(service, second)) == {"endless": "copied"}


def test_a_job_that_is_gone_or_broken_does_not_stop_others_from_being_taken_up(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    run_id = died(desk)
    (desk.folder / "broken.json").write_text("{")
    assert now(interrupted.take_up(service, ["nosuch", *interrupted.left_open(service)])) == []
    new = runs.listed(service).runs[0]
    assert new.run_id != run_id
    assert ended(service, new.run_id).status == "succeeded"


def test_runs_beyond_the_bound_hold_their_job_and_wait(desk: Desk) -> None:
    desk.job("first", "gated")
    desk.job("second", "a")
    service = desk.service(at_once=1)
    first = desk.start(service, "first")
    desk.reading.wait()
    second = desk.start(service, "second")
    with pytest.raises(ConflictError):
        desk.start(service, "second")
    run = now(runs.get(service, second))
    assert (run.status, run.tables) == ("running", ())
    desk.open.set()
    assert [ended(service, each).status for each in (first, second)] == ["succeeded"] * 2


def test_a_run_that_waits_for_its_turn_can_be_cancelled(desk: Desk) -> None:
    desk.job("first", "gated")
    desk.job("second", "a")
    service = desk.service(at_once=1)
    desk.start(service, "first")
    desk.reading.wait()
    second = desk.start(service, "second")
    now(runs.cancel(service, second))
    assert ended(service, second).status == "cancelled"
    assert desk.rows("second-a") == []


def test_pages_of_runs_follow_each_other(desk: Desk) -> None:
    desk.job("trial", "a")
    service = desk.service()
    made = []
    for _ in range(3):
        made.append(desk.start(service))
        ended(service, made[-1])
    first = runs.listed(service, limit=2)
    rest = runs.listed(service, limit=2, before=first.next)
    assert [run.run_id for run in (*first.runs, *rest.runs)] == made[::-1]
    assert rest.next is None
