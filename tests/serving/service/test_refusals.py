"""Whatever is wrong with a request is said in one sentence, with a status that puts it on the client."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf

LIMIT = 100_000


@pytest.fixture(scope="module")
def client(shared: Callable[..., Any]) -> Iterator[httpx.Client]:
    config = ServiceConfig(port=0, max_body=LIMIT, max_history=50)
    with httpx.Client(base_url=shared(config).url, timeout=30, trust_env=False) as opened:
        yield opened


def sentence(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"]
    told: str = body["error"]
    assert "\n" not in told
    assert 20 < len(told) < 600
    return told


HISTORY = {"history": ["i1", "i2"]}
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no source", {}, 422, "either history or user_id"),
    ("two sources", {**HISTORY, "user_id": "anna"}, 422, "either history or user_id"),
    ("empty history", {"history": []}, 422, "history is []"),
    ("null history", {"history": None}, 422, "history is None"),
    ("long history", {"history": ["i1"] * 10_000}, 422, "the history has 10000 items; expected at most 50"),
    ("unknown item", {"history": ["i1", "x" * 500]}, 404, "is not in the catalogue"),
    ("unknown user", {"user_id": "nobody"}, 404, "user 'nobody' is not in the data set"),
    ("user without history", {"user_id": "new"}, 404, "has no history"),
    ("n of 0", {**HISTORY, "n": 0}, 422, "n is 0"),
    ("n above the catalogue", {**HISTORY, "n": 121}, 422, "expected 1 to 120"),
    ("huge n", {**HISTORY, "n": 10**400}, 422, "n is 1000"),
    ("n as text", {**HISTORY, "n": "5"}, 422, "n is '5'"),
    ("n as truth", {**HISTORY, "n": True}, 422, "n is True"),
    ("half an item", {**HISTORY, "n": 1.5}, 422, "n is 1.5"),
    ("narrow beam", {**HISTORY, "n": 10, "num_beams": 5}, 409, "num_beams is 5"),
    ("wide beam", {**HISTORY, "num_beams": 100_000}, 409, "num_beams is 100000"),
    ("number as item", {"history": [1]}, 422, "history.0 is 1"),
    ("unknown field", {**HISTORY, "top_k": 3}, 422, "top_k is 3"),
    ("unknown mode", {**HISTORY, "mode": "guess"}, 422, "'guess'"),
    ("temperature in direct mode", {**HISTORY, "temperature": 0.5}, 422, "temperature is 0.5"),
    ("thinking without words", {**HISTORY, "mode": "think"}, 409, "cannot think"),
    ("temperature that is no number", {**HISTORY, "mode": "think", "temperature": float("nan")}, 422, "temperature"),
    ("negative seed", {**HISTORY, "mode": "think", "seed": -1}, 422, "seed is -1"),
    ("long thoughts", {**HISTORY, "mode": "think", "max_tokens": 10**6}, 422, "max_tokens"),
    ("unknown set", {**HISTORY, "constraint": "sold_out"}, 404, "'sold_out'; those that exist are all, even, odd"),
    ("broken expression", {**HISTORY, "constraint": "even &"}, 422, "expected the name of a set"),
    ("empty expression", {**HISTORY, "constraint": "even & odd"}, 409, "holds none of the 120 items"),
    ("unknown exclusion", {**HISTORY, "exclude": ["i1", "j"]}, 404, "item 'j' is not in the catalogue"),
    ("a lone surrogate", {"user_id": "\ud800"}, 422, "user_id"),
]


@pytest.mark.parametrize(("body", "status", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_recommendation_is_refused(client: httpx.Client, body: dict[str, Any], status: int, told: str) -> None:
    answer = client.post("/v1/recommendations", content=json.dumps(body), headers={"content-type": "application/json"})
    assert told in sentence(answer, status)


NO_JSON: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "missing"),
    ("cut off", b'{"history": ["i1"', "not valid JSON"),
    ("words", b"history=i1", "not valid JSON"),
    ("a list", b'["i1"]', "expected"),
    ("null", b"null", ""),
    ("a number", b"3", ""),
    ("bytes", b"\xff\xfe\x00", "body"),
    ("no number", b'{"history": ["i1"], "n": NaN}', "n is nan"),
    ("deep", b"[" * 30_000 + b"]" * 30_000, ""),
    ("ten thousand digits", b'{"history": ["i1"], "n": ' + b"9" * 10_000 + b"}", "body"),
]


@pytest.mark.parametrize(("content", "told"), [row[1:] for row in NO_JSON], ids=[row[0] for row in NO_JSON])
def test_a_body_that_is_no_request(client: httpx.Client, content: bytes, told: str) -> None:
    answer = client.post("/v1/recommendations", content=content, headers={"content-type": "application/json"})
    assert told in sentence(answer, 422)


SETS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("the whole catalogue", "all", {"items": ["i1"]}, 422, "stays"),
    ("a path", "..%2F..%2Fetc%2Fpasswd", {"items": ["i1"]}, 422, "../../etc/passwd"),
    ("a hidden file", ".ssh/id", {"items": ["i1"]}, 422, "letters, digits"),
    ("a zero byte", "a%00b", {"items": ["i1"]}, 422, "letters, digits"),
    ("an operator", "a&b", {"items": ["i1"]}, 422, "letters, digits"),
    ("a long name", "a" * 101, {"items": ["i1"]}, 422, "100"),
    ("a line", "a%0Ab", {"items": ["i1"]}, 404, "nothing at this path"),
    ("no item", "new", {"items": []}, 409, "holds none"),
    ("unknown item", "new", {"items": ["nope"]}, 404, "'nope'"),
    ("no content", "new", {}, 422, "either items"),
    ("two contents", "new", {"items": ["i1"], "expression": "odd"}, 422, "either items"),
    ("a column without values", "new", {"column": "kind"}, 422, "either items"),
    ("unknown column", "new", {"column": "colour", "values": ["red"]}, 404, "no column 'colour'"),
    ("unknown value", "new", {"column": "kind", "values": ["car"]}, 404, "'car'"),
    ("unknown set", "new", {"expression": "odd & old"}, 404, "'old'"),
    ("unknown field", "new", {"items": ["i1"], "file": "/etc/passwd"}, 422, "file is"),
]


@pytest.mark.parametrize(("name", "body", "status", "told"), [row[1:] for row in SETS], ids=[row[0] for row in SETS])
def test_a_set_is_refused(client: httpx.Client, name: str, body: dict[str, Any], status: int, told: str) -> None:
    before = client.get("/v1/constraints").json()
    assert told in sentence(client.put(f"/v1/constraints/{name}", json=body), status)
    assert client.get("/v1/constraints").json() == before


@pytest.mark.parametrize("marker", ["</thought>", "two words", ""])
def test_a_model_without_the_token_that_ends_thinking_is_told(
    thinker: GenerativeRecommender, thinking_shelf: Shelf, launch: Callable[..., Any], marker: str
) -> None:
    running = launch(ServiceConfig(port=0, marker=marker), lambda: TreeEngine(thinker), thinking_shelf)
    asked = httpx.post(f"{running.url}/v1/recommendations", json={**HISTORY, "mode": "think"}, trust_env=False)
    assert f"no token {marker!r}" in sentence(asked, 409)


def test_names_in_any_script_are_names(client: httpx.Client) -> None:
    assert client.put("/v1/constraints/掛け布団", json={"items": ["i3"]}).json() == {"name": "掛け布団", "items": 1}
    found = client.post("/v1/recommendations", json={"user_id": "böb", "constraint": "掛け布団"}).json()
    assert [item["title"] for item in found["items"]] == ["掛け布団 number 3"]


@pytest.mark.parametrize("query", ["", "?q=", "?q=a&limit=0", "?q=a&limit=x", "?q=" + "a" * 201])
def test_a_search_is_refused(client: httpx.Client, query: str) -> None:
    sentence(client.get(f"/v1/items/search{query}"), 422)


def test_other_paths_and_methods(client: httpx.Client) -> None:
    sentence(client.get("/v1/nothing"), 404)
    sentence(client.get("/v1/recommendations"), 405)
    sentence(client.delete("/v1/constraints/unknown"), 404)
    sentence(client.delete("/v1/constraints/all"), 422)
    sentence(client.post("/v1/recommendations", content="{}", headers={"content-type": "text/plain"}), 422)


def test_ten_megabytes_are_too_much(client: httpx.Client) -> None:
    body = json.dumps({"history": ["i1"] * 2_000_000}).encode()
    assert len(body) > 10_000_000
    sent = client.post("/v1/recommendations", content=body, headers={"content-type": "application/json"})
    assert f"expected at most {LIMIT}" in sentence(sent, 413)

    def parts() -> Iterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    sent = client.post("/v1/recommendations", content=parts(), headers={"content-type": "application/json"})
    assert f"expected at most {LIMIT}" in sentence(sent, 413)
    assert client.post("/v1/recommendations", json=HISTORY).status_code == 200


def test_a_client_that_leaves_in_the_middle_harms_nobody(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as caller:
        caller.sendall(b"POST /v1/recommendations HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{")
    assert client.post("/v1/recommendations", json=HISTORY).status_code == 200


def test_a_key_is_asked_for(launch: Callable[..., Any]) -> None:
    running = launch(key="sésame")
    right = "sésame".encode()
    basic = b"Basic " + base64.b64encode(b"anybody:" + right)
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        for path in ("/health", "/ready"):
            assert client.get(path).status_code == 200
        for path in ("/metrics", "/v1/constraints", "/docs", "/openapi.json", "/ui", "/nothing"):
            for header in (None, b"Bearer wrong", b"Bearer", b"Basic !!", b"Basic " + base64.b64encode(b"a:b"), right):
                refused = client.get(path, headers=[] if header is None else [(b"Authorization", header)])
                sentence(refused, 401)
                assert refused.headers["www-authenticate"].split()[0] in ("Basic", "Bearer")
        for header in (b"Bearer " + right, b"bearer " + right, basic):
            assert client.get("/v1/constraints", headers=[(b"Authorization", header)]).status_code == 200
