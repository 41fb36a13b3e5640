"""A real service on loopback over a tiny random generator and the tree engine, and a way to start others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from agentrec.core.types import Catalogue, Histories
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.engines.protocol import Engine
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.app import build_app
from agentrec.serving.service.server import Server, server_of
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf
from agentrec.testing.generators import random_codes, tiny_generator

ITEMS, SIZES = 120, (8, 8, 8)
KINDS = ("tent", "boots", "kettle", "掛け布団")


@dataclass
class Running:
    """A server in a thread of its own."""

    app: FastAPI
    server: Server
    thread: threading.Thread
    url: str

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive()


def start(app: FastAPI, config: ServiceConfig | None = None) -> Running:
    said: list[str] = []
    server = server_of(app, config or ServiceConfig(port=0), said.append, log_level="error")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 180
    while not said:
        assert thread.is_alive(), "the server ended before it listened"
        assert time.monotonic() < until
        time.sleep(0.01)
    return Running(app, server, thread, said[0])


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    titles = tuple(f"{KINDS[item % len(KINDS)]} number {item}" for item in range(ITEMS))
    kinds = tuple(KINDS[item % len(KINDS)] for item in range(ITEMS))
    return Catalogue(tuple(f"i{item}" for item in range(ITEMS)), {"title": titles, "kind": kinds})


@pytest.fixture(scope="session")
def recommender(catalogue: Catalogue) -> GenerativeRecommender:
    vocabulary = SIDVocabulary(random_codes(400, SIZES)[:ITEMS], SIZES, catalogue.ids)
    model, tokenizer = tiny_generator(vocabulary)
    tokens = vocabulary.item_token_ids(tokenizer)
    form = build_form({"form": "sequence", "max_items": 20}, tokenizer, tokens, [], [])
    return GenerativeRecommender(model, tokenizer, vocabulary, form)


@pytest.fixture(scope="session")
def shelf(catalogue: Catalogue, recommender: GenerativeRecommender) -> Shelf:
    histories = Histories.from_lists([[1, 2, 3], [4], []], [0, 1, 2])
    return Shelf(catalogue, recommender.vocabulary, recommender.form, ("anna", "böb", "new"), histories)


@pytest.fixture(scope="session")
def thinker(catalogue: Catalogue, recommender: GenerativeRecommender) -> GenerativeRecommender:
    """A generator of the instruction form whose tokenizer knows where thinking ends."""
    vocabulary = recommender.vocabulary
    model, tokenizer = tiny_generator(vocabulary)
    tokenizer.add_tokens(["<think>", "</think>"])
    model.resize_token_embeddings(len(tokenizer))
    sids = [vocabulary.text(item) for item in range(ITEMS)]
    settings = {"form": "instruction", "max_items": 5}
    form = build_form(settings, tokenizer, vocabulary.item_token_ids(tokenizer), sids, catalogue.titles)
    return GenerativeRecommender(model, tokenizer, vocabulary, form)


@pytest.fixture(scope="session")
def thinking_shelf(shelf: Shelf, thinker: GenerativeRecommender) -> Shelf:
    return replace(shelf, form=thinker.form)


@pytest.fixture(scope="session")
def data(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the catalogue, and of three users who chose all of it."""
    made = tmp_path_factory.mktemp("data")
    rows = [f"secret-user-{user},i{item},{item}" for user in range(3) for item in range(120)]
    (made / "interactions.csv").write_text("\n".join(["user_id,item_id,order", *rows]), encoding="utf-8")
    titles = [f"{item},{title}" for item, title in zip(catalogue.ids, catalogue.titles, strict=True)]
    (made / "items.csv").write_text("\n".join(["item_id,title", *titles]), encoding="utf-8")
    return made


def new_sets(recommender: GenerativeRecommender) -> ConstraintSets:
    made = ConstraintSets(recommender.index)
    made.put("even", range(0, ITEMS, 2))
    made.put("odd", range(1, ITEMS, 2))
    return made


def launcher(recommender: GenerativeRecommender, shelf: Shelf) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def one(
        config: ServiceConfig | None = None,
        build: Callable[[], Engine] | None = None,
        shop: Shelf = shelf,
        **more: Any,
    ) -> Running:
        config, sets = config or ServiceConfig(port=0), new_sets(recommender)
        app = build_app(shop, build or (lambda: TreeEngine(recommender, sets)), config, **more)
        running.append(start(app, config))
        return running[-1]

    yield one
    for service in running:
        service.stop()


@pytest.fixture
def launch(recommender: GenerativeRecommender, shelf: Shelf) -> Iterator[Callable[..., Running]]:
    """Start a service; it is stopped when the test ends."""
    yield from launcher(recommender, shelf)


@pytest.fixture(scope="module")
def shared(recommender: GenerativeRecommender, shelf: Shelf) -> Iterator[Callable[..., Running]]:
    """Start a service; it is stopped when the module ends."""
    yield from launcher(recommender, shelf)


@pytest.fixture
def client(launch: Callable[..., Running]) -> Iterator[httpx.Client]:
    """A client of a service with the default settings."""
    with httpx.Client(base_url=launch().url, timeout=30, trust_env=False) as opened:
        yield opened
