"""Verdicts by rule: what figures say of a claim, so that nobody decides it by hand."""

from __future__ import annotations

import operator
import re
from typing import Literal, NamedTuple, Self

from agentrec.core.errors import ConfigError
from agentrec.evaluation.result import Comparison, Estimate

Verdict = Literal["holds", "flat", "fails"]
Relation = Literal[">=", "<=", "="]
KEEPS = {">=": operator.ge, "<=": operator.le, "=": operator.eq}
BAR = re.compile(r"\s*(>=|<=|=)\s*([-+.\deE]+)\s*")


class Bar(NamedTuple):
    """A fixed value that a metric is held against.

    Attributes:
        relation: ``">="``, ``"<="`` or ``"="``.
        value: the value.
    """

    relation: Relation
    value: float

    def __str__(self) -> str:
        return f"{self.relation} " + repr(self.value).removesuffix(".0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """``">= 0.99"`` as a bar.

        Raises:
            ConfigError: the text is no bar.
        """
        match = BAR.fullmatch(text)
        try:
            if match is None:
                raise ValueError(text)
            return cls(match[1], float(match[2]))  # type: ignore[arg-type]  # the pattern knows the relations
        except ValueError as error:
            raise ConfigError(f"the bar is {text!r}; expected >=, <= or = and a number, such as '>= 0.99'") from error


def verdict_against(comparison: Comparison, label: str) -> Verdict:
    """Whether a system is ahead of the other one of a comparison.

    ``holds`` if it is for certain (`Comparison.winner`: Holm's p below .05, an interval without 0, and every seed
    agrees), ``fails`` if the other one is, ``flat`` otherwise.
    """
    winner = comparison.winner
    return "flat" if winner is None else "holds" if winner == label else "fails"


def verdict_at(bar: Bar, estimate: Estimate) -> Verdict:
    """Whether a metric keeps to a bar.

    ``holds`` if its whole interval does, ``fails`` if none of it does, ``flat`` otherwise. The bar ``=`` holds where
    the estimate and its interval are that value, and fails otherwise: a share of 1 has no exceptions.

    Example:
        >>> verdict_at(Bar(">=", 0.9), Estimate(0.95, 0.88, 0.99))
        'flat'
    """
    bounds = [bound for bound in (estimate.mean, estimate.low, estimate.high) if bound is not None]
    keeps = [KEEPS[bar.relation](bound, bar.value) for bound in bounds]
    if keeps and all(keeps):
        return "holds"
    return "flat" if any(keeps) and bar.relation != "=" else "fails"
