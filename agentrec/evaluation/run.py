"""Evaluate recommenders: rank the whole catalogue for every held-out user and score where the target stands.

Item level and full catalogue: no sampled negatives, and a generative recommender is scored on the items it names, not
on its tokens. Example::

    dataset = load_dataset("ml-100k")
    split = leave_one_out(dataset)
    popularity = Popularity.fit(split.train, split.num_items)
    result = evaluate({"popularity": popularity}, split, dataset=dataset)
    result.save("runs/first")
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import pandas as pd

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.protocols import Recommender
from agentrec.core.provenance import versions
from agentrec.core.rng import generator
from agentrec.core.types import JSON, PAD, Catalogue, HeldOut, IntArray
from agentrec.evaluation.contract import check_size, checked_recommend
from agentrec.evaluation.result import COLUMNS, Estimate, Result, Sample
from agentrec.evaluation.scoring import compare_all, estimates, spread
from agentrec.metrics.ranking import target_ranks

if TYPE_CHECKING:
    from agentrec.data.dataset import Dataset

Part = Literal["validation", "test"]

KS = (1, 5, 10, 20)
SAMPLES, SAMPLE_HISTORY, SAMPLE_TOP = 5, 8, 5


class SplitLike(Protocol):
    """What evaluation needs of a split; `agentrec.data.split.Split` has it."""

    @property
    def num_items(self) -> int:
        """N."""

    @property
    def fingerprint(self) -> str:
        """Hash of the split's content."""

    def reveal(self, part: Part) -> HeldOut:
        """Histories and targets of one held-out part."""


@dataclass(frozen=True)
class Settings:
    """How an evaluation is run; recorded in its result."""

    part: Part = "test"
    ks: tuple[int, ...] = KS
    exclude_seen: bool = False
    seed: int = 0
    bootstrap: int = 1000
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.part not in ("validation", "test"):
            raise ConfigError(f"part is {self.part!r}; expected 'validation' or 'test'")
        if not self.ks or min(self.ks) < 1 or list(self.ks) != sorted(set(self.ks)):
            raise ConfigError(f"ks are {self.ks}; expected list lengths of 1 or more in ascending order")
        if self.bootstrap < 1:
            raise ConfigError(f"bootstrap is {self.bootstrap}; expected at least 1 resample")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; expected at least 1 user, or no limit")


