"""The app's functions, and how the Python worker calls them."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions.decorators.function_app import Function

HTTP, TIMER = "httpTrigger", "timerTrigger"
_ORCHESTRATOR, _ACTIVITY = "orchestrationTrigger", "activityTrigger"
_NAMED_BY = {_ORCHESTRATOR: "orchestration", _ACTIVITY: "activity"}
_THREADS = 32


class Invocation(func.Context):
    """What a function receives as `context`."""

    def __init__(self, name: str, directory: str) -> None:
        self._name, self._directory, self._id = name, directory, str(uuid.uuid4())
        self._local = threading.local()

    invocation_id = property(lambda self: self._id)
    function_name = property(lambda self: self._name)
    function_directory = property(lambda self: self._directory)
    thread_local_storage = property(lambda self: self._local)
    trace_context = property(lambda _: None)
    retry_context = property(lambda _: None)


class Functions:
    """Loads the app, and calls its functions: `async` ones on one loop of their own, others in
    threads, as the worker does.

    Args:
        folder: where function_app.py and host.json are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.settings: dict[str, Any] = json.loads((folder / "host.json").read_text())
        self._client = ""
        self._by_kind: dict[str, dict[str, Function]] = {}
        sys.path.insert(0, self._folder)
        module = importlib.import_module("function_app")
        app = next(v for v in vars(module).values() if isinstance(v, func.FunctionRegister))
        for function in app.get_functions():
            trigger = trigger_of(function)
            kind = str(trigger.type)
            name = getattr(trigger, _NAMED_BY.get(kind, ""), None) or name_of(function)
            self._by_kind.setdefault(kind, {})[name.lower()] = function
            _check(function)
        unknown = set(self._by_kind) - {HTTP, TIMER, _ORCHESTRATOR, _ACTIVITY}
        if unknown:
            raise TypeError(f"this host runs no functions with {', '.join(sorted(unknown))}")
        self._pool = ThreadPoolExecutor(_THREADS, "worker")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="worker", daemon=True).start()

    def bind_client(self, client: str) -> None:
        """Says what functions with a durable client receive, as JSON."""
        self._client = client

    def of(self, kind: str) -> dict[str, Function]:
        """The functions with a kind of trigger, by lower-case name."""
        return self._by_kind.get(kind, {})

    def orchestrator(self, name: str) -> Callable[[Any], str]:
        """What the SDK made of an orchestrator.

        Raises:
            KeyError: there is none of this name.
        """
        handle: Callable[[Any], str] = self._named(_ORCHESTRATOR, name).get_user_function()
        return handle

    def activity(self, name: str) -> Function:
        """An activity.

        Raises:
            KeyError: there is none of this name.
        """
        return self._named(_ACTIVITY, name)

    async def call(self, function: Function, given: Any) -> Any:
        """Calls a function.

        Args:
            function: the function.
            given: what its trigger hands over.
        """
        user = function.get_user_function()
        arguments = {trigger_of(function).name: given}
        for binding in function.get_bindings():
            if binding.type == "durableClient":
                arguments[binding.name] = self._client
        if "context" in inspect.signature(user).parameters and "context" not in arguments:
            arguments["context"] = Invocation(name_of(function), self._folder)
        if inspect.iscoroutinefunction(user):
            running = asyncio.run_coroutine_threadsafe(user(**arguments), self._loop)
            return await asyncio.wrap_future(running)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: user(**arguments))

    def _named(self, kind: str, name: str) -> Function:
        known = self.of(kind)
        if name.lower() not in known:
            raise KeyError(
                f"The function '{name}' doesn't exist, is disabled, or is not of kind {kind}."
                f" Additional info: these are known: {', '.join(sorted(known))}"
            )
        return known[name.lower()]


def trigger_of(function: Function) -> Any:
    """What starts a function: its attributes depend on its kind."""
    return function.get_trigger()


def name_of(function: Function) -> str:
    """A function's name."""
    return str(function.get_function_name())


def _check(function: Function) -> None:
    """Refuses, as the worker does, a function whose parameters are not its bindings."""
    if trigger_of(function).type == _ORCHESTRATOR:
        return  # the SDK wrapped it
    parameters = set(inspect.signature(function.get_user_function()).parameters)
    bound = {binding.name for binding in function.get_bindings()} - {"$return"}
    if bound - parameters or (parameters - bound) - {"context"}:
        name = name_of(function)
        raise TypeError(f"{name} takes {sorted(parameters)}, and {sorted(bound)} are bound")
