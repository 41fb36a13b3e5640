"""Schemathesis asks whatever the OpenAPI schema allows, and what it forbids; the service keeps to its schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf

schemathesis = pytest.importorskip("schemathesis")
modes = pytest.importorskip("schemathesis.generation").GenerationMode

# A format cannot say what an expression over sets looks like, so it is told here.
NAMES = st.sampled_from(["even", "odd", "all", "unknown"])
EXPRESSIONS = st.recursive(
    NAMES, lambda part: st.builds("({} {} {})".format, part, st.sampled_from("&|-"), part) | part.map("~{}".format)
)
schemathesis.openapi.format("set-expression", EXPRESSIONS.filter(lambda text: len(text) < 900))

CALM = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
OPERATIONS = [
    ("POST", "/v1/recommendations"),
    ("GET", "/v1/constraints"),
    ("POST", "/v1/constraints"),
    ("PUT", "/v1/constraints/{name}"),
    ("DELETE", "/v1/constraints/{name}"),
    ("GET", "/v1/items/search"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
]
BARE = {"/v1/constraints GET", "/health GET", "/ready GET", "/metrics GET"}  # nothing about them can be wrong


@pytest.fixture(scope="module")
def url(shared: Callable[..., Any]) -> str:
    return str(shared().url)


@pytest.fixture(scope="module")
def schema(url: str) -> Any:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.fixture(scope="module")
def thinking(thinker: GenerativeRecommender, thinking_shelf: Shelf, shared: Callable[..., Any]) -> Any:
    """The schema of a service whose model can think, if briefly."""
    engine = TreeEngine(thinker)
    engine.sets.put("even", range(0, 120, 2))
    engine.sets.put("odd", range(1, 120, 2))
    running = shared(ServiceConfig(port=0, max_n=8, max_beams=40, max_text=12), lambda: engine, thinking_shelf)
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json")


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_service_keeps_to_its_schema(schema: Any, method: str, path: str, mode: str) -> None:
    if mode == "NEGATIVE" and f"{path} {method}" in BARE:
        pytest.skip("a request without parameters cannot be wrong")
    operation = schema[path][method]

    @CALM
    @given(case=operation.as_strategy(generation_mode=modes[mode]))
    def check(case: Any) -> None:
        case.call_and_validate(timeout=30)

    check()


def real(case: Any) -> Any:
    """The same request for items and a user that exist."""
    for name in {"history", "exclude"} & set(case.body):
        case.body[name] = [f"i{sum(map(ord, item)) % 120}" for item in case.body[name]]
    if "user_id" in case.body:
        case.body["user_id"] = "anna"
    return case


def test_what_is_left_open_is_what_the_service_allows(thinking: Any) -> None:
    url = thinking.location.removesuffix("/openapi.json")
    parts = httpx.get(f"{url}/openapi.json", trust_env=False).json()["components"]["schemas"]
    fields = parts["ThinkRequest"]["properties"]
    assert [fields[name]["default"] for name in ("n", "max_tokens")] == [8, 12]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for mode in ("direct", "think"):
            answer = client.post("/v1/recommendations", json={"user_id": "anna", "mode": mode})
            assert len(answer.json()["items"]) == 8
        assert client.post("/v1/recommendations", json={"user_id": "anna", "n": 10}).status_code == 422


@pytest.mark.parametrize("mode", ["direct", "think"])
def test_requests_for_what_exists_are_answered(thinking: Any, mode: str) -> None:
    """Few of the ids that a schema allows exist, so that most requests above end as 404."""
    operation = thinking["/v1/recommendations"]["POST"]
    asked = operation.as_strategy(generation_mode=modes.POSITIVE)
    statuses = []

    @settings(CALM, max_examples=20)
    @given(case=asked.filter(lambda case: case.body.get("mode", "direct") == mode).map(real))
    def check(case: Any) -> None:
        answer = case.call_and_validate(timeout=60)
        statuses.append(answer.status_code)
        if answer.status_code == 200:
            found = answer.json()
            items = [item["id"] for item in found["items"]]
            assert found["mode"] == mode
            assert len(set(items)) == len(items) <= case.body.get("n", 10)
            assert not set(items) & set(case.body.get("exclude", []))

    check()
    assert statuses.count(200) >= 3, statuses
    assert set(statuses) <= {200, 404, 409}  # sets that do not exist, hold nothing, or a beam narrower than the list


def test_every_operation_is_asked(schema: Any) -> None:
    known = {(result.ok().method.upper(), result.ok().path) for result in schema.get_all_operations()}
    assert known - set(OPERATIONS) == {("POST", "/v1/chat/completions")}  # 501 without a server behind, as tested


def test_the_schema_knows_the_limits_of_this_service(url: str) -> None:
    parts = httpx.get(f"{url}/openapi.json", trust_env=False).json()["components"]["schemas"]
    for name in ("DirectRequest", "ThinkRequest"):
        assert parts[name]["properties"]["n"]["maximum"] == 120
        assert parts[name]["properties"]["history"]["maxItems"] == 1000
