"""Semantic IDs: which quantiser keeps most of the items' vectors, and puts neighbours under the same codes?

Units are items. A quantiser of `agentrec.semantic_ids` is fitted per seed; a published ``index.json`` is taken as it
is, and has no reconstruction. Codes are judged as quantised, before collisions are resolved. What a generator makes of
them is asked by `next_item` with recommenders of recipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agentrec.core.artefact import plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.files import array_hash, file_hash
from agentrec.core.registry import Registry
from agentrec.core.types import FloatArray, IntArray
from agentrec.data.dataset import Dataset
from agentrec.data.load import load_dataset
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.task import Metric, System, Task, task
from agentrec.pipeline.recommenders import labelled
from agentrec.pipeline.semantic_ids import import_semantic_ids
from agentrec.semantic_ids.health import perplexity
from agentrec.semantic_ids.neighbours import neighbour_pairs
from agentrec.vectors.item_vectors import item_vectors

REGISTRY = Registry("agentrec.semantic_ids")
QUESTION = "Which quantiser keeps most of the vectors of {items:,} items, and puts neighbours under the same codes?"
METRICS = (
    Metric("error", "lower", headline=True),
    Metric("collides", "lower", headline=True),
    Metric("neighbours_1", headline=True),
    Metric("neighbours_2"),
    Metric("least_perplexity"),
)


@dataclass(frozen=True)
class Config:
    """Which semantic IDs are judged, of which items."""

    data: str = setting("shop", "data set: a folder or file, or the name of a preset")
    items: str | None = setting(None, "items table, where the data set does not hold its own")
    ids: str = setting("rq_kmeans,rq_gmm", "comma-separated: quantisers, or index.json files as label=path")
    vectors: str = setting(
        "tfidf_svd", "what is quantised: a method of agentrec.vectors, or a sentence-transformers model"
    )
    num_levels: int = setting(3, "levels of the quantisers")
    codebook_size: int = setting(256, "codes per level of the quantisers")
    neighbours: int = setting(10, "nearest neighbours of an item, by cosine")


@dataclass(frozen=True)
class Codes:
    """Codes of all items, and what they stand for.

    Attributes:
        codes: (N, L) int64.
        rebuilt: (N, D) float32, or None for published codes.
        sizes: codes per level.
    """

    codes: IntArray
    rebuilt: FloatArray | None
    sizes: tuple[int, ...]


@task
def semantic_ids(config: Config) -> Task:
    """Make the vectors, find neighbours, and name every quantiser and index."""
    dataset = load_dataset(config.data, items=config.items)
    table = item_vectors(dataset.require_texts(), config.vectors)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    near = neighbour_pairs(unit.astype(np.float32), neighbours=config.neighbours, queries=len(table), seed=0)
    settings = {name: value for name, value in plain(config).items() if name not in ("data", "items", "ids")}
    systems = {label: _system(text, config, dataset, table) for label, text in labelled(config.ids).items()}
    return Task(
        question=QUESTION.format(items=len(table)),
        data={"name": dataset.name, "fingerprint": dataset.fingerprint, "vectors": array_hash(table)},
        units=pd.DataFrame({"unit": list(dataset.catalogue.ids)}),
        metrics=METRICS,
        systems=systems,
        measure=partial(_measure, table, near, list(dataset.catalogue.ids)),
        settings=settings,
    )


def _system(text: str, config: Config, dataset: Dataset, table: FloatArray) -> System:
    if text.endswith(".json"):
        return System(lambda _: _published(text, dataset), {"index": file_hash(Path(text))})
    module = REGISTRY.module(text)
    values = {"num_levels": config.num_levels, "codebook_size": config.codebook_size}
    filled = plain(from_mapping(module.Config, values))
    return System(partial(_fitted, module, values, table), {"quantiser": text, **filled}, seeded=True)


def _fitted(module: Any, values: Mapping[str, int], table: FloatArray, seed: int) -> Codes:
    quantiser = module.METHOD(from_mapping(module.Config, {**values, "seed": seed})).fit(table)
    codes = quantiser.encode(table)
    return Codes(codes, quantiser.decode(codes), tuple(len(book) for book in quantiser.codebooks))


def _published(path: str, dataset: Dataset) -> Codes:
    vocabulary = import_semantic_ids(dataset, path)
    codes = vocabulary.codes[:, : vocabulary.provenance.get("num_levels", vocabulary.num_levels)]
    return Codes(codes, None, tuple(int(column.max()) + 1 for column in codes.T))


def _measure(
    table: FloatArray, near: tuple[IntArray, IntArray], items: list[str], system: Codes, *, progress: bool = False
) -> Measured:
    _, group, sizes = np.unique(system.codes, axis=0, return_inverse=True, return_counts=True)
    spread = float(((table - table.mean(axis=0)) ** 2).sum(axis=1).mean())
    units = {"unit": items, "collides": (sizes[group.reshape(-1)] > 1).astype(np.float64)}
    if system.rebuilt is not None:
        units["error"] = ((table - system.rebuilt) ** 2).sum(axis=1) / spread
    for length in (1, 2):
        units[f"neighbours_{length}"] = _shared(system.codes[:, :length], near)
    levels = zip(system.codes.T, system.sizes, strict=True)
    used = [perplexity(np.bincount(column, minlength=size)) for column, size in levels]
    facts = {"perplexity": used, "level_sizes": list(system.sizes)}
    return Measured(pd.DataFrame(units), totals={"least_perplexity": min(used)}, facts=facts)


def _shared(codes: IntArray, near: tuple[IntArray, IntArray]) -> FloatArray:
    """Share of each item's neighbours with the same codes: (N, l) int64 -> (N,) float64."""
    rows, found = near
    shares: FloatArray = (codes[rows][:, None, :] == codes[found]).all(axis=2).mean(axis=1)
    return shares
