"""Evaluate recommenders: rank the whole catalogue for every held-out user and score where the target stands.

Item level and full catalogue: no sampled negatives, and a generative recommender is scored on the items it names, not
on its tokens. Five lines are enough::

    dataset = load_dataset("ml-100k")
    split = leave_one_out(dataset)
    popularity = Popularity.fit(split.train, split.num_items)
    result = evaluate({"popularity": popularity, "mine": my_recommender}, split)
    result.save("runs/first")
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from agentrec.core.errors import ConfigError, DataError, RecommenderError
from agentrec.core.protocols import Recommender
from agentrec.core.rng import generator
from agentrec.core.types import JSON, PAD, Catalogue, HeldOut, Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.data.split import leave_one_out
from agentrec.evaluation.contract import check_size, checked_recommend
from agentrec.evaluation.list_metrics import Facts, Lists, default_metrics, described, list_length, score
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.merge import Resampling, merge
from agentrec.evaluation.result import Result
from agentrec.evaluation.task import System, Task
from agentrec.metrics.cost import energy_estimate, latency_percentiles
from agentrec.metrics.groups import history_length_groups, popularity_tiers
from agentrec.metrics.ranking import target_ranks

Part = Literal["validation", "test"]

TIERS = ("head", "torso", "tail", "cold")
SAMPLES, SAMPLE_HISTORY, SAMPLE_TOP = 100, 8, 5
TIMED_USERS = 20
QUESTION = (
    "Which recommender ranks highest the item that a user chose next? All {items:,} items are ranked for {users:,} "
    "{part} users; items seen before are {seen} the lists."
)


class SplitLike(Protocol):
    """What evaluation needs of a split; `agentrec.data.split.Split` has it, with ids, titles and names besides."""

    @property
    def num_items(self) -> int:
        """N."""

    @property
    def fingerprint(self) -> str:
        """Hash of the split's content."""

    @property
    def train(self) -> Histories:
        """What may be learnt from."""

    def reveal(self, part: Part) -> HeldOut:
        """Histories and targets of one held-out part."""


@dataclass(frozen=True)
class Settings:
    """How recommenders are asked and scored."""

    metrics: tuple[str, ...] = ()
    part: Part = "test"
    exclude_seen: bool = False
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.part not in ("validation", "test"):
            raise ConfigError(f"part is {self.part!r}; expected 'validation' or 'test'")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; expected at least 1 user, or no limit")
        if self.metrics:
            described(self.metrics)


def evaluate(  # noqa: PLR0913 - the one door for notebooks: flat keywords, every one with a default
    recommenders: Mapping[str, Recommender] | Recommender,
    data: Dataset | SplitLike,
    metrics: Sequence[str] | None = None,
    *,
    part: Part = "test",
    exclude_seen: bool = False,
    limit: int | None = None,
    seed: int = 0,
    bootstrap: int = 1000,
    batch_size: int = 256,
    watts: float | None = None,
    progress: bool = False,
) -> Result:
    """Score recommenders on held-out items, over the full catalogue.

    Args:
        recommenders: name -> recommender, or a single one.
        data: a split, or a data set, whose users' last items are then held out (`leave_one_out`).
        metrics: names such as ``ndcg@10``; everything that the data allows by default.
        part: ``"test"`` or ``"validation"``.
        exclude_seen: leave items of the user's own history out of the lists.
        limit: evaluate at most so many users, drawn at random.
        seed: of the users drawn under ``limit``, of the sample users and of the bootstrap.
        bootstrap: how many times users are resampled for the intervals.
        batch_size: users per call of `recommend`.
        watts: power drawn while recommending, for an estimate of energy.
        progress: show a progress bar on stderr.

    Raises:
        ConfigError: a setting is out of range, or there is no recommender.
        DataError: nobody is held out, or a metric needs what the data lacks.
        RecommenderError: a recommender breaks its contract.
    """
    split = leave_one_out(data) if isinstance(data, Dataset) else data
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics or ())
    settings = Settings(names, part, exclude_seen, limit, seed)
    resampling = Resampling(bootstrap, seed)
    named = _named(recommenders)
    for name, made in named.items():
        check_size(made, split.num_items, name)
    systems = {name: System(lambda _, made=made: made, {}) for name, made in named.items()}  # type: ignore[misc]
    task = ranking_task(systems, split, settings, batch_size=batch_size, watts=watts)
    measured = {}
    for name, made in named.items():
        try:
            measured[name] = {0: task.measure(made, progress=progress)}
        except RecommenderError as error:
            raise RecommenderError(f"{name!r}: {error}") from error
    return merge("next_item", task, measured, resampling=resampling)


