"""Constrained validity: does a generator write items that exist, and what does holding it to them cost or give?

One generator decodes in four ways: `constrained`, as it is served; `unconstrained`, beam search over all semantic-ID
tokens; `free` and `greedy`, generation over the whole vocabulary. The last three are controls: they show what breaks
without the constraint. A promise that the constrained way breaks is a problem: the run ends with exit code 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError
from agentrec.core.rng import generator
from agentrec.core.types import JSON, PAD
from agentrec.data.dataset import Dataset
from agentrec.data.load import load_dataset
from agentrec.data.split import leave_one_out
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.task import Metric, System, Task, task
from agentrec.evaluation.validity import MEASURES, WAYS, Asked, Way, decode, items_of, measure_way
from agentrec.pipeline.recommenders import Named, named_recommenders

SAMPLES, SAMPLE_HISTORY = 20, 8


@dataclass(frozen=True)
class Config:
    """Which generator decodes in which ways, for whom."""

    data: str = setting("shop", "data set: a folder or file, or the name of a preset")
    items: str | None = setting(None, "items table, where the data set does not hold its own")
    recommender: str = setting("", "folder of a generator, or hf:org/name; several by commas, as label=...")
    ways: str = setting(",".join(WAYS), "comma-separated ways of decoding")
    part: Literal["validation", "test"] = setting("test", "which held-out items are the targets")
    n: int = setting(10, "list length")
    subset: float = setting(0.5, "share of the catalogue, drawn at random, that the restricted run may name")
    limit: int = setting(500, "at most so many users, drawn at random")
    batch_size: int = setting(32, "users per batch without the constraint")
    seed: int = setting(0, "of the subset and of the users drawn")

    def __post_init__(self) -> None:
        if not 0 < self.subset <= 1 or min(self.n, self.limit, self.batch_size) < 1:
            raise ConfigError(
                f"subset is {self.subset}, n {self.n}, limit {self.limit} and batch_size {self.batch_size}; expected a "
                "share above 0 and up to 1, and numbers of at least 1"
            )


class Decoder(NamedTuple):
    """A generator and its way of decoding."""

    model: Any
    way: Way


@task
def constrained_validity(config: Config) -> Task:
    """Hold items out, draw users and the subset, and name every generator in every way.

    Raises:
        ConfigError: a setting is out of range, a way is unknown, or a recommender is no saved generator.
    """
    dataset = load_dataset(config.data, items=config.items)
    split = leave_one_out(dataset)
    held = split.reveal(config.part).sample(config.limit, config.seed)
    size = max(1, round(config.subset * dataset.num_items))
    subset = np.sort(generator(config.seed, "subset").choice(dataset.num_items, size, replace=False))
    asked = Asked(held, config.n, subset, config.batch_size)
    named = named_recommenders(config.recommender, dataset, split)
    units = pd.DataFrame(
        {
            "unit": [dataset.user_ids[user] for user in held.histories.users],
            "target": [dataset.catalogue.ids[item] for item in held.targets],
        }
    )
    return Task(
        question=(
            f"Are the {config.n} items that a generator writes real, distinct and allowed, and how well do they rank, "
            f"with and without the constraint? Asked for {len(held):,} {config.part} users."
        ),
        data=dict(split.data),
        units=units,
        metrics=(
            *(Metric(name, headline=name == "valid") for name in MEASURES),
            Metric(f"ndcg@{config.n}", headline=True),
        ),
        systems=_systems(named, _ways(config.ways)),
        measure=_Measure(dataset, asked, units["unit"].tolist()),
        settings={name: getattr(config, name) for name in ("part", "n", "subset", "limit", "seed")},
        facts={"split": {"fingerprint": split.fingerprint}, "num_items": split.num_items, "list_length": config.n},
    )


def _ways(text: str) -> list[Way]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known: list[Way] = [way for name in names for way in WAYS if way == name]
    if not names or len(known) < len(names) or len(set(names)) < len(names):
        raise ConfigError(f"ways are {text!r}; expected one or more of {', '.join(WAYS)}, each once")
    return known


def _systems(named: Mapping[str, Named], ways: list[Way]) -> dict[str, System]:
    systems = {}
    for label, one in named.items():
        if one.identity["kind"] != "saved" or one.identity["method"] != "generative":
            raise ConfigError(
                f"the recommender {label!r} is no saved generator; expected the folder of one, or hf:org/name, since "
                "only generators write semantic IDs"
            )
        opened = cache(one.make)  # once for all ways
        for way in ways:
            name = way if len(named) == 1 else f"{label} {way}"
            systems[name] = System(partial(_decoder, opened, way), {**one.identity, "way": way})
    return systems


def _decoder(opened: Callable[[int], Any], way: Way, seed: int) -> Decoder:
    return Decoder(opened(0), way)


@dataclass(frozen=True)
class _Measure:
    """Measures one way of decoding: shares per user, and lists in words for a few."""

    dataset: Dataset
    asked: Asked
    users: list[str]

    def __call__(self, system: Decoder, *, progress: bool = False) -> Measured:
        table = measure_way(system.model, system.way, self.asked)
        return Measured(
            units=pd.concat([pd.DataFrame({"unit": self.users}), table], axis=1),
            facts={"way": system.way, "num_beams": system.model.num_beams, **system.model.provenance},
            samples=self._samples(system),
            problems=self._problems(table) if system.way == "constrained" else (),
        )

    def _problems(self, table: pd.DataFrame) -> tuple[str, ...]:
        broken = {name: int((table[name] < 1).sum()) for name in MEASURES}
        return tuple(
            f"constrained decoding breaks '{name}' for {count} of {len(table)} users; expected none"
            for name, count in broken.items()
            if count
        )

    def _samples(self, system: Decoder) -> JSON:
        histories = self.asked.held.histories.take(slice(0, SAMPLES))
        lists = decode(system.model, system.way, histories, self.asked.n, batch_size=self.asked.batch_size)
        items, titles = items_of(system.model.vocabulary, lists), self.dataset.catalogue.titles
        found = {}
        for row, history in enumerate(histories):
            target = titles[self.asked.held.targets[row]]
            about = {"history": [titles[item] for item in history[-SAMPLE_HISTORY:]], "target": target}
            named = zip(items[row].tolist(), lists[row].tolist(), strict=True)
            answer = [
                titles[item] if item >= 0 else f"no item: {_shown(codes)}" for item, codes in named if item != PAD
            ]
            found[self.users[row]] = {"about": about, "answer": answer}
        return found


def _shown(codes: list[int]) -> str:
    return " ".join(str(code) if code >= 0 else "?" for code in codes)
