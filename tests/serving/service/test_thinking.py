"""Mode ``think`` over loopback: text first, then items of the set and no others, none of them twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.shelf import Shelf

ASK = {"history": ["i1", "i2"], "mode": "think", "max_tokens": 12, "n": 5}


@pytest.fixture(scope="module")
def client(thinker: GenerativeRecommender, thinking_shelf: Shelf, shared: Callable[..., Any]) -> Iterator[httpx.Client]:
    engine = TreeEngine(thinker)
    engine.sets.put("even", range(0, 120, 2))
    engine.sets.put("three", [3, 50, 77])
    url = shared(None, lambda: engine, thinking_shelf).url
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as opened:
        yield opened


def think(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommendations", json={**ASK, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["mode"] == "think"
    return found


def numbers(found: dict[str, Any]) -> list[int]:
    return [int(item["id"][1:]) for item in found["items"]]


def test_items_follow_the_text_and_belong_to_the_set(client: httpx.Client, thinking_shelf: Shelf) -> None:
    for constraint in ("", "even", "even - three", "~even"):
        found = think(client, constraint=constraint, explain=True)
        items = numbers(found)
        assert len(set(items)) == 5
        assert found["text"]
        assert found["usage"]["generated_tokens"] == 12 + 1 + 5 * 3
        assert all(item["score"] is None for item in found["items"])
        if constraint:
            assert {item % 2 for item in items} == {int(constraint == "~even")}
        for item in found["items"]:
            assert "".join(item["sid"]) == thinking_shelf.vocabulary.text(int(item["id"][1:]))


def test_the_prompt_invites_to_think(client: httpx.Client, thinker: GenerativeRecommender) -> None:
    import numpy as np

    found = think(client)
    prompt = thinker.form.prompt(np.array([1, 2]))
    assert found["usage"]["prompt_tokens"] == len(prompt)


def test_a_seed_repeats_what_was_drawn(client: httpx.Client) -> None:
    def drawn(seed: int) -> tuple[str, list[int]]:
        found = think(client, temperature=2.0, seed=seed)
        return found["text"], numbers(found)

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_what_is_excluded_does_not_come(client: httpx.Client) -> None:
    first = numbers(think(client, n=3))
    again = numbers(think(client, n=3, exclude=[f"i{item}" for item in first], exclude_seen=True))
    assert len(again) == 3
    assert not set(again) & {*first, 1, 2}
    assert sorted(numbers(think(client, constraint="three", n=10))) == [3, 50, 77]
    assert numbers(think(client, constraint="three", n=3, exclude=["i3", "i50"])) == [77]
