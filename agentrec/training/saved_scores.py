"""Scores of any recommender in a file: of every history the best items, and how much all others weigh together.

So a teacher that was trained elsewhere, or that does not fit beside the generator, can teach. Of N scores the M best
are kept, and of the rest the log of its mass ``rest = log sum exp(z / beta)``, exactly; each of the N - M others is
given an even part of it. What that costs is bounded: behind a prefix with the items S, the shares of tokens are off by
at most ``T / (m + T)`` in total variation. Here m is the mass of the kept items in S, and T bounds that of the others:
the smaller of the whole rest and of their number in S times the smallest kept mass. So shares are exact behind a prefix
whose items are all kept, and at the first token they are off by the share of the rest at most.

A file is ``.npz`` or ``.parquet`` with one row per history: the user (as an index of the data set), how many items the
history has, items and scores (M each, ``-1`` behind the last), and rest. It names its split, number of items and beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.files import whole_file
from agentrec.core.types import PAD, FloatArray, Histories, IntArray

ARRAYS = ("users", "lengths", "items", "scores", "rest")
FACTS = ("split", "num_items", "beta")


@dataclass(frozen=True)
class SavedScores:
    """The best items of R histories.

    Attributes:
        users: (R,) int64 indexes of users.
        lengths: (R,) int64 items of each history.
        items: (R, M) int64 item indexes, ``-1`` behind the last.
        scores: (R, M) float32.
        rest: (R,) float32 log mass of all other items under ``beta``, ``-inf`` where they have none.
        num_items: N.
        split: fingerprint of the split on whose training rows the scorer was made.
        beta: temperature under which ``rest`` was summed.
    """

    users: IntArray
    lengths: IntArray
    items: IntArray
    scores: FloatArray
    rest: FloatArray
    num_items: int
    split: str
    beta: float = 1.0

    def __post_init__(self) -> None:
        if int(self.items.max(initial=PAD)) >= self.num_items:
            raise DataError(
                f"saved scores name item {int(self.items.max())} and have {self.num_items} items; expected smaller "
                "indexes"
            )
        rows = {len(getattr(self, name)) for name in ARRAYS}
        if len(rows) > 1 or self.items.shape != self.scores.shape:
            raise DataError(
                f"saved scores have {len(self.users)} users, items of shape {self.items.shape} and scores of shape "
                f"{self.scores.shape}; expected one row each"
            )

    @property
    def provenance(self) -> dict[str, Any]:
        """Which split the scores belong to."""
        return {"split": self.split}

    def score(self, histories: Histories) -> FloatArray:
        """Scores of all items by user and length of history: (U, N) float32.

        Raises:
            DataError: a history has no row; the message names its user.
        """
        keys = _keys(self.users, self.lengths)
        order = np.argsort(keys, kind="stable")
        wanted = _keys(histories.users, histories.lengths)
        place = np.minimum(np.searchsorted(keys[order], wanted), max(0, len(keys) - 1))
        found = order[place] if len(keys) else place
        missing = np.flatnonzero(keys[found] != wanted) if len(keys) else np.arange(len(wanted))
        if len(missing):
            row = int(missing[0])
            raise DataError(
                f"the saved scores have no row for user {int(histories.users[row])} with {int(histories.lengths[row])} "
                f"items, nor for {len(missing) - 1} other histories; expected one for every training position"
            )
        return spread(self.items[found], self.scores[found], self.rest[found], self.num_items, self.beta)

    def save(self, path: str | Path) -> None:
        """Write ``.npz`` or ``.parquet``."""
        facts = {name: getattr(self, name) for name in FACTS}
        arrays = {name: getattr(self, name) for name in ARRAYS}
        with whole_file(path) as temporary:
            if Path(path).suffix == ".parquet":
                import pyarrow as pa
                import pyarrow.parquet

                table = pa.table({name: list(array) for name, array in arrays.items()})
                table = table.replace_schema_metadata({name: str(value) for name, value in facts.items()})
                pyarrow.parquet.write_table(table, temporary)
            else:
                with temporary.open("wb") as file:
                    np.savez_compressed(file, **arrays, **facts)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Open a file of saved scores.

        Raises:
            ArtefactError: it does not exist, cannot be read, or lacks a part.
        """
        try:
            content = _read_parquet(path) if Path(path).suffix == ".parquet" else _read_npz(path)
            kinds: dict[str, Any] = {"items": np.int64, "users": np.int64, "lengths": np.int64}
            arrays = {name: np.asarray(content[name]).astype(kinds.get(name, np.float32)) for name in ARRAYS}
            num_items, beta = int(content["num_items"]), float(content["beta"])
            return cls(**arrays, num_items=num_items, split=str(content["split"]), beta=beta)
        except FileNotFoundError as error:
            raise ArtefactError(f"{path} does not exist; expected a file of saved scores, so check its name") from error
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            if isinstance(error, DataError):
                raise
            raise ArtefactError(
                f"{path} is no file of saved scores ({' '.join(str(error).split())}); expected {', '.join(ARRAYS)} and "
                f"{', '.join(FACTS)}, so write it by SavedScores.save"
            ) from error


def _read_npz(path: str | Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _read_parquet(path: str | Path) -> dict[str, Any]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    facts = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    return {**facts, **{name: table[name].to_pylist() for name in table.column_names}}


def _keys(users: IntArray, lengths: IntArray) -> IntArray:
    return (users << 32) + lengths


def top_scores(scores: FloatArray, m: int, beta: float = 1.0) -> tuple[IntArray, FloatArray, FloatArray]:
    """The M best items of each row, their scores, and the log mass of the rest.

    Args:
        scores: (R, N) float32.
        m: M, at least 1.
        beta: temperature of the mass.

    Returns:
        (R, M) int64 items, (R, M) float32 scores, (R,) float32.
    """
    kept = min(m, scores.shape[1])
    split = np.argpartition(-scores, kept - 1, axis=1)
    items, others = split[:, :kept], np.take_along_axis(scores, split[:, kept:], axis=1) / np.float32(beta)
    top = others.max(axis=1, keepdims=True, initial=-np.inf)
    top = np.where(np.isneginf(top), np.float32(0), top)
    with np.errstate(divide="ignore"):  # no mass is log 0
        rest = np.log(np.exp(others - top).sum(axis=1)) + top[:, 0]
    return items, np.take_along_axis(scores, items, axis=1), rest.astype(np.float32)


def spread(items: IntArray, scores: FloatArray, rest: FloatArray, num_items: int, beta: float = 1.0) -> FloatArray:
    """Scores of all items, the rest's mass spread evenly over those that are not kept: (R, N) float32."""
    real = items >= 0
    others = num_items - real.sum(axis=1)
    each = np.float32(beta) * (rest - np.log(np.maximum(others, 1)).astype(np.float32))
    found: NDArray[np.float32] = np.repeat(each.astype(np.float32)[:, None], num_items, axis=1)
    rows = np.nonzero(real)[0]
    found[rows, items[real]] = scores[real]
    return found
