"""Answers of a given shape: find the JSON in a text, and check it against a pydantic model.

Models put JSON between words and fences, behind thoughts. Thoughts are left out, and of all objects in the rest the
last one that fits is taken, as models correct themselves on the way. Line breaks and other control signs inside texts
are taken, which models and grammars let through; numbers that JSON does not know (NaN, Infinity) are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agentrec.serving.chat.protocol import Reply

Shape = TypeVar("Shape", bound=BaseModel)

SHOWN = 5  # problems that a model is told at once


class ShapeError(Exception):
    """The text holds no answer of the shape; ``problems`` say why, for the model to mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_answer(reply: Reply, shape: type[Shape]) -> Shape:
    """The answer in a text.

    Raises:
        ShapeError: there is none.
    """
    problems = ["it was cut off because it was too long"] if reply.finish == "length" else []
    first: list[str] = []
    for content in _objects(reply.text):
        try:
            return shape.model_validate_json(json.dumps(content), strict=False)
        except ValidationError as error:
            first = first or told(error)
    raise ShapeError(problems + (first or ["it holds no JSON object"]))


def schema_of(shape: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model, closed against further fields."""
    closed: dict[str, Any] = _closed(shape.model_json_schema())
    return closed


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a text, the likeliest first."""
    text = text.rpartition("</think>")[2]
    decoder = json.JSONDecoder(parse_constant=_refused, strict=False)
    found, place = [], text.find("{")
    while place >= 0:
        try:
            content, end = decoder.raw_decode(text, place)
        except ValueError:
            end = place + 1
        else:
            found.append(content)
        place = text.find("{", end)
    yield from reversed([content for content in found if isinstance(content, dict)])


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def told(error: ValidationError) -> list[str]:
    """Problems in words: where, what was found, and what was expected."""
    found = []
    for problem in error.errors(include_url=False, include_context=False)[:SHOWN]:
        where = ".".join(map(str, problem["loc"])) or "the object"
        found.append(f"{where} is {str(problem['input'])[:80]!r}: {problem['msg']}")
    return found


def _closed(schema: Any) -> Any:
    """Every object without further fields and with all fields required, as servers want it."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _closed(part) for name, part in schema.items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made |= {"additionalProperties": False, "required": list(made["properties"])}
    return made
