"""Predictions that somebody else made, as a recommender: a CSV or Parquet file of user, item and rank or score.

Parquet files may also hold one row per user: the user, a list of items, best first, and if there are any a list of
scores; they are more compact. The lists are looked up by user, so only the users of the file can be served, and
their histories are not read. Ids are the data set's own, as text or whole numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.files import file_hash
from agentrec.core.types import JSON, PAD, Histories, IntArray, Recommendations
from agentrec.data.dataset import Dataset
from agentrec.evaluation.adapters.answers import Unknown, cut_or_fill, without_seen
from agentrec.evaluation.adapters.prediction_checks import Examined, Missing, examine


class PredictionsFile:
    """Ready-made lists as a recommender (see `read`).

    Args:
        file: read, and found to be in order.
        missing: a user without rows is an ``"error"``, or a ``"miss"``: an empty list.
        provenance: what results record.
    """

    def __init__(self, file: Examined, *, missing: Missing, provenance: JSON) -> None:
        self._dataset = file.dataset
        self._missing = missing
        self._items, self._offsets = file.items, file.offsets
        self._scores = file.order.astype(np.float32)
        self.provenance = provenance

    @classmethod
    def read(
        cls,
        path: str | Path,
        dataset: Dataset,
        *,
        users: IntArray | Histories | None = None,
        missing: Missing = "error",
        unknown_items: Unknown = "error",
    ) -> PredictionsFile:
        """Read a file with the columns user, item, and rank (smaller is better) or score (larger is better).

        Args:
            path: ``*.csv`` or ``*.parquet``.
            dataset: whose ids the file uses.
            users: who is evaluated: (U,) int64 indexes or their histories; rows of other users are left out.
            missing: ``"error"`` refuses a file that lacks some of ``users``; ``"miss"`` counts them as missed and
                records their number in the result.
            unknown_items: ``"error"`` refuses items that the data set lacks; ``"drop"`` takes them out of the lists
                and records their number.

        Raises:
            DataError: the file cannot be read, or the report of `agentrec.evaluation.adapters.conformance`
                has errors; the message holds all of them.
        """
        file = examine(path, dataset, users, None, missing=missing, unknown_items=unknown_items)
        file.report().raise_if_errors()
        found = {
            "file": Path(path).name,
            "content": file_hash(path),
            "missing": missing,
            "missing_users": len(file.missing_users()),
            "unknown_items": len(file.source.item_ids.unknown),
            "warnings": [problem.sentence() for problem in file.report().warnings],
        }
        return cls(file, missing=missing, provenance=found)

    @property
    def num_items(self) -> int:
        """N."""
        return self._dataset.num_items

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`; lists are no longer than in the file.

        Scores are those of the file, or minus the rank where it has ranks.

        Raises:
            DataError: a user is not in the file, and ``missing`` is ``"error"``.
        """
        known = np.clip(histories.users, 0, self._dataset.num_users - 1)
        lengths = np.where(histories.users >= 0, np.diff(self._offsets)[known], 0)
        if self._missing == "error" and not lengths.all():
            raise _missing_users(histories.users[lengths == 0], len(histories), self._dataset)
        place = np.arange(int(lengths.max(initial=0)))[None, :]
        real = place < lengths[:, None]
        source = np.where(real, self._offsets[known][:, None] + place, 0)
        if real.any():
            items = np.where(real, self._items[source], np.int64(PAD)).astype(np.int64)
            scores = np.where(real, self._scores[source], np.float32(-np.inf))
        else:
            items, scores = np.full(real.shape, PAD, np.int64), np.full(real.shape, -np.inf, np.float32)
        answer = Recommendations(items, scores)
        return cut_or_fill(*(without_seen(answer, histories, self.num_items) if exclude_seen else answer), n)


def _missing_users(absent: IntArray, total: int, dataset: Dataset) -> DataError:
    example = repr(dataset.user_ids[absent[0]]) if absent[0] >= 0 else "somebody unknown"
    return DataError(
        f"the predictions file has no predictions for {len(absent)} of {total} users, for example {example}; add them, "
        "or count them as missed with missing='miss' (--missing miss)"
    )
