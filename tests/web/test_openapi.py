"""OpenAPI says what is so: how everything fails, with examples that hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from copy_core.web import connections, events, jobs, problems, runs, watermarks
from tests.web.conftest import Desk

MODULES = (connections, events, jobs, problems, runs, watermarks)


def operations(app: FastAPI) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_route_tells_how_it_fails(app: FastAPI) -> None:
    for name, operation in operations(app):
        if name == "get /api/health":
            continue
        answers = operation["responses"]
        assert {str(status) for status in problems.EVERYWHERE} <= set(answers), name
        for status, answer in answers.items():
            if status >= "400":
                [(kind, content)] = answer["content"].items()
                assert kind == problems.MEDIA_TYPE
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_route_has_a_summary_and_a_name_of_its_own(app: FastAPI) -> None:
    found = operations(app)
    assert all(operation["description"] for _, operation in found)
    names = [operation["operationId"] for _, operation in found]
    assert len(set(names)) == len(names)


def test_every_body_has_an_example(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]

    def shown(content: dict[str, Any]) -> bool:
        if "example" in content:
            return True
        refs = [content["schema"], *content["schema"].get("anyOf", [])]
        return any(
            "examples" in schemas[each["$ref"].rsplit("/", 1)[1]] for each in refs if "$ref" in each
        )

    for name, operation in operations(app):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            kinds = body.get("content", {})
            assert not kinds or any(shown(content) for content in kinds.values()), name


MODELS = sorted(
    {
        model
        for module in MODULES
        for model in vars(module).values()
        if isinstance(model, type)
        and issubclass(model, BaseModel)
        and isinstance(extra := model.model_config.get("json_schema_extra"), dict)
        and "examples" in extra
    },
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", MODELS)
def test_examples_are_what_they_are_examples_of(model: type[BaseModel]) -> None:
    schema = model.model_json_schema(mode="serialization")
    assert schema["examples"]
    for example in schema["examples"]:
        whole = model.model_validate(example).model_dump(mode="json")
        Draft202012Validator(schema).validate(whole)
        assert example.keys() <= whole.keys()


def test_the_schema_is_for_those_with_credentials(desk: Desk) -> None:
    assert desk.client.get("/api/openapi.json").json()["openapi"].startswith("3.1")


def test_the_page_about_the_api_names_every_route_and_status(app: FastAPI) -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `([A-Z]+ /\S+)` \|", page, re.MULTILINE))
    found = operations(app)
    assert documented == {name.split()[0].upper() + " " + name.split()[1] for name, _ in found}
    statuses = {int(status) for _, operation in found for status in operation["responses"]}
    rows = re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
    assert {int(status) for row in rows for status in row.split(",")} == {
        status for status in statuses | {405} if status >= 400
    }
