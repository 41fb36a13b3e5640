"""The service over vLLM: in direct mode the lists of the tree engine, in think mode items of the set behind a text."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from agentrec.core.types import Catalogue, Histories
from agentrec.prompts.forms import build_form
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.app import build_app
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # vLLM reads names that torch is about to drop
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MARKER = "<|im_start|>"  # a token that the preset has
CONFIG = ServiceConfig(port=0, marker=MARKER, num_beams=12)
HISTORY = ["item-3", "item-77", "item-120"]
DIRECT = [
    {"n": 10},
    {"n": 12, "constraint": "even"},
    {"n": 30, "num_beams": 40, "exclude_seen": True},
    {"n": 5, "constraint": "~even", "exclude": ["item-1", "item-5"]},
]
THINK = [
    {"n": 3, "max_tokens": 12},
    {"n": 4, "max_tokens": 8, "constraint": "even"},
    {"n": 2, "max_tokens": 8, "constraint": "even", "temperature": 1.0, "seed": 7},
    {"n": 3, "max_tokens": 8, "constraint": "few", "exclude": ["item-9"]},
]


class Kept:
    """An engine that outlives its service, because other tests need it too."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    async def close(self) -> None:
        """Leave it running."""


@pytest.fixture(scope="module")
def shelf(preset: GenerativeRecommender) -> Shelf:
    ids = tuple(f"item-{item}" for item in range(200))
    titles = tuple(f"Tent {item}" for item in range(200))
    histories = Histories.from_lists([[1, 2, 3]])
    return Shelf(Catalogue(ids, {"title": titles}), preset.vocabulary, preset.form, ("anna",), histories)


@pytest.fixture(scope="module")
def talking(shelf: Shelf, preset: GenerativeRecommender) -> Shelf:
    """The same with a chat as prompt."""
    vocabulary = preset.vocabulary
    tokens, sids = vocabulary.item_token_ids(preset.tokenizer), [vocabulary.text(item) for item in range(200)]
    settings = {"form": "instruction", "max_items": 3}
    return replace(shelf, form=build_form(settings, preset.tokenizer, tokens, sids, shelf.catalogue.titles))


def answers(engine: Any, shelf: Shelf, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    """What a service over an engine answers, all requests at once."""
    engine.sets.put("even", range(0, 200, 2))
    engine.sets.put("few", [4, 9, 90])
    app = build_app(shelf, lambda: Kept(engine), CONFIG)  # type: ignore[arg-type, return-value]

    async def work() -> list[httpx.Response]:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
        async with app.router.lifespan_context(app), client:
            return await asyncio.gather(*(client.post("/v1/recommendations", json=body) for body in bodies))

    return asyncio.run(work())


def both(vllm_engine: Any, preset: GenerativeRecommender, shelf: Shelf, bodies: list[dict[str, Any]]) -> Any:
    """The answers of vLLM and of the tree engine, pair by pair."""
    tree = TreeEngine(preset)
    pairs = zip(answers(vllm_engine, shelf, bodies), answers(tree, shelf, bodies), strict=True)
    asyncio.run(tree.close())
    for found, expected in pairs:
        assert found.status_code == expected.status_code == 200, found.text
        yield found.json(), expected.json()


def test_direct_mode_ranks_as_the_tree_engine_does(
    vllm_engine: Any, preset: GenerativeRecommender, shelf: Shelf
) -> None:
    bodies = [{"history": HISTORY, **more} for more in DIRECT] + [{"user_id": "anna", **more} for more in DIRECT]
    for found, expected in both(vllm_engine, preset, shelf, bodies):
        assert [item["id"] for item in found["items"]] == [item["id"] for item in expected["items"]]
        for one, other in zip(found["items"], expected["items"], strict=True):
            assert abs(one["score"] - other["score"]) < 1e-3


def test_think_mode_writes_items_of_the_set_only(
    vllm_engine: Any, preset: GenerativeRecommender, talking: Shelf
) -> None:
    bodies = [{"history": HISTORY, "mode": "think", **more} for more in THINK]
    for body, (found, expected) in zip(bodies, both(vllm_engine, preset, talking, bodies), strict=True):
        numbers = [int(item["id"].removeprefix("item-")) for item in found["items"]]
        allowed = {"": range(200), "even": range(0, 200, 2), "few": (4, 90)}[body.get("constraint", "")]  # type: ignore[call-overload]
        assert set(numbers) <= set(allowed)
        assert len(set(numbers)) == (2 if body.get("constraint") == "few" else body["n"])
        assert found["mode"] == "think"
        assert found["usage"]["generated_tokens"] >= len(numbers) * 3 + 1
        if not body.get("temperature"):
            assert (found["text"], found["items"]) == (expected["text"], expected["items"])


def test_refusals_are_the_same(vllm_engine: Any, shelf: Shelf, talking: Shelf) -> None:
    for asked, status, told in (
        ({"constraint": "nobody"}, 404, "'nobody'"),
        ({"constraint": "even - even"}, 409, "holds none of the 200 items"),
        ({"mode": "think", "n": 150}, 422, "shorter history"),
    ):
        found = answers(vllm_engine, talking, [{"history": HISTORY, **asked}])[0]
        assert found.status_code == status, found.text
        assert told in found.json()["error"]
    wordless = answers(vllm_engine, shelf, [{"history": HISTORY, "mode": "think"}])[0]
    assert wordless.status_code == 409
