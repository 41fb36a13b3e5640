"""Cross-fitted teachers: every user is taught by a model that was trained without that user.

A teacher that was trained on the very targets it teaches is surer of them than it will be of any other, so its soft
labels repeat the hard ones. Here the training users are dealt into folds, one model is trained per fold on the users of
all other folds, and asked about a user, the model of that user's fold answers. Its scores are those of a recommender
that meets the history for the first time, which is what a generator will be when it serves.

What it does not know: users outside the training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.protocols import Scorer
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray, Histories, IntArray
from agentrec.data.split import Split

Train = Callable[[Split], Scorer]


class CrossFitted:
    """One scorer per fold of the training users.

    Args:
        scorers: one per fold, trained without it.
        folds: (users of the data set,) int64 fold of each user; ``-1`` for users without training rows.
        provenance: what it was made from; names the split.
    """

    def __init__(self, scorers: Sequence[Scorer], folds: IntArray, provenance: Mapping[str, Any]) -> None:
        self.scorers = list(scorers)
        self.folds = folds
        self.provenance = dict(provenance)
        self.num_items = int(getattr(scorers[0], "num_items", 0))
        self.method = str(getattr(scorers[0], "method", type(scorers[0]).__name__))

    def score(self, histories: Histories) -> FloatArray:
        """Scores by the models that do not know these users: (U, N) float32.

        Raises:
            DataError: a history belongs to nobody in the training rows.
        """
        found = None
        for fold, rows in self._rows(histories):
            part = self.scorers[fold].score(histories.take(rows))
            found = np.empty((len(histories), part.shape[1]), np.float32) if found is None else found
            found[rows] = part
        return np.zeros((0, self.num_items), np.float32) if found is None else found

    def _rows(self, histories: Histories) -> list[tuple[int, IntArray]]:
        known = (histories.users >= 0) & (histories.users < len(self.folds))
        folds = np.where(known, self.folds[np.where(known, histories.users, 0)], -1)
        if (folds < 0).any():
            raise DataError(
                f"{int((folds < 0).sum())} of {len(histories)} histories belong to no training user; a cross-fitted "
                "teacher answers for those only"
            )
        return [(int(fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]


class CrossFittedPositions(CrossFitted):
    """The same over models that score every place of a history in one pass."""

    @property
    def reach(self) -> int:
        """Items of the longest history that all models take."""
        reaches: list[int] = [scorer.reach for scorer in self.scorers]  # type: ignore[attr-defined]
        return min(reaches)

    def score_positions(self, histories: Histories) -> FloatArray:
        """Scores of what follows each item: (R, N) float32 for R items in all."""
        found = np.empty((len(histories.items), self.num_items), np.float32)
        owners = np.repeat(np.arange(len(histories)), histories.lengths)
        for fold, rows in self._rows(histories):
            places = np.isin(owners, rows)
            found[places] = self.scorers[fold].score_positions(histories.take(rows))  # type: ignore[attr-defined]
        return found


def cross_fit(train: Train, split: Split, folds: int, *, seed: int = 0) -> CrossFitted:
    """Train one model per fold without the users of that fold.

    Args:
        train: makes a scorer from the training histories of a split.
        split: hands out the training histories.
        folds: 2 or more.
        seed: of who is in which fold.

    Raises:
        ConfigError: fewer than two folds, or more than there are training users.
    """
    users = len(split.train)
    if not 2 <= folds <= users:
        raise ConfigError(f"folds is {folds}; expected 2 to {users}, the number of training users")
    dealt = generator(seed, "cross-fitting folds").permutation(users) % folds
    scorers = [train(split.with_train(split.train.take(np.flatnonzero(dealt != fold)))) for fold in range(folds)]
    of_user = np.full(split.num_users, -1, np.int64)
    of_user[split.train.users] = dealt
    passes = all(hasattr(scorer, "score_positions") for scorer in scorers)
    made_from = {**dict(scorers[0].provenance), "split": split.fingerprint, "folds": folds, "fold_seed": seed}  # type: ignore[attr-defined]
    return (CrossFittedPositions if passes else CrossFitted)(scorers, of_user, made_from)
