"""Schemathesis asks whatever the OpenAPI schema allows, and what it forbids; the service keeps to its schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_every_operation_is_asked(schema: Any) -> None:
    known = {(result.ok().method.upper(), result.ok().path) for result in schema.get_all_operations()}
    assert known - set(OPERATIONS) == {("POST", "/v1/chat/completions")}  # 501 without a server behind, as tested


def test_the_schema_knows_the_limits_of_this_service(url: str) -> None:
    parts = httpx.get(f"{url}/openapi.json", trust_env=False).json()["components"]["schemas"]
    for name in ("DirectRequest", "ThinkRequest"):
        assert parts[name]["properties"]["n"]["maximum"] == 120
        assert parts[name]["properties"]["history"]["maxItems"] == 1000
