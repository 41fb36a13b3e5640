"""Every number that lists of items can be given, by name: ``ndcg@10``, ``coverage@20``, ``novelty@10``.

A name is a family and a list length. Families with a value per user get intervals; coverage and the Gini index are
properties of all lists together. Some need more than lists: the training counts of items, their texts or categories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import Catalogue, Histories, IntArray
from agentrec.evaluation.task import Better, Metric
from agentrec.metrics import ranking
from agentrec.metrics.calibration import calibration_error
from agentrec.metrics.diversity import coverage, gini, intra_list_diversity
from agentrec.metrics.novelty import novelty, popularity_lift

Scores = NDArray[np.float64]
CATEGORY_COLUMNS = ("categories", "category", "genres")


@dataclass(frozen=True)
class Facts:
    """What metrics may know beside the lists.

    Attributes:
        num_items: N.
        counts: (N,) int64, how often each item occurs in training.
        catalogue: texts and categories of the items.
    """

    num_items: int
    counts: IntArray
    catalogue: Catalogue | None = None

    @cached_property
    def vectors(self) -> Any:
        """TF-IDF vectors of the item texts: (N, V) sparse.

        Raises:
            DataError: items have no texts.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = [] if self.catalogue is None else self.catalogue.texts()
        if not any(texts):
            raise DataError("diversity compares the texts of items, and there are none; give an items table with texts")
        return TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(texts)

    @cached_property
    def memberships(self) -> Any:
        """Share of every category in each item: (N, C) sparse, rows that sum to 1, or to 0 without categories.

        Raises:
            DataError: items have no categories.
        """
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.preprocessing import normalize

        name = category_column(self.catalogue)
        if self.catalogue is None or name is None:
            raise DataError(
                f"calibration needs a category of each item; expected a column {', '.join(CATEGORY_COLUMNS)} in the "
                "items table"
            )
        counts = CountVectorizer(analyzer=_categories, dtype=np.float64).fit_transform(self.catalogue.columns[name])
        return normalize((counts > 0).astype(np.float64), norm="l1")


def category_column(catalogue: Catalogue | None) -> str | None:
    """The column that holds categories, if there is one with any content."""
    if catalogue is None:
        return None
    return next((name for name in CATEGORY_COLUMNS if any(catalogue.columns.get(name, ()))), None)


def _categories(text: str) -> list[str]:
    """Categories of one item, as data sets write them: ``a|b``, ``a, b`` or ``a > b``."""
    for separator in ("|", ">", ";", ","):
        if separator in text:
            return [part.strip() for part in text.split(separator) if part.strip()]
    return [text.strip()] if text.strip() else []


@dataclass(frozen=True)
class Lists:
    """What one system recommended.

    Attributes:
        items: (U, n) int64, best first, ``-1`` pads.
        ranks: (U,) int64, 0-based rank of the target, n where it is missed.
        histories: of the U users.
    """

    items: IntArray
    ranks: IntArray
    histories: Histories


class Family(NamedTuple):
    """One kind of metric.

    Attributes:
        better: which direction is an improvement.
        needs: what must be known of items.
        per_unit: lists, facts, k -> (U,) float64; or None for a total.
        total: lists, facts, k -> a number; or None for a value per user.
    """

    better: Better
    needs: Literal["", "texts", "categories"] = ""
    per_unit: Callable[[Lists, Facts, int], Scores] | None = None
    total: Callable[[Lists, Facts, int], float] | None = None


FAMILIES = {
    "recall": Family("higher", per_unit=lambda lists, facts, k: ranking.recall(lists.ranks, k)),
    "ndcg": Family("higher", per_unit=lambda lists, facts, k: ranking.ndcg(lists.ranks, k)),
    "mrr": Family("higher", per_unit=lambda lists, facts, k: ranking.mrr(lists.ranks, k)),
    "coverage": Family("higher", total=lambda lists, facts, k: coverage(lists.items[:, :k], facts.num_items)),
    "gini": Family("lower", total=lambda lists, facts, k: gini(lists.items[:, :k], facts.num_items)),
    "novelty": Family("neither", "", lambda lists, facts, k: novelty(lists.items, facts.counts, k)),
    "popularity_lift": Family(
        "neither", "", lambda lists, facts, k: popularity_lift(lists.items, lists.histories, facts.counts, k)
    ),
    "diversity": Family(
        "neither", "texts", lambda lists, facts, k: intra_list_diversity(lists.items, facts.vectors, k)
    ),
    "calibration_error": Family(
        "lower",
        "categories",
        lambda lists, facts, k: calibration_error(lists.items, lists.histories, facts.memberships, k),
    ),
}  # fmt: skip
ACCURACY = tuple(f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (1, 5, 10, 20))
BEYOND = ("coverage@10", "gini@10", "coverage@20", "gini@20", "novelty@10", "popularity_lift@10")


def default_metrics(facts: Facts) -> tuple[str, ...]:
    """What is reported unless asked otherwise: everything that the data allows."""
    names = [*ACCURACY, *BEYOND]
    if facts.catalogue is not None and any(facts.catalogue.texts()):
        names.append("diversity@10")
    if category_column(facts.catalogue) is not None:
        names.append("calibration_error@10")
    return tuple(names)


def split_name(name: str) -> tuple[str, int]:
    """``"ndcg@10"`` -> ``("ndcg", 10)``.

    Raises:
        ConfigError: no such family, or no list length.
    """
    family, _, k = name.partition("@")
    if family not in FAMILIES or not k.isdecimal() or int(k) < 1:
        raise ConfigError(
            f"there is no metric {name!r}; expected one of {', '.join(FAMILIES)} with a list length, such as ndcg@10"
        )
    return family, int(k)


def list_length(names: Sequence[str]) -> int:
    """n, the longest list that any metric asks for."""
    return max(split_name(name)[1] for name in names)


def described(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics as a task declares them; NDCG and recall at 10, or at the largest k without a 10, are the headline.

    Raises:
        ConfigError: a name means nothing, occurs twice, or there is none.
    """
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"the metrics are {', '.join(names) or 'none'}; expected at least one, each once")
    parts = {name: split_name(name) for name in names}
    lengths = sorted({k for family, k in parts.values() if family in ("ndcg", "recall")})
    shown = 10 if 10 in lengths or not lengths else lengths[-1]
    chosen = {f"ndcg@{shown}", f"recall@{shown}"} & set(names) or {names[0]}
    ordered = sorted(names, key=lambda name: (name not in chosen, name in chosen and not name.startswith("ndcg")))
    return tuple(Metric(name, FAMILIES[parts[name][0]].better, headline=name in chosen) for name in ordered)


def score(names: Sequence[str], lists: Lists, facts: Facts) -> tuple[dict[str, Scores], dict[str, float]]:
    """Values per user, and totals, of one system's lists.

    Args:
        names: of metrics.
        lists: what was recommended to U users.
        facts: what is known of items.

    Returns:
        metric -> (U,) float64, and metric -> number.

    Raises:
        DataError: a metric needs texts or categories that are not there.
    """
    per_unit: dict[str, Scores] = {}
    totals: dict[str, float] = {}
    for name in names:
        family, k = split_name(name)
        kind = FAMILIES[family]
        if kind.per_unit is not None:
            per_unit[name] = kind.per_unit(lists, facts, k)
        elif kind.total is not None:
            totals[name] = kind.total(lists, facts, k)
    return per_unit, totals
