"""The lease: one run at a time, taken over from the dead and the late, never from the living."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from copy_core.errors import ConflictError
from copy_core.state import lease, process
from copy_core.state.azure_tables import AzureTablesStateStore
from copy_core.state.base import StateStore
from copy_core.state.lease import Heartbeat, Lease, Owner
from copy_core.state.sqlite import SqliteStateStore

_CLAIM = """
import sys, time
from copy_core.state import lease, process
from copy_core.state.sqlite import SqliteStateStore
store = SqliteStateStore(sys.argv[1])
who = lease.Owner(run_id="first", holder="copyjob run", process=process.this())
lease.claim(store, "sales", 3600, who)
print("claimed", flush=True)
time.sleep(600)
"""


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with SqliteStateStore(tmp_path / "state.db") as store:
        yield store


def claim(store: StateStore, run_id: str, now: Clock, job: str = "sales") -> Lease:
    return lease.claim(store, job, 60, Owner(run_id=run_id, holder="a test"), now)


def eventually(says: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not says():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_free_job_is_claimed(store: StateStore, clock: Clock) -> None:
    mine = claim(store, "a", clock)
    assert mine.until == clock.seconds + 60
    assert lease.check(store, "sales", "a") == mine
    assert lease.holder_of(store, "sales", clock) == mine


def test_a_held_job_is_refused_and_its_holder_named(store: StateStore, clock: Clock) -> None:
    this = process.this()
    who = Owner(run_id="a", holder="copyjob run", process=this)
    mine = lease.claim(store, "sales", 60, who, clock)
    with pytest.raises(ConflictError) as refused:
        claim(store, "b", clock)
    for part in ("run a", "copyjob run", f"process {this.pid}", this.host, "1970"):
        assert part in refused.value.holder
        assert part in refused.value.what
    assert refused.value.where == {"job": "sales"}
    assert lease.check(store, "sales", "a") == mine


def test_jobs_have_leases_of_their_own(store: StateStore, clock: Clock) -> None:
    claim(store, "a", clock, job="sales")
    claim(store, "b", clock, job="stock")
    assert lease.check(store, "sales", "a").run_id == "a"
    assert lease.check(store, "stock", "b").run_id == "b"


def test_the_same_run_may_claim_again(store: StateStore, clock: Clock) -> None:
    claim(store, "a", clock)
    clock.seconds += 30
    assert claim(store, "a", clock).until == clock.seconds + 60
    with pytest.raises(ConflictError):
        claim(store, "b", clock)


def test_the_same_run_is_carried_by_one_process(store: StateStore, clock: Clock) -> None:
    here = Owner(run_id="a", holder="copyjob serve", process=process.this())
    afar = here.model_copy(
        update={"process": process.this().model_copy(update={"machine": "another"})}
    )
    mine = lease.claim(store, "sales", 60, here, clock)
    with pytest.raises(ConflictError) as refused:
        lease.claim(store, "sales", 60, afar, clock)
    assert refused.value.code == lease.ELSEWHERE
    assert lease.check(store, "sales", "a") == mine
    lease.claim(store, "sales", 60, here, clock)
    clock.seconds += 60
    assert lease.claim(store, "sales", 60, afar, clock).process == afar.process


def test_a_run_that_no_process_is_tied_to_is_carried_by_any(
    store: StateStore, clock: Clock
) -> None:
    claim(store, "a", clock)
    who = Owner(run_id="a", holder="a worker", process=process.this())
    assert lease.claim(store, "sales", 60, who, clock).holder == "a worker"


def test_a_lease_lasts_to_its_last_instant(store: StateStore, clock: Clock) -> None:
    claim(store, "a", clock)
    clock.seconds += 59.999
    with pytest.raises(ConflictError):
        claim(store, "b", clock)
    clock.seconds += 0.001
    assert lease.holder_of(store, "sales", clock) is None
    assert claim(store, "b", clock).run_id == "b"


def test_a_renewed_lease_lasts_longer(store: StateStore, clock: Clock) -> None:
    claim(store, "a", clock)
    clock.seconds += 50
    lease.renew(store, "sales", 60, "a", clock)
    clock.seconds += 50
    with pytest.raises(ConflictError):
        claim(store, "b", clock)


def test_a_late_owner_may_renew_if_nobody_came(store: StateStore, clock: Clock) -> None:
    claim(store, "a", clock)
    clock.seconds += 100
    lease.renew(store, "sales", 60, "a", clock)
    with pytest.raises(ConflictError):
        claim(store, "b", clock)


def test_an_owner_that_was_succeeded_is_fenced_off(store: StateStore, clock: Clock) -> None:
    claim(store, "a", clock)
    clock.seconds += 60
    heir = claim(store, "b", clock)
    for act in (
        lambda: lease.renew(store, "sales", 60, "a", clock),
        lambda: lease.release(store, "sales", "a"),
        lambda: lease.check(store, "sales", "a"),
        lambda: claim(store, "a", clock),
    ):
        with pytest.raises(ConflictError) as refused:
            act()
        assert "run b" in refused.value.holder
    assert lease.check(store, "sales", "b") == heir


def test_a_released_job_is_free(store: StateStore, clock: Clock) -> None:
    claim(store, "a", clock)
    lease.release(store, "sales", "a")
    lease.release(store, "sales", "a")
    assert lease.holder_of(store, "sales", clock) is None
    with pytest.raises(ConflictError):
        lease.check(store, "sales", "a")
    with pytest.raises(ConflictError):
        lease.renew(store, "sales", 60, "a", clock)
    claim(store, "b", clock)


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_process_leaves_its_job_at_once(
    tmp_path: Path, store: StateStore, reaped: bool
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CLAIM, str(tmp_path / "state.db")],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    second = Owner(run_id="second", holder="a test")
    with child.stdout as said:
        assert said.readline() == "claimed\n"
        with pytest.raises(ConflictError) as refused:
            lease.claim(store, "sales", 60, second)
        assert f"process {child.pid}" in refused.value.holder
        child.kill()
        said.read()  # ends when the process does
    if reaped:
        child.wait()
    eventually(lambda: lease.holder_of(store, "sales") is None)
    assert lease.claim(store, "sales", 60, second).run_id == "second"
    child.wait()


def test_a_pid_that_was_given_to_another_process_is_dead(store: StateStore, clock: Clock) -> None:
    earlier = process.this().model_copy(update={"started": process.this().started - 60})
    lease.claim(store, "sales", 60, Owner(run_id="a", holder="x", process=earlier), clock)
    assert claim(store, "b", clock).run_id == "b"


def test_nobody_knows_of_a_process_on_another_machine(store: StateStore, clock: Clock) -> None:
    afar = process.this().model_copy(update={"machine": "another", "pid": 2**22 + 1})
    lease.claim(store, "sales", 60, Owner(run_id="a", holder="x", process=afar), clock)
    with pytest.raises(ConflictError):
        claim(store, "b", clock)


def test_a_process_knows_itself_alive() -> None:
    assert not process.this().dead()


def test_a_heartbeat_keeps_the_lease(
    store: StateStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By a clock of its own: a loaded machine may keep the thread waiting for longer than a lease.
    monkeypatch.setattr(lease, "elapsed", clock)
    ends = [lease.claim(store, "sales", 3600, Owner(run_id="a", holder="a test")).until]
    with Heartbeat(store, "sales", 3600, "a", look=0.01) as beat:
        for _ in range(6):
            clock.seconds += 1201
            eventually(lambda: lease.check(store, "sales", "a").until > ends[-1])
            ends.append(lease.check(store, "sales", "a").until)
            beat.check()
            assert beat.lost is None


def test_a_heartbeat_tells_that_another_run_took_over(store: StateStore) -> None:
    lease.claim(store, "sales", 3600, Owner(run_id="a", holder="a test"))
    with Heartbeat(store, "sales", 3600, "a", look=0.01) as beat:
        later = Clock()
        later.seconds = time.time() + 7200
        heir = claim(store, "b", later)
        eventually(lambda: beat.lost)
        with pytest.raises(ConflictError) as lost:
            beat.check()
        assert "run b" in lost.value.holder
    assert lease.check(store, "sales", "b") == heir


def test_a_heartbeat_gives_up_when_the_store_stays_away() -> None:
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;"
        "TableEndpoint=http://127.0.0.1:1/a;"
    )
    with (
        AzureTablesStateStore.from_connection_string(nowhere) as away,
        Heartbeat(away, "sales", 0.3, "a") as beat,
    ):
        eventually(lambda: beat.lost)
        with pytest.raises(ConflictError) as lost:
            beat.check()
    assert lost.value.code == "lease-lost"


def test_a_heartbeat_ends_with_its_block(store: StateStore) -> None:
    lease.claim(store, "sales", 1, Owner(run_id="a", holder="a test"))
    with Heartbeat(store, "sales", 1, "a"):
        pass
    lease.release(store, "sales", "a")
    assert lease.holder_of(store, "sales") is None
