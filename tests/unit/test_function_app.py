"""The functions that Azure finds in the app."""

import function_app
from copy_core.steps import Steps


def test_the_app_offers_the_flows_as_orchestrators_and_the_steps_as_activities() -> None:
    found: dict[str, set[str]] = {}
    for function in function_app.app.get_functions():
        found.setdefault(function.get_trigger().type, set()).add(function.get_function_name())
    steps = {name for name in dir(Steps) if not name.startswith("_")}
    assert found["orchestrationTrigger"] == {"run_job", "copy_table"}
    assert found["activityTrigger"] == steps
    assert found["httpTrigger"] == {"api", "health"}
    assert found["timerTrigger"] == {"tick"}
