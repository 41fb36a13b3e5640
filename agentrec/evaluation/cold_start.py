"""First purchases of new items: ways to name some of these to a user, and what each way finds.

``Constrained`` holds a generator to the new items; ``Filtered`` lets it search the whole catalogue and keeps what is
new, which is what one does without a constraint. ``NearestText`` and ``Shuffled`` are what needs no generator.
Popularity has no place here: of what was never bought, it knows nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from agentrec.core.errors import ConfigError
from agentrec.core.protocols import Recommender
from agentrec.core.rng import generator
from agentrec.core.types import JSON, PAD, Catalogue, FloatArray, Histories, IntArray, Recommendations
from agentrec.decoding.index.csr import StaticIndex
from agentrec.evaluation.contract import checked_recommend
from agentrec.evaluation.generative import Generative
from agentrec.evaluation.measured import Measured
from agentrec.metrics.ranking import ndcg, recall, target_ranks

SAMPLES, SAMPLE_HISTORY = 20, 8


@dataclass(frozen=True)
class Constrained:
    """A generator whose beams never leave the new items.

    Attributes:
        model: the generator.
        items: (W,) int64, the new items.
        beams: beam width, at least the length of lists.
    """

    model: Generative
    items: IntArray
    beams: int

    @property
    def num_items(self) -> int:
        """N, the whole catalogue."""
        return self.model.num_items

    @cached_property
    def allowed(self) -> StaticIndex:
        """The index of the new items."""
        known = self.model.vocabulary
        return StaticIndex.build(known.codes, known.level_sizes, items=self.items).to(self.model.device)

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`."""
        return self.model.recommend(
            histories, n, exclude_seen=exclude_seen, num_beams=self.beams, constraint=self.allowed
        )


@dataclass(frozen=True)
class Filtered:
    """The same generator over the whole catalogue; of all items that its beams end in, the new ones are kept.

    Attributes: see `Constrained`.
    """

    model: Generative
    items: IntArray
    beams: int

    @property
    def num_items(self) -> int:
        """N, the whole catalogue."""
        return self.model.num_items

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; lists are as short as what the beams found."""
        found = self.model.recommend(histories, self.beams, exclude_seen=exclude_seen, num_beams=self.beams)
        kept = np.isin(found.items, self.items)
        order = np.argsort(~kept, axis=1, kind="stable")[:, :n]
        left = np.take_along_axis(kept, order, axis=1)
        items = np.where(left, np.take_along_axis(found.items, order, axis=1), PAD)
        scores = np.where(left, np.take_along_axis(found.scores, order, axis=1), -np.inf).astype(np.float32)
        return Recommendations(items, scores)


@dataclass(frozen=True)
class NearestText:
    """The new items whose texts are nearest to those of the latest items.

    Attributes:
        vectors: (N, D) float32, rows of length 1.
        items: (W,) int64, the new items.
        latest: how many items of a history count.
    """

    vectors: FloatArray
    items: IntArray
    latest: int = 1

    @property
    def num_items(self) -> int:
        """N, the whole catalogue."""
        return len(self.vectors)

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; of equally near items, the first."""
        rows = histories.padded(self.latest)
        wanted = (self.vectors[rows] * (rows >= 0)[..., None]).sum(axis=1)
        scores = wanted @ self.vectors[self.items].T
        if exclude_seen:
            seen = [np.isin(self.items, history) for history in histories]
            scores[np.array(seen)] = -np.inf
        return _best(scores, self.items, n)


@dataclass(frozen=True)
class Shuffled:
    """The new items in an order drawn anew for every user.

    Attributes:
        num_items: N.
        items: (W,) int64, the new items.
        seed: of the draws; the order depends on a user's history, not on who else is asked.
    """

    num_items: int
    items: IntArray
    seed: int

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`."""
        scores = np.empty((len(histories), len(self.items)), np.float32)
        for row, (user, history) in enumerate(zip(histories.users.tolist(), histories, strict=True)):
            scores[row] = generator(self.seed, "shuffled", user + 1, *history.tolist()).random(len(self.items))
            if exclude_seen:
                scores[row, np.isin(self.items, history)] = -np.inf
        return _best(scores, self.items, n)


def _best(scores: FloatArray, items: IntArray, n: int) -> Recommendations:
    """The n items with the highest scores: (U, W) float32 and (W,) int64 -> lists of n, padded."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    best = np.full((len(scores), n), -np.inf, np.float32)
    best[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
    found = np.full((len(scores), n), PAD, np.int64)
    found[:, : order.shape[1]] = items[order]
    found[best == -np.inf] = PAD
    return Recommendations(found, best)


@dataclass(frozen=True)
class FirstPurchases:
    """What is asked: users, and the new item that each of them bought.

    Attributes:
        histories: U users, without new items.
        targets: (U,) int64, the new item bought.
        items: (W,) int64, all new items.
        n: list length.
        names: of the U users.
        catalogue: for lists in words.
        batch_size: users per call.
    """

    histories: Histories
    targets: IntArray
    items: IntArray
    n: int
    names: Sequence[str]
    catalogue: Catalogue
    batch_size: int = 256

    def __post_init__(self) -> None:
        if min(self.n, self.batch_size) < 1 or not len(self.targets):
            raise ConfigError(
                f"n is {self.n}, batch_size {self.batch_size}, and {len(self.targets)} users are asked; expected at "
                "least 1 of each"
            )

    def measure(self, system: Recommender, *, progress: bool = False) -> Measured:
        """Ask for lists of new items and score them.

        Returns:
            Per user ``recall@n``, ``ndcg@n``, ``empty`` (1 where nothing new was named), ``length`` (new items named)
            and ``rank``. A list that names another item is a problem.

        Raises:
            RecommenderError: a list breaks the contract of recommenders.
        """
        name, start = type(system).__name__, time.perf_counter()
        batches = self.histories.batches(self.batch_size)
        lists = np.concatenate([checked_recommend(system, batch, self.n, name=name).items for batch in batches])
        seconds = time.perf_counter() - start
        ranks, length = target_ranks(lists, self.targets), (lists != PAD).sum(axis=1)
        scores = {f"recall@{self.n}": recall(ranks, self.n), f"ndcg@{self.n}": ndcg(ranks, self.n)}
        lengths = {"empty": (length == 0).astype(np.float64), "length": length.astype(np.float64)}
        return Measured(
            units=pd.DataFrame({"unit": list(self.names), "rank": ranks, **scores, **lengths}),
            costs={"seconds": seconds, "users_per_second": len(lists) / max(seconds, 1e-9)},
            facts={"kind": name},
            samples=self._samples(lists),
            problems=self._problems(lists, name),
        )

    def _problems(self, lists: IntArray, name: str) -> tuple[str, ...]:
        strange = ((lists != PAD) & ~np.isin(lists, self.items)).any(axis=1)
        if not strange.any():
            return ()
        return (f"{name} names items that are not new to {int(strange.sum())} of {len(lists)} users; expected none",)

    def _samples(self, lists: IntArray) -> JSON:
        titles = self.catalogue.titles
        found = {}
        for row in range(min(SAMPLES, len(lists))):
            history = [titles[item] for item in self.histories[row][-SAMPLE_HISTORY:]]
            answer = [titles[item] for item in lists[row].tolist() if item != PAD]
            found[self.names[row]] = {
                "about": {"history": history, "target": titles[self.targets[row]]},
                "answer": answer or ["nothing new"],
            }
        return found
