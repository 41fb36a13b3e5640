"""Collaborative consistency: how much of a collaborative recommender's list stands in the lists of others?

For every user, the share of the teacher's first n items that a system's first n items hold, whatever their order. It
tells how far a generator follows a teacher (TCA4Rec: it should rise with alpha), not whether either is right; NDCG
stands beside it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError
from agentrec.core.types import HeldOut, IntArray
from agentrec.data.load import load_dataset
from agentrec.data.split import leave_one_out
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.task import Metric, System, Task, task
from agentrec.metrics.lists import shared_share
from agentrec.metrics.ranking import ndcg, target_ranks
from agentrec.pipeline.recommenders import Named, named_recommenders


@dataclass(frozen=True)
class Config:
    """Whose lists are compared with whose."""

    data: str = setting("shop", "data set: a folder or file, or the name of a preset")
    items: str | None = setting(None, "items table, where the data set does not hold its own")
    recommender: str = setting("popularity", "as in next_item: comma-separated, each may be label=...")
    teacher: str = setting("transitions", "the one recommender whose lists the others are held against")
    part: Literal["validation", "test"] = setting("test", "whose histories")
    n: int = setting(10, "list length")
    limit: int = setting(2000, "at most so many users, drawn at random")
    trained: str = setting("runs/trained", "folder where recommenders that recipes train are kept")
    seed: int = setting(0, "of the users drawn")

    def __post_init__(self) -> None:
        if min(self.n, self.limit) < 1:
            raise ConfigError(f"n is {self.n} and limit {self.limit}; expected at least 1 of each")


class Pair(NamedTuple):
    """A system and the teacher that it is held against."""

    system: Any
    teacher: Any


@task
def collaborative_consistency(config: Config) -> Task:
    """Draw users, and name the systems and their teacher.

    Raises:
        ConfigError: a setting is out of range, or not exactly one teacher is named.
    """
    dataset = load_dataset(config.data, items=config.items)
    split = leave_one_out(dataset)
    held = split.reveal(config.part).sample(config.limit, config.seed)
    read = partial(named_recommenders, dataset=dataset, split=split, trained=config.trained)
    named = read(config.recommender, progress=sys.stderr.isatty())
    teachers = read(config.teacher)
    if len(teachers) != 1:
        raise ConfigError(f"the teacher is {config.teacher!r}; expected one recommender")
    ((name, teacher),) = teachers.items()
    users = [dataset.user_ids[user] for user in held.histories.users]
    return Task(
        question=(
            f"How many of the first {config.n} items of {name} stand among the first {config.n} of each system? Asked "
            f"for {len(held):,} {config.part} users."
        ),
        data=dict(split.data),
        units=pd.DataFrame({"unit": users}),
        metrics=(Metric(f"overlap@{config.n}", headline=True), Metric(f"ndcg@{config.n}", headline=True)),
        systems={label: _paired(one, teacher) for label, one in named.items()},
        measure=_Measure(held, config.n, users),
        settings={key: getattr(config, key) for key in ("part", "n", "limit", "seed", "teacher")},
        facts={"split": {"fingerprint": split.fingerprint}, "num_items": split.num_items, "list_length": config.n},
    )


def _paired(one: Named, teacher: Named) -> System:
    identity = {"system": one.identity, "teacher": teacher.identity}

    def make(seed: int) -> Pair:
        return Pair(one.make(seed), teacher.make(seed))

    return System(make, identity, one.seeded or teacher.seeded, one.reusable and teacher.reusable)


@dataclass(frozen=True)
class _Measure:
    held: HeldOut
    n: int
    users: list[str]

    def __call__(self, system: Pair, *, progress: bool = False) -> Measured:
        lists, taught = (self._lists(recommender) for recommender in system)
        found = ndcg(target_ranks(lists, self.held.targets), self.n)
        columns = {"unit": self.users, f"overlap@{self.n}": shared_share(taught, lists), f"ndcg@{self.n}": found}
        return Measured(units=pd.DataFrame(columns))

    def _lists(self, recommender: Any) -> IntArray:
        found: IntArray = np.asarray(recommender.recommend(self.held.histories, self.n).items)[:, : self.n]
        return found