def ranking_task(
    systems: Mapping[str, System],
    split: SplitLike,
    settings: Settings,
    *,
    groups: pd.DataFrame | None = None,
    batch_size: int = 256,
    watts: float | None = None,
) -> Task:
    """The task of ranking held-out items, for systems that make recommenders.

    Args:
        systems: by label.
        split: gives histories and targets.
        settings: how recommenders are asked and scored.
        groups: index: user id; every column becomes a slice of the result.
        batch_size: users per call of `recommend`.
        watts: power drawn while recommending, for an estimate of energy.

    Raises:
        ConfigError: a setting is out of range.
        DataError: nobody is held out, the catalogue has another size, or ``groups`` lacks users.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; expected at least 1")
    if watts is not None and not 0 < watts < np.inf:
        raise ConfigError(f"watts is {watts}; expected a power above 0, or none")
    held = held_out(split, settings)
    catalogue: Catalogue | None = getattr(split, "catalogue", None)
    if catalogue is not None and len(catalogue) != split.num_items:
        raise DataError(
            f"the catalogue has {len(catalogue)} items, the split {split.num_items}; expected the catalogue of the "
            "same data"
        )
    facts = Facts(split.num_items, np.bincount(split.train.items, minlength=split.num_items), catalogue)
    names = settings.metrics or default_metrics(facts)
    units, slices = _units(held, split, facts, groups)
    measure = _RankingMeasure(held, facts, units["unit"].tolist(), names, settings, batch_size, watts)
    return Task(
        question=QUESTION.format(
            items=split.num_items,
            users=len(held),
            part=settings.part,
            seen="left out of" if settings.exclude_seen else "allowed in",
        ),
        data=dict(getattr(split, "data", {"name": "unnamed", "fingerprint": None})),
        units=units,
        metrics=described(names),
        systems=systems,
        measure=measure,
        settings={**asdict(settings), "metrics": list(names), "watts": watts},
        slices=slices,
        facts={"split": {"fingerprint": split.fingerprint}, "num_items": split.num_items, "list_length": measure.n},
    )


def held_out(split: SplitLike, settings: Settings) -> HeldOut:
    """The users that an evaluation with these settings scores.

    Raises:
        DataError: there are none.
    """
    held = split.reveal(settings.part)
    if not len(held):
        raise DataError(f"the {settings.part} part of the split has no users; expected at least 1, so use more data")
    return held if settings.limit is None else held.sample(settings.limit, settings.seed)


@dataclass(frozen=True)
class _RankingMeasure:
    """Measures one recommender: lists for all users, metrics, costs, and lists in words for a few."""

    held: HeldOut
    facts: Facts
    users: list[str]
    metrics: tuple[str, ...]
    settings: Settings
    batch_size: int
    watts: float | None

    @property
    def n(self) -> int:
        """The length of lists."""
        return list_length(self.metrics)

    def __call__(self, system: Any, *, progress: bool = False) -> Measured:
        name = str(getattr(system, "method", type(system).__name__))
        check_size(system, self.facts.num_items, name)
        start = time.perf_counter()
        items = self._lists(system, name, progress)
        seconds = time.perf_counter() - start
        ranks = target_ranks(items, self.held.targets)
        per_user, totals = score(self.metrics, Lists(items, ranks, self.held.histories), self.facts)
        return Measured(
            units=pd.DataFrame({"unit": self.users, "rank": ranks, **per_user}),
            totals=totals,
            costs=self._costs(system, seconds),
            facts={"kind": type(system).__name__, **(getattr(system, "provenance", None) or {})},
            samples=self._samples(items),
        )

    def _lists(self, system: Recommender, name: str, progress: bool) -> IntArray:
        from tqdm import tqdm

        lists = np.empty((len(self.held), self.n), np.int64)
        done = 0
        with tqdm(total=len(self.held), desc=name, unit="user", disable=not progress) as bar:
            for batch in self.held.histories.batches(self.batch_size):
                seen = self.settings.exclude_seen
                answer = checked_recommend(system, batch, self.n, exclude_seen=seen, name=name)
                lists[done : done + len(batch)] = answer.items
                done += len(batch)
                bar.update(len(batch))
        return lists

    def _costs(self, system: Recommender, seconds: float) -> dict[str, float]:
        costs = {"seconds": seconds, "users_per_second": len(self.held) / max(seconds, 1e-9)}
        usage = {str(name): float(value) for name, value in getattr(system, "usage", {}).items()}
        costs |= {f"{name}_per_user": value / len(self.held) for name, value in usage.items()}
        if self.watts is not None:
            energy = energy_estimate(seconds, self.watts, assumption="power given with the evaluation")
            costs["watt_hours_estimate"] = energy.watt_hours
        latency = latency_percentiles(self._latencies(system), (50, 95))
        return costs | {f"latency_ms_{name}": value * 1000 for name, value in latency.items()}

    def _latencies(self, system: Recommender) -> list[float]:
        """Seconds of answers to one user at a time: as recorded by the system, or measured on a few users."""
        recorded = list(getattr(system, "latencies", ()))
        if recorded:
            return recorded
        found = []
        for row in range(min(TIMED_USERS, len(self.held))):
            one = self.held.histories.take(slice(row, row + 1))
            start = time.perf_counter()
            system.recommend(one, self.n, exclude_seen=self.settings.exclude_seen)
            found.append(time.perf_counter() - start)
        return found

    def _samples(self, items: IntArray) -> JSON:
        catalogue = self.facts.catalogue
        if catalogue is None:
            return {}
        titles = catalogue.titles
        drawn = generator(self.settings.seed, "samples").choice(
            len(self.held), min(SAMPLES, len(self.held)), replace=False
        )
        return {
            self.users[row]: {
                "about": {
                    "history": [titles[item] for item in self.held.histories[row][-SAMPLE_HISTORY:]],
                    "target": titles[self.held.targets[row]],
                },
                "answer": [titles[item] for item in items[row, :SAMPLE_TOP] if item != PAD],
            }
            for row in drawn.tolist()
        }


def _named(recommenders: Mapping[str, Recommender] | Recommender) -> dict[str, Recommender]:
    if not isinstance(recommenders, Mapping):
        return {str(getattr(recommenders, "method", type(recommenders).__name__)): recommenders}
    if not recommenders:
        raise ConfigError("there is no recommender to evaluate; expected at least one")
    return dict(recommenders)


def _units(
    held: HeldOut, split: SplitLike, facts: Facts, groups: pd.DataFrame | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    ids = facts.catalogue.ids if facts.catalogue is not None else None
    lengths = history_length_groups(held.histories.lengths).tolist()
    units = pd.DataFrame(
        {
            "unit": _user_names(held, getattr(split, "user_ids", None)),
            "target": [str(item) if ids is None else ids[item] for item in held.targets.tolist()],
            "target_popularity": _ordered(popularity_tiers(facts.counts)[held.targets].tolist(), TIERS),
            "history_length": _ordered(
                lengths, sorted(set(lengths), key=lambda label: int(label.split("-")[0].strip("+")))
            ),
        }
    )
    slices = ["target_popularity", "history_length"]
    if groups is not None:
        absent = units["unit"][~units["unit"].isin(groups.index)]
        if len(absent):
            raise DataError(
                f"the table of user groups lacks {len(absent)} of {len(units)} users, for example {absent.iloc[0]!r}; "
                "expected a row per evaluated user"
            )
        taken = [str(name) for name in groups.columns if name in units]
        if taken:
            raise DataError(f"the table of user groups has a column {taken[0]!r}; that name is taken, so rename it")
        for column in groups.columns:
            units[str(column)] = groups.loc[units["unit"], column].astype(str).to_numpy()
            slices.append(str(column))
    return units, tuple(slices)


def _ordered(labels: Sequence[str], order: Sequence[str]) -> Any:
    """Labels that keep their order in tables; those that nobody has are left out."""
    present = set(labels)
    return pd.Categorical(pd.Series(labels, dtype=str), [label for label in order if label in present], ordered=True)


def _user_names(held: HeldOut, user_ids: Sequence[str] | None) -> list[str]:
    users = held.histories.users.tolist()
    if user_ids is not None and all(0 <= user < len(user_ids) for user in users):
        return [str(user_ids[user]) for user in users]
    names = [str(user) if user >= 0 else f"row {row}" for row, user in enumerate(users)]
    return names if len(set(names)) == len(names) else [f"row {row}" for row in range(len(users))]
