"""Holds a document against its model: each error in plain words, with what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from copy_core.yaml_lines import Document, Place

Model = TypeVar("Model", bound=BaseModel)

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} character long",
    "string_too_long": "at most {max_length} characters long",
    "too_short": "a list of at least {min_length}",
    "string_pattern_mismatch": "text that matches {pattern}",
}
_SCALARS = {
    str: "text",
    int: "a number",
    float: "a decimal number",
    list: "a list",
    dict: "a mapping",
}


def check(document: Document, place: Place, model: type[Model], value: object) -> Model | None:
    """The value as its model; None when it does not fit, and the document knows why.

    Types are taken strictly: a number in quotes is text, and 1 is not `true`.

    Args:
        document: where the value was written; relative paths are meant from its folder.
        place: where in the document.
        model: what the value should be.
        value: the value.
    """
    try:
        return model.model_validate(value, strict=True, context={"base": document.folder})
    except ValidationError as e:
        errors = e.errors(include_url=False, include_input=False)
    for below, several in _merged(value, errors):
        what, fix, key = _words(model, value, below, several)
        document.report((*place, *below), what, fix, key=key)
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """A clause that offers the known word nearest to `word`, or else all there are."""
    lower = {k.lower(): k for k in known}
    if found := get_close_matches(word.lower(), lower, n=1):
        return f"did you mean '{lower[found[0]]}'?"
    return f"known: {', '.join(sorted(lower.values()))}" if lower else ""


def _merged(value: object, errors: list[Any]) -> Iterator[tuple[Place, list[Any]]]:
    """The place of each error in the value, with the errors that its alternatives gave there.

    Pydantic names the alternatives of a union inside the place. Where one of them fits so far
    that its error lies deeper, the others' errors only say that they are others.
    """
    found: dict[Place, list[Any]] = {}
    unions: dict[Place, Place] = {}
    for error in errors:
        place, union = _place(value, error)
        found.setdefault(place, []).append(error)
        if union is not None and len(place) > len(union):
            unions[union] = place
    for place, several in found.items():
        if place not in unions:
            yield place, several


def _place(value: Any, error: Any) -> tuple[Place, Place | None]:
    """The error's place without the names of alternatives, and the place of the first union."""
    place: Place = ()
    union: Place | None = None
    steps = error["loc"]
    for n, step in enumerate(steps, 1):
        missing = n == len(steps) and error["type"] == "missing"
        if (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int)
        ):
            value = value[step]
            place += (step,)
        elif missing:
            place += (step,)
        elif step != "[key]" and union is None:
            union = place
    return place, union


def _words(
    model: type[BaseModel], value: Any, place: Place, errors: list[Any]
) -> tuple[str, str, bool]:
    """What is wrong, what to change, and whether the key is meant rather than its value."""
    kind, context = errors[0]["type"], errors[0].get("ctx", {})
    if kind == "missing":
        return "is missing", "", False
    if kind == "extra_forbidden":
        known = {name for found in _models(model, place[:-1]) for name in found.model_fields}
        return "unknown key", nearest(str(place[-1]), known), True
    if kind == "value_error":
        return str(context["error"]), "", False
    wanted = [_wanted(error, _models(model, place)) for error in errors]
    what = f"must be {' or '.join(dict.fromkeys(wanted))}"
    if errors[0]["loc"][-1] == "[key]":
        return f"a key here {what}", "", True
    for step in place:
        value = value[step]
    if any(error["type"].endswith("_type") for error in errors):
        what += f", not {_kind(value)}"
    choices = [c for e in errors if e["type"] == "literal_error" for c in _choices(e)]
    if isinstance(value, str) and get_close_matches(value.lower(), choices, n=1):
        return what, nearest(value, choices), False
    quote = wanted == ["text"] and isinstance(value, int | float)
    return what, "put it in quotes" if quote else "", False


def _choices(error: Any) -> list[str]:
    return re.findall(r"'([^']*)'", error["ctx"]["expected"])


def _wanted(error: Any, models: list[type[BaseModel]]) -> str:
    kind = error["type"]
    if kind == "model_type":
        keys = [name for model in models for name in model.model_fields]
        return f"a mapping with {', '.join(keys)}" if len(keys) < 5 else _WANTED["dict_type"]
    if kind not in _WANTED:
        return str(error["msg"])
    return _WANTED[kind].format_map(error.get("ctx", {}))


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else _SCALARS[type(value)]


def _models(kind: Any, place: Place) -> list[type[BaseModel]]:
    """The models that may stand at a place below an annotation."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not place:
            return [kind]
        field = kind.model_fields.get(str(place[0]))
        return _models(field.annotation, place[1:]) if field else []
    inner, origin = get_args(kind), get_origin(kind)
    if origin in (Union, UnionType):
        return [model for alternative in inner for model in _models(alternative, place)]
    if origin is Annotated:
        return _models(inner[0], place)
    if origin in (list, dict) and place:
        return _models(inner[-1], place[1:])
    return []
