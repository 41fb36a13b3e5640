"""What the service answers over loopback: items of the set, with their titles, scores and semantic IDs."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from agentrec.core.types import Histories
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.shelf import Shelf


def ask(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def number(item: dict[str, Any]) -> int:
    return int(item["id"][1:])


def test_the_list_is_that_of_the_recommender(
    client: httpx.Client, recommender: GenerativeRecommender, shelf: Shelf
) -> None:
    found = ask(client, history=["i1", "i2", "i3"], n=10)
    own = recommender.recommend(Histories.from_lists([[1, 2, 3]]), 10)
    assert [number(item) for item in found["items"]] == own.items[0].tolist()
    np.testing.assert_allclose([item["score"] for item in found["items"]], own.scores[0], rtol=1e-4)
    first = found["items"][0]
    assert first["title"] == shelf.titles[number(first)]
    assert "".join(first["sid"]) == shelf.vocabulary.text(number(first))
    assert (found["constraint"], found["mode"], found["text"]) == ("all", "direct", None)
    assert 0 < found["timings"]["engine_ms"] <= found["timings"]["total_ms"]
    assert found["usage"]["prompt_tokens"] == 10
    assert ask(client, user_id="anna", n=10)["items"] == found["items"]


def test_constraints_and_exclusions_hold(client: httpx.Client) -> None:
    assert {number(item) % 2 for item in ask(client, user_id="böb", n=20, constraint="odd")["items"]} == {1}
    assert len(ask(client, user_id="böb", n=60, constraint="even")["items"]) == 60
    every = ask(client, user_id="anna", n=120, num_beams=120, exclude=["i7"], exclude_seen=True)["items"]
    assert {number(item) for item in every} == set(range(120)) - {7, 1, 2, 3}
    assert ask(client, history=["i1"], n=5, constraint="odd & ~even")["constraint"] == "odd & ~even"


def test_an_explanation_counts_the_catalogue(client: httpx.Client, shelf: Shelf) -> None:
    codes = shelf.vocabulary.codes
    for item in ask(client, user_id="anna", n=20, explain=True)["items"]:
        own = codes[number(item)]
        path = item["explanation"]["path"]
        assert [step["token"] for step in path] == item["sid"]
        counts = [int((codes[:, :level] == own[:level]).all(axis=1).sum()) for level in range(1, len(own) + 1)]
        assert [step["items"] for step in path] == counts
        shared = [int(np.cumprod(codes[seen] == own).sum()) for seen in (1, 2, 3)]
        near = item["explanation"]["nearest"]
        assert (near["levels"] if near else 0) == max(shared)
        if near:
            assert shared[[1, 2, 3].index(int(near["id"][1:]))] == max(shared)


@pytest.mark.parametrize("method", ["put", "post"])
def test_sets_come_and_go(client: httpx.Client, method: str) -> None:
    def put(name: str, **content: Any) -> httpx.Response:
        if method == "put":
            return client.put(f"/v1/constraints/{name}", json=content)
        return client.post("/v1/constraints", json={"name": name, **content})

    assert put("few/now", items=["i3", "i4"]).json() == {"name": "few/now", "items": 2}
    assert {item["id"] for item in ask(client, user_id="anna", constraint="few/now")["items"]} == {"i3", "i4"}
    assert put("few/now", column="kind", values=["boots"]).json()["items"] == 30
    assert put("both", expression="few/now & odd").json()["items"] == 30
    assert put("none", items=[], may_be_empty=True).json()["items"] == 0
    assert put("none", items=[]).status_code == 409
    listed = {row["name"]: row["items"] for row in client.get("/v1/constraints").json()["sets"]}
    assert listed == {"all": 120, "both": 30, "even": 60, "few/now": 30, "none": 0, "odd": 60}
    assert client.delete("/v1/constraints/few/now").status_code == 204
    gone = client.post("/v1/recommendations", json={"user_id": "anna", "constraint": "few/now"})
    assert gone.status_code == 404
    assert "those that exist are all, both, even" in gone.json()["error"]


def test_items_are_found_by_words(client: httpx.Client) -> None:
    def find(q: str) -> list[str]:
        return [item["id"] for item in client.get("/v1/items/search", params={"q": q, "limit": 3}).json()["items"]]

    assert find("tent NUMBER 8")[0] == "i8"
    assert find("掛け布団")[0] == "i3"
    assert find("i11") == ["i11", "i112", "i116"] or find("i11")[0] == "i11"
    assert find("nothing like that") == []


def test_state_and_figures(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ready", "engine": "tree"}
    assert client.get("/ready").status_code == 200
    ask(client, user_id="anna", n=7)
    text = client.get("/metrics").text
    assert "agentrec_items_total 7.0" in text
    assert 'agentrec_requests_total{method="POST",route="/v1/recommendations",status="200"} 1.0' in text
    assert "agentrec_engine_alive 1.0" in text
    assert "agentrec_ready 1.0" in text


def test_the_page_of_the_api_asks_nobody_else(client: httpx.Client) -> None:
    assert client.get("/", follow_redirects=True).url.path == "/docs"
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "http" not in page.replace("http://&lt;host&gt;", "")


def test_chat_needs_a_server_behind(client: httpx.Client) -> None:
    answer = client.post("/v1/chat/completions", json={"messages": []})
    assert answer.status_code == 501
    assert "vllm-http" in answer.json()["error"]
