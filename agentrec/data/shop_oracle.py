"""The recommender that knows the truth of a simulated shop, and the scores it can expect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.types import FloatArray, Histories, IntArray, Recommendations

BATCH = 1024


class Oracle:
    """Ranks by the true probability of the next item; a `Recommender` and a `Scorer`.

    Users are told by `Histories.users`; an anonymous user has the mean taste of the prior, and is not inferred from the
    history.

    Args:
        probabilities: (B,) users and (B,) last items, ``-1`` where unknown -> (B, N) float64.
        num_items: N.
        num_users: users of the shop.
    """

    def __init__(
        self, probabilities: Callable[[IntArray, IntArray], NDArray[np.float64]], num_items: int, num_users: int
    ) -> None:
        self._probabilities = probabilities
        self._num_items = num_items
        self._num_users = num_users

    @property
    def num_items(self) -> int:
        """N, the size of the catalogue."""
        return self._num_items

    def probabilities(self, histories: Histories) -> NDArray[np.float64]:
        """The true distribution of each user's next item: (U, N) float64, rows sum to 1.

        Raises:
            DataError: a user or an item is not of this shop.
        """
        for what, found, size in (
            ("user", histories.users, self._num_users),
            ("item", histories.items, self.num_items),
        ):
            if len(found) and not (found.min() >= (-1 if what == "user" else 0) and found.max() < size):
                raise DataError(
                    f"histories name {what} indexes from {found.min()} to {found.max()}; expected those of this shop, "
                    f"below {size}"
                )
        return self._probabilities(histories.users, histories.padded(1)[:, 0])

    def score(self, histories: Histories) -> FloatArray:
        """Log probabilities: (U, N) float32, ``-inf`` for the last item, which is never bought twice in a row."""
        parts = [_log(self.probabilities(batch)).astype(np.float32) for batch in histories.batches(BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self.num_items), np.float32)

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; items of equal probability come in the order of their index."""
        items, scores = [np.zeros((0, n), np.int64)], [np.zeros((0, n), np.float32)]
        for batch in histories.batches(BATCH):
            logs = _log(self.probabilities(batch))
            if exclude_seen:
                logs[np.repeat(np.arange(len(batch)), batch.lengths), batch.items] = -np.inf
            order = np.argsort(-logs, axis=1, kind="stable")[:, :n]
            best = np.take_along_axis(logs, order, axis=1).astype(np.float32)
            missing = ((0, 0), (0, n - order.shape[1]))
            items.append(np.pad(np.where(np.isinf(best), -1, order), missing, constant_values=-1))
            scores.append(np.pad(best, missing, constant_values=-np.inf))
        return Recommendations(np.concatenate(items), np.concatenate(scores))


def expected_scores(oracle: Oracle, histories: Histories, ks: Sequence[int]) -> dict[str, float]:
    """Expected Recall@k and NDCG@k of the oracle's own ranking, one relevant item per user.

    With ``p_r`` the probability of the item at rank ``r``: ``E[Recall@k] = sum_{r<=k} p_r`` and
    ``E[NDCG@k] = sum_{r<=k} p_r / log2(r + 1)``, averaged over users.

    Raises:
        DataError: there are no users.
    """
    if len(histories) == 0:
        raise DataError("expected scores need at least one history and there are none; give held-out users")
    largest = max(ks)
    best = np.concatenate(
        [-np.sort(-oracle.probabilities(batch), axis=1)[:, :largest] for batch in histories.batches(BATCH)]
    ).mean(axis=0)
    discounted = best / np.log2(np.arange(len(best)) + 2)
    scores: dict[str, Any] = {}
    for k in ks:
        scores[f"recall@{k}"] = float(best[:k].sum())
        scores[f"ndcg@{k}"] = float(discounted[:k].sum())
    return scores


def _log(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(probabilities, out=np.full_like(probabilities, -np.inf), where=probabilities > 0)
