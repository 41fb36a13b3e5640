"""Cold start: does a generator find the first buyers of items that nobody has bought, and does a constraint help?

A share of the items is withheld: their rows leave the data, and semantic IDs are fitted, and the generator trained, on
what remains. Units are held-out users whose next item is a withheld one. The generator is held to the withheld items
(`constrained`), or searches the whole catalogue and what is withheld is kept (`filtered`, by the same beam, and
`filtered_wide`, by one several times as wide). Texts alone and chance stand beside it. Codes matter: `next_best` moves
withheld items off all codes that known items have, which makes filtering harder than `append` does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from agentrec.core.artefact import plain
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.data.load import load_dataset
from agentrec.data.split import PARTS, Split, leave_one_out
from agentrec.evaluation.cold_start import Constrained, Filtered, FirstPurchases, NearestText, Shuffled
from agentrec.evaluation.task import Metric, System, Task, task
from agentrec.evaluation.withhold import draw_items, first_buyers, withhold
from agentrec.pipeline.cold_start import ColdGenerator, ColdStart
from agentrec.pipeline.recipe import read_recommender

QUESTION = (
    "Does a generator find the first buyers of new items? {items:,} of {total:,} items are withheld from training, and "
    "{users:,} held-out purchases of these are asked ({parts}): is the item among the {n} withheld ones named?"
)


@dataclass(frozen=True)
class Config:
    """What is withheld, and which generator is trained on the rest."""

    data: str = setting("shop", "data set: a folder or file, or the name of a preset")
    items: str | None = setting(None, "items table, where the data set does not hold its own")
    generator: str = setting("quickstart:generator", "which generator is trained: recipe:label")
    share: float = setting(0.05, "share of the items that is withheld")
    part: Literal["both", "validation", "test"] = setting("both", "which held-out items are the targets")
    n: int = setting(10, "list length")
    beams: int = setting(20, "beam width of the constrained and of the filtered search")
    wide: int = setting(10, "filter a beam this many times as wide, too; 1 leaves that out")
    collisions: str = setting("", "how withheld items are told from others with their codes; default: the recipe's")
    seed: int = setting(0, "of the items that are withheld")
    trained: str = setting("runs/trained", "folder where trained generators are kept")

    def __post_init__(self) -> None:
        if min(self.n, self.wide) < 1 or self.beams < self.n:
            raise ConfigError(
                f"n is {self.n}, beams {self.beams} and wide {self.wide}; expected numbers of at least 1, and beams of "
                "at least n"
            )


@dataclass(frozen=True)
class Asked:
    """Held-out purchases of withheld items, part after part."""

    units: pd.DataFrame
    histories: Histories
    targets: IntArray


@task
def cold_start(config: Config) -> Task:
    """Withhold items, find the users who bought them, and name the ways to find these.

    Raises:
        ConfigError: a setting is out of range, or the recipe's recommender is no generator on texts alone.
        DataError: nobody is held out who bought a withheld item.
    """
    dataset = load_dataset(config.data, items=config.items)
    whole = leave_one_out(dataset)
    items = draw_items(dataset.num_items, config.share, config.seed)
    cold = ColdStart(dataset, withhold(dataset, whole, items), items)
    asked = _asked(dataset, whole, items, PARTS if config.part == "both" else (config.part,))
    names = asked.units["unit"].tolist()
    measure = FirstPurchases(asked.histories, asked.targets, items, config.n, names, dataset.catalogue).measure
    known = ("share", "part", "n", "beams", "wide", "collisions", "seed")
    return Task(
        question=QUESTION.format(
            items=len(items), total=dataset.num_items, users=len(names), parts=_counts(asked.units["part"]), n=config.n
        ),
        data=dict(whole.data),
        units=asked.units,
        metrics=(
            Metric(f"recall@{config.n}", headline=True),
            Metric(f"ndcg@{config.n}", headline=True),
            Metric("empty", "lower", headline=True),
            Metric("length", "neither"),
        ),
        systems=_systems(config, cold),
        measure=measure,
        settings={name: value for name, value in plain(config).items() if name in known},
        slices=("part",),
        facts={"split": cold.split.summary(), "withheld": [dataset.catalogue.ids[item] for item in items.tolist()]},
    )


def _asked(dataset: Dataset, whole: Split, items: IntArray, parts: tuple[Any, ...]) -> Asked:
    held = [first_buyers(whole, part, items) for part in parts]
    targets = np.concatenate([one.targets for one in held])
    if not len(targets):
        raise DataError(
            f"nobody's held-out item is among the {len(items)} withheld ones of {dataset.name!r}; expected at least "
            "one such user, so withhold a larger share or use part 'both'"
        )
    users = [(dataset.user_ids[user], one.part) for one in held for user in one.histories.users.tolist()]
    units = pd.DataFrame(
        {
            "unit": [f"{user} ({part})" for user, part in users],
            "target": [dataset.catalogue.ids[item] for item in targets.tolist()],
            "part": [part for _, part in users],
        }
    )
    who = np.concatenate([one.histories.users for one in held])
    rows = [history.tolist() for one in held for history in one.histories]
    return Asked(units, Histories.from_lists(rows, who.tolist()), targets)


def _counts(parts: pd.Series[str]) -> str:
    return ", ".join(f"{count:,} of {part}" for part, count in parts.value_counts(sort=False).items())


def _systems(config: Config, cold: ColdStart) -> dict[str, System]:
    chosen = read_recommender(config.generator)
    model = ColdGenerator(chosen, cold, Path(config.trained), config.collisions, sys.stderr.isatty())
    opened, vectors = cache(model.open), cache(model.text_vectors)

    def search(way: type[Constrained] | type[Filtered], beams: int) -> System:
        identity = {**model.identity, "way": way.__name__, "beams": beams}
        return System(lambda seed: way(opened(seed), cold.items, beams), identity, seeded=True)

    def texts(latest: int) -> System:
        identity = {**model.identity, "way": "texts", "latest": latest}
        return System(lambda _: NearestText(vectors(), cold.items, latest), identity)

    total = cold.dataset.num_items
    wide = {"filtered_wide": search(Filtered, min(config.beams * config.wide, total))} if config.wide > 1 else {}
    return {
        "constrained": search(Constrained, config.beams),
        "filtered": search(Filtered, config.beams),
        **wide,
        "text_last": texts(1),
        "text_history": texts(20),
        "chance": System(lambda seed: Shuffled(total, cold.items, seed), {"way": "chance"}, seeded=True),
    }
