"""Every error as one sentence of JSON, with the status that says whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from agentrec.core.errors import AgentrecError, ConfigError, EmptySetError, UnknownNameError
from agentrec.serving.engines.protocol import EngineBusyError, EngineDeadError
from agentrec.serving.service.gate import FullError
from agentrec.serving.service.keeping import NotKeptError
from agentrec.serving.service.leaving import LEFT, LeftError
from agentrec.serving.service.schemas import Failure
from agentrec.serving.service.shelf import MissingError
from agentrec.serving.service.swaps import UndeliveredError


class TooLateError(AgentrecError):
    """The deadline passed."""


class ConflictError(ConfigError):
    """A request is well-formed, but its parts, or it and this model, do not go together."""


STATUS: tuple[tuple[type[AgentrecError], int], ...] = (
    (MissingError, 404),
    (UnknownNameError, 404),
    (EmptySetError, 409),
    (ConflictError, 409),
    (FullError, 429),
    (EngineBusyError, 429),
    (EngineDeadError, 503),
    (UndeliveredError, 503),
    (TooLateError, 504),
    (NotKeptError, 507),
    (LeftError, LEFT),
    (AgentrecError, 422),
)
AGAIN_AFTER = {429: 1, 503: 5}  # seconds
SHOWN = 60  # characters of a value in a message

WORDS = {
    401: "the API key is missing or wrong; expected it as a bearer token, so ask whoever runs this service",
    404: "there is nothing at this path; see /docs for what there is",
    405: "this path does not answer this method; see /docs for what it answers",
    413: "the body is too large",
    409: "the request does not fit this model, or its set holds nothing",
    422: "the request is not as expected",
    429: "too many requests run or wait; ask again later",
    503: "the engine is not ready; ask again in a few seconds",
    504: "the answer took too long",
    507: "the change could not be written to the folder of sets, and was not made",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides success, for the OpenAPI page."""
    return {status: {"model": Failure, "description": WORDS.get(status, "see the sentence")} for status in statuses}


def failure(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """One error as an answer."""
    more = {"Retry-After": str(AGAIN_AFTER[status])} if status in AGAIN_AFTER else {}
    return JSONResponse({"error": " ".join(sentence.split())}, status, {**more, **(headers or {})})


def add_failures(app: FastAPI) -> None:
    """Let an application answer all errors alike."""
    app.add_exception_handler(AgentrecError, _ours)
    app.add_exception_handler(RequestValidationError, _unexpected)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _left)


def _ours(_: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, FullError) else None
    return failure(status, str(error), headers)


def _unexpected(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return failure(422, sentence(error.errors()))


def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # how FastAPI says that a body is no text, or nested too deeply
        return failure(422, "the body could not be read; expected one JSON object in UTF-8, so check what was sent")
    standard = error.status_code in (404, 405)
    words = WORDS[error.status_code] if standard else str(error.detail)
    return failure(error.status_code, words, error.headers)


def _left(_: Request, __: Exception) -> JSONResponse:
    return failure(LEFT, "the client went away before its request was read")


def sentence(errors: Sequence[Any]) -> str:
    """The first thing that is wrong with a request, in one sentence.

    Example:
        >>> sentence([{"loc": ("body", "direct", "n"), "msg": "Input should be a valid integer", "input": "x"}])
        "n is 'x'; input should be a valid integer"
    """
    first = errors[0]
    kind, told = str(first.get("type", "")), str(first["msg"]).removeprefix("Value error, ")
    if kind == "json_invalid":
        reason = (first.get("ctx") or {}).get("error", told)
        return f"the body is not valid JSON ({reason}); expected one JSON object"
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "direct", "think")]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    told = told[:1].lower() + told[1:]
    if kind == "missing":
        return f"{'.'.join(place) or 'the body'} is missing; expected it in the request{more}"
    if not place:
        return f"the request is not as expected: {told}{more}"
    found = repr(first.get("input"))
    return f"{'.'.join(place)} is {found if len(found) <= SHOWN else found[:SHOWN] + '...'}; {told}{more}"
