"""The test host itself: what the other tests here rely on, shown on an app made for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.durable.conftest import MakeSite
from tests.durable.host.events import Kind, event, iso
from tests.durable.host.replay import Act, NonDeterministicError, Simulation
from tests.durable.host.timers import next_after
from tests.durable.site import Site, until

APP = """
import itertools, json, os, time
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()
calls = itertools.count()

@app.route(route="start/{name}", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def start(req, client):
    name = req.route_params["name"]
    return await client.start_new(name, req.params.get("id"), req.get_json())

@app.route(route="status/{id}", auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def status(req, client):
    found = await client.get_status(req.route_params["id"])
    return json.dumps([found.runtime_status and found.runtime_status.value, found.output])

@app.route(route="purge", auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def purge(req, client):
    return str((await client.purge_instance_history(req.params["id"])).instances_deleted)

@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
async def anybody(req):
    return "open"

@app.route(route="{*path}", auth_level=func.AuthLevel.FUNCTION)
async def rest(req, context):
    return f"{req.method} {req.route_params.get('path')} {context.function_name}"

@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer")
def new_year(timer):
    write("happy new year")

@app.activity_trigger(input_name="arg")
def note(arg):
    write(str(arg))
    while os.path.exists(os.environ["NOTES"] + ".held"):
        time.sleep(0.01)
    return arg

@app.activity_trigger(input_name="size")
def large(size):
    return "x" * size

@app.orchestration_trigger(context_name="context")
def chain(context):
    found = []
    for each in context.get_input():
        found.append((yield context.call_activity("note", each)))
        yield context.create_timer(context.current_utc_datetime)
    return found

@app.orchestration_trigger(context_name="context")
def too_much(context):
    return (yield context.call_activity("large", context.get_input()))

@app.orchestration_trigger(context_name="context")
def parent(context):
    return (yield context.call_sub_orchestrator("chain", context.get_input()))

@app.orchestration_trigger(context_name="context")
def moody(context):
    yield context.call_activity("note", f"mood {next(calls)}")

@app.orchestration_trigger(context_name="context")
def renewed(context):
    left = context.get_input()
    yield context.call_activity("note", left)
    if left:
        context.continue_as_new(left - 1)
        return None
    return "done"

def write(line):
    with open(os.environ["NOTES"], "a") as file:
        file.write(line + "\\n")
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where the app writes down what it did."""
    path = tmp_path / "notes"
    path.touch()
    return path


@pytest.fixture
def held(notes: Path) -> Path:
    """While it is there, activities that have taken their note do not answer."""
    path = notes.with_name("notes.held")
    path.touch()
    return path


@pytest.fixture
def start(make_site: MakeSite, tmp_path: Path, notes: Path) -> MakeSite:
    """Starts the app for this file, on a host with some flags."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "function_app.py").write_text(APP)
    http = {"extensions": {"http": {"routePrefix": ""}}}
    (folder / "host.json").write_text(json.dumps(http))

    def make(*flags: str) -> Site:
        return make_site(*flags, app=folder, environment={"NOTES": str(notes)})

    return make


def ended(site: Site, instance: str) -> list[Any]:
    """Waits for an instance to end; its status and output."""

    def look() -> list[Any] | None:
        status: list[Any] = site.ask("GET", f"/status/{instance}").body
        return status if status[0] not in ("Pending", "Running") else None

    found: list[Any] = until(look)
    return found


def begin(site: Site, name: str, given: Any, instance: str = "i") -> str:
    """Starts an orchestration with the real client."""
    answer = site.ask("POST", f"/start/{name}?id={instance}", given)
    assert answer == (200, instance)
    return instance


class TestOrchestrations:
    @pytest.mark.parametrize("flags", [(), ("--strict",)])
    def test_a_chain_within_another(self, start: MakeSite, notes: Path, flags: Any) -> None:
        site = start(*flags)
        assert ended(site, begin(site, "parent", ["a", "b"])) == ["Completed", ["a", "b"]]
        assert notes.read_text() == "a\nb\n"
        assert site.report()["instances"] == {"parent": {"Completed": 1}, "chain": {"Completed": 1}}

    def test_what_was_not_answered_is_delivered_again(
        self, start: MakeSite, notes: Path, held: Path
    ) -> None:
        site = start()
        begin(site, "chain", ["a", "b"])
        until(lambda: notes.read_text() == "a\n")
        site.kill()
        held.unlink()
        site.start()
        assert ended(site, "i") == ["Completed", ["a", "b"]]
        assert notes.read_text() == "a\na\nb\n"

    def test_activities_can_be_delivered_twice(self, start: MakeSite, notes: Path) -> None:
        site = start("--strict", "--deliver", "again")
        assert ended(site, begin(site, "chain", ["a", "b"])) == ["Completed", ["a", "b"]]
        assert notes.read_text() == "a\na\nb\nb\n"

    def test_activities_can_be_delivered_twice_at_the_same_time(
        self, start: MakeSite, notes: Path, held: Path
    ) -> None:
        site = start("--strict", "--deliver", "together")
        begin(site, "chain", ["a", "b"])
        until(lambda: notes.read_text() == "a\na\n")
        held.unlink()
        assert ended(site, "i") == ["Completed", ["a", "b"]]
        # The first answer counts: the second delivery may come to its note after the end.
        until(lambda: notes.read_text() == "a\na\nb\nb\n")

    def test_continuing_as_new_empties_the_history(self, start: MakeSite) -> None:
        site = start("--strict")
        assert ended(site, begin(site, "renewed", 3)) == ["Completed", "done"]
        assert site.report()["longest"]["renewed"] == 8

    def test_an_id_starts_one_instance_at_a_time(self, start: MakeSite, held: Path) -> None:
        site = start()
        begin(site, "chain", ["a"])
        assert site.ask("POST", "/start/chain?id=i", ["a"]).status == 500
        held.unlink()
        ended(site, "i")
        begin(site, "chain", ["b"])
        assert ended(site, "i") == ["Completed", ["b"]]

    def test_an_instance_can_be_purged(self, start: MakeSite) -> None:
        site = start()
        assert ended(site, "nobody") == [None, None]
        ended(site, begin(site, "chain", []))
        assert site.ask("GET", "/purge?id=i").body == 1
        assert ended(site, "i") == [None, None]


class TestComplaints:
    """What must not happen is told when the site is stopped; here it is meant to."""

    def test_an_orchestrator_that_is_not_deterministic(self, start: MakeSite) -> None:
        site = start("--strict")
        assert ended(site, begin(site, "moody", "calm"))[0] == "Failed"
        with pytest.raises(AssertionError, match="moody i is not deterministic"):
            site.stop()

    def test_a_message_that_is_too_large(self, start: MakeSite) -> None:
        site = start()
        assert ended(site, begin(site, "too_much", 50_000))[0] == "Completed"
        assert ended(site, begin(site, "too_much", 70_000))[0] == "Failed"
        with pytest.raises(AssertionError, match="the output of large has 70002 bytes"):
            site.stop()


class TestDoors:
    def test_only_anonymous_functions_need_no_key(self, start: MakeSite) -> None:
        site = start()
        for path in ("/elsewhere", "/status/i", "/admin/host/report"):
            assert site.ask("GET", path, x_functions_key="").status == 401
        assert site.ask("POST", "/admin/functions/new_year", x_functions_key="no").status == 401
        assert site.ask("GET", "/open", x_functions_key="") == (200, "open")

    def test_the_rest_of_a_path_goes_to_the_function_that_takes_it(self, start: MakeSite) -> None:
        site = start()
        assert site.ask("GET", "/a/b%20c").body == "GET a/b c rest"
        assert site.ask("DELETE", "/").body == "DELETE None rest"

    def test_the_management_api_has_a_key_of_its_own(self, start: MakeSite) -> None:
        site = start()
        path = "/runtime/webhooks/durabletask/instances/i"
        assert site.ask("GET", path).status == 401
        assert site.ask("GET", f"{path}?code=wrong").status == 401

    def test_a_timer_can_be_made_to_run_now(self, start: MakeSite, notes: Path) -> None:
        site = start()
        site.fire("new_year")
        until(lambda: notes.read_text() == "happy new year\n")
        assert site.ask("POST", "/admin/functions/nobody", {}).status == 404


def test_a_day_of_a_schedule_must_be_right_by_month_and_by_week() -> None:
    due = next_after("30 0 12 13 * FRI", 1767225600.0)  # from the first of January 2026
    assert iso(due).startswith("2026-02-13T12:00:30")
    assert next_after("* * * * *", 0.5) == 60.0


class TestSimulation:
    """Actions are awaited one by one, as the extension does it."""

    STARTED = [event(Kind.ORCHESTRATOR_STARTED), event(Kind.EXECUTION_STARTED)]

    @staticmethod
    def call(name: str) -> dict[str, Any]:
        return {"actionType": Act.CALL_ACTIVITY, "functionName": name, "input": "1"}

    @staticmethod
    def first_of(*actions: dict[str, Any]) -> dict[str, Any]:
        return {"actionType": Act.WHEN_ANY, "compoundActions": list(actions)}

    def asked(self, history: list[dict[str, Any]], *actions: dict[str, Any]) -> list[str]:
        return [wish.name for wish in Simulation(history, list(actions)).wishes]

    def test_a_task_that_is_awaited_holds_up_what_comes_after(self) -> None:
        a, b, c = map(self.call, "abc")
        first_ended = [*self.STARTED, event(Kind.TASK_COMPLETED, TaskScheduledId=0, Result="1")]
        assert self.asked(self.STARTED, self.first_of(a, b)) == ["a", "b"]
        # The code has gone on to await b and c. Of these only c is new, and c is waited for.
        assert self.asked(first_ended, self.first_of(a, b), self.first_of(c)) == ["a", "b", "c"]
        d = self.call("d")
        more = [*first_ended, event(Kind.TASK_COMPLETED, TaskScheduledId=1, Result="1")]
        waves = (self.first_of(a, b), self.first_of(c), self.first_of(d))
        assert self.asked(more, *waves) == ["a", "b", "c"]

    def test_a_timer_that_is_cancelled_holds_up_nothing(self) -> None:
        timer = {"actionType": Act.CREATE_TIMER, "fireAt": iso(0), "isCanceled": True}
        a, b = map(self.call, "ab")
        assert self.asked(self.STARTED, self.first_of(a, timer), b) == ["a", "", "b"]

    def test_history_and_actions_must_agree(self) -> None:
        scheduled = event(Kind.TASK_SCHEDULED, 0, Name="a")
        assert Simulation([*self.STARTED, scheduled], [self.call("a")]).new == []
        for actions in ([self.call("b")], []):
            with pytest.raises(NonDeterministicError, match="task 0 was TASK_SCHEDULED a"):
                Simulation([*self.STARTED, scheduled], actions)