def evaluate(  # noqa: PLR0913 - the one door for notebooks: flat keywords, every one with a default
    recommenders: Mapping[str, Recommender] | Recommender,
    split: SplitLike,
    *,
    dataset: Dataset | None = None,
    catalogue: Catalogue | None = None,
    part: Part = "test",
    ks: Sequence[int] = KS,
    exclude_seen: bool = False,
    seed: int = 0,
    bootstrap: int = 1000,
    limit: int | None = None,
    batch_size: int = 256,
    progress: bool = False,
) -> Result:
    """Score recommenders on the held-out items of a split, over the full catalogue.

    Args:
        recommenders: name -> recommender, or a single one.
        split: gives histories and targets, for example from `agentrec.data.split.leave_one_out`.
        dataset: gives ids, titles, and the name and fingerprint of the data.
        catalogue: gives item ids and titles without a ``dataset``.
        part: ``"test"`` or ``"validation"``.
        ks: list lengths at which metrics are taken; the longest is asked for.
        exclude_seen: leave items of the user's own history out of the lists.
        seed: of the bootstrap, of the users drawn under ``limit`` and of the sample users.
        bootstrap: how many times users are resampled for the intervals.
        limit: evaluate at most so many users, drawn at random.
        batch_size: users per call of `recommend`.
        progress: show a progress bar on stderr.

    Raises:
        ConfigError: a setting is out of range, or there is no recommender.
        DataError: nobody is held out, or the catalogue does not fit the split.
        RecommenderError: a recommender breaks its contract.
    """
    settings = Settings(part, tuple(ks), exclude_seen, seed, bootstrap, limit)
    named = _named(recommenders)
    catalogue = dataset.catalogue if dataset is not None else catalogue
    _check_catalogue(catalogue, split.num_items)
    for name, recommender in named.items():
        check_size(recommender, split.num_items, name)
    held = held_out(split, settings)
    lists, timings = {}, {}
    for name, recommender in named.items():
        start = time.perf_counter()
        lists[name] = _lists(recommender, held, settings, name=name, batch_size=batch_size, progress=progress)
        timings[name] = time.perf_counter() - start
    users, targets = _user_ids(held, dataset), _item_ids(held.targets, catalogue)
    ranks = {name: target_ranks(items, held.targets) for name, items in lists.items()}
    return Result(
        recommenders=_metrics(ranks, lists, split.num_items, settings),
        per_user=_per_user(ranks, users, targets),
        provenance=_provenance(named, split, held, settings, dataset),
        comparisons=compare_all(ranks, settings.ks, resamples=bootstrap, seed=seed),
        samples=() if catalogue is None else _samples(lists, held, users, catalogue, seed),
        timings=timings,
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


def _named(recommenders: Mapping[str, Recommender] | Recommender) -> dict[str, Recommender]:
    if not isinstance(recommenders, Mapping):
        return {str(getattr(recommenders, "method", type(recommenders).__name__)): recommenders}
    if not recommenders:
        raise ConfigError("there is no recommender to evaluate; expected at least one")
    return dict(recommenders)


def _check_catalogue(catalogue: Catalogue | None, num_items: int) -> None:
    if catalogue is not None and len(catalogue) != num_items:
        raise DataError(
            f"the catalogue has {len(catalogue)} items, the split {num_items}; expected the same data set for both"
        )


def _lists(
    recommender: Recommender, held: HeldOut, settings: Settings, *, name: str, batch_size: int, progress: bool
) -> IntArray:
    from tqdm import tqdm

    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; expected at least 1")
    n = max(settings.ks)
    lists = np.empty((len(held), n), np.int64)
    done = 0
    with tqdm(total=len(held), desc=name, unit="user", disable=not progress) as bar:
        for batch in held.histories.batches(batch_size):
            answer = checked_recommend(recommender, batch, n, exclude_seen=settings.exclude_seen, name=name)
            lists[done : done + len(batch)] = answer.items
            done += len(batch)
            bar.update(len(batch))
    return lists


def _user_ids(held: HeldOut, dataset: Dataset | None) -> list[str]:
    users = held.histories.users.tolist()
    if dataset is not None and all(0 <= user < len(dataset.user_ids) for user in users):
        return [str(dataset.user_ids[user]) for user in users]
    return [str(user) if user >= 0 else f"row {row}" for row, user in enumerate(users)]


def _item_ids(items: IntArray, catalogue: Catalogue | None) -> list[str]:
    return [str(item) if catalogue is None else catalogue.ids[item] for item in items.tolist()]


def _metrics(
    ranks: Mapping[str, IntArray], lists: Mapping[str, IntArray], num_items: int, settings: Settings
) -> dict[str, dict[str, Estimate]]:
    found = estimates(ranks, settings.ks, resamples=settings.bootstrap, seed=settings.seed)
    return {name: {**found[name], **spread(lists[name], num_items, settings.ks)} for name in lists}


def _per_user(ranks: Mapping[str, IntArray], users: list[str], targets: list[str]) -> pd.DataFrame:
    tables = [
        pd.DataFrame(dict(zip(COLUMNS, (name, users, targets, found), strict=True))) for name, found in ranks.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _provenance(
    named: Mapping[str, Recommender], split: SplitLike, held: HeldOut, settings: Settings, dataset: Dataset | None
) -> JSON:
    config = asdict(settings)
    return {
        "data": {
            "name": getattr(split, "name", "unnamed") if dataset is None else dataset.name,
            "fingerprint": None if dataset is None else dataset.fingerprint,
        },
        "split": {"fingerprint": split.fingerprint},
        "part": settings.part,
        "num_users": len(held),
        "num_items": split.num_items,
        "list_length": max(settings.ks),
        "seed": settings.seed,
        "config": {**config, "ks": list(settings.ks)},
        "recommenders": {
            name: {"kind": type(recommender).__name__, **getattr(recommender, "provenance", {})}
            for name, recommender in named.items()
        },
        "versions": versions(),
    }


def _samples(
    lists: Mapping[str, IntArray], held: HeldOut, users: list[str], catalogue: Catalogue, seed: int
) -> tuple[Sample, ...]:
    titles = catalogue.titles
    rows = generator(seed, "samples").choice(len(held), min(SAMPLES, len(held)), replace=False)
    return tuple(
        Sample(
            user=users[row],
            history=tuple(titles[item] for item in held.histories[row][-SAMPLE_HISTORY:]),
            target=titles[held.targets[row]],
            top={
                name: tuple(titles[item] for item in items[row, :SAMPLE_TOP] if item != PAD)
                for name, items in lists.items()
            },
        )
        for row in np.sort(rows).tolist()
    )
