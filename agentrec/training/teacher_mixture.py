"""Several teachers as one: the mean of what each of them expects next.

Teachers differ in what they are good at: transitions know which item follows which, and nothing of pairs that nobody
bought; a sequence model knows a little of everything. Each teacher's scores become probabilities of all items, and the
soft label is their mean. A teacher that gives no item any weight leaves the word to the others.

What it does not know: which teacher is right where; all have the same say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agentrec.core.errors import ConfigError
from agentrec.core.protocols import Scorer
from agentrec.core.types import JSON, FloatArray, Histories, IntArray
from agentrec.data.split import Split
from agentrec.training.teachers import WEIGHTS, Teacher, open_teacher

BETWEEN = "+"


@dataclass(frozen=True)
class TeacherMixture:
    """Teachers with an equal say.

    Attributes:
        teachers: two or more, over the same items.
    """

    teachers: tuple[Teacher, ...]

    @property
    def identity(self) -> JSON:
        """What they are, as JSON."""
        return {"method": "mixture", "teachers": [teacher.identity for teacher in self.teachers]}

    def logits(self, histories: Histories, owners: IntArray, places: IntArray) -> FloatArray:
        """As `Teacher.logits`: log of the mean probability of every item, (R, N) float32."""
        said = [_probabilities(teacher.logits(histories, owners, places)) for teacher in self.teachers]
        total = np.sum([shares for shares, _ in said], axis=0)
        heard = np.sum([speaks for _, speaks in said], axis=0)
        with np.errstate(divide="ignore"):
            logits: FloatArray = np.log(total / np.maximum(heard, 1))
        return logits


def open_teachers(
    source: str | Path | Scorer | Sequence[Any], split: Split, *, scale: str = "auto", folds: int = 0
) -> Teacher | TeacherMixture:
    """One teacher, or several as one.

    Args:
        source: as for `open_teacher`; several as a sequence, or as names with ``+`` between them.
        split: what the generator is trained on.
        scale: as for `open_teacher`, of each.
        folds: see `folds_of`.

    Raises:
        ConfigError: there is none, or `folds_of` refuses them.
    """
    parts: list[Any] = _parts(source)
    if not parts or "" in parts:
        raise ConfigError(f"the teacher is {source!r}; expected a method, a folder or a file, or several joined by +")
    if len(parts) == 1:
        return open_teacher(parts[0], split, scale=scale, folds=folds)
    each = zip(parts, folds_of(parts, folds), strict=True)
    return TeacherMixture(tuple(open_teacher(part, split, scale=scale, folds=number) for part, number in each))


def folds_of(teachers: Sequence[Any], folds: int) -> list[int]:
    """How many folds each teacher is cross-fitted in.

    Of several only those that count (popularity, transitions) are: counting takes seconds, and counts are what knows by
    heart whom it has seen.

    Args:
        teachers: methods; of several, folders and scorers too, which are never cross-fitted.
        folds: as for `open_teacher`.

    Raises:
        ConfigError: several are to be cross-fitted and none of them counts.
    """
    if len(teachers) == 1:
        return [folds]
    if folds and not any(teacher in WEIGHTS for teacher in teachers):
        names = ", ".join(map(str, teachers))
        raise ConfigError(f"folds is {folds} and of {names} none counts ({', '.join(WEIGHTS)}); expected folds 0")
    return [folds if teacher in WEIGHTS else 0 for teacher in teachers]


def _parts(source: Any) -> list[Any]:
    if isinstance(source, str) and not Path(source).exists():
        return [part.strip() for part in source.split(BETWEEN)]
    return list(source) if isinstance(source, list | tuple) else [source]


def _probabilities(logits: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Softmax of rows, (R, N), and which rows have any, (R, 1); the others are zeros."""
    top = logits.max(axis=1, keepdims=True)
    speaks = np.isfinite(top)
    shares = np.exp(logits - np.where(speaks, top, 0))
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return shares, speaks.astype(np.float32)
