"""The shapes of a model's answers, which are the JSON schema at the border, and what they order."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from agentrec.agents.inventory.advice import Parameters, default_parameters, order_by
from agentrec.agents.inventory.facts import seen
from agentrec.core.types import JSON

LARGEST_ORDER = 1_000_000


def _cut(most: int) -> BeforeValidator:
    """Longer texts are cut, not refused: reasons are for reading."""

    def cut(text: Any) -> Any:
        return text[:most] if isinstance(text, str) else text

    return BeforeValidator(cut)


Rationale = Annotated[str, _cut(600), Field(max_length=600)]
Insight = Annotated[str, _cut(300), Field(max_length=300)]


class OrderAnswer(BaseModel):
    """An order, with reasons."""

    model_config = ConfigDict(extra="forbid")
    rationale: Rationale
    carry_over_insight: Insight = ""
    order: int = Field(ge=0, le=LARGEST_ORDER)

    def ordered(self, facts: JSON) -> tuple[int, JSON]:
        """The order, and no figures."""
        return self.order, {}


class Level(BaseModel):
    """Mean or deviation of demand: of all periods, as given, or of the last so many periods."""

    model_config = ConfigDict(extra="forbid")
    method: Literal["default", "explicit", "recent"]
    value: float = Field(0.0, ge=0, le=1e9)
    periods: int = Field(0, ge=0, le=1000)


class LeadTime(BaseModel):
    """Lead time: as promised, as given, or the mean of the orders that arrived, rounded up."""

    model_config = ConfigDict(extra="forbid")
    method: Literal["default", "explicit", "calculate"]
    value: int = Field(0, ge=0, le=100)


class ParametersAnswer(BaseModel):
    """Parameters of capped base stock, with reasons."""

    model_config = ConfigDict(extra="forbid")
    rationale: Rationale
    carry_over_insight: Insight = ""
    mean: Level
    deviation: Level
    lead_time: LeadTime
    lost_units: int = Field(0, ge=0, le=LARGEST_ORDER)

    def ordered(self, facts: JSON) -> tuple[int, JSON]:
        """The order of capped base stock, and its figures."""
        usual = default_parameters(facts)
        made = order_by(
            Parameters(
                _level(self.mean, facts, usual.mean, spread=False),
                _level(self.deviation, facts, usual.deviation, spread=True),
                _lead_time(self.lead_time, facts),
                self.lost_units,
            ),
            facts,
        )
        return int(made["base_order"]), made


def _level(chosen: Level, facts: JSON, usual: float, *, spread: bool) -> float:
    if chosen.method == "explicit":
        return chosen.value
    recent = np.array(seen(facts)[-chosen.periods :], np.float64)
    if chosen.method == "default" or chosen.periods < 1 + spread or len(recent) < 1 + spread:
        return usual
    return float(recent.std(ddof=1) if spread else recent.mean())


def _lead_time(chosen: LeadTime, facts: JSON) -> int:
    if chosen.method == "explicit":
        return chosen.value
    came = facts["lead_times"]
    return math.ceil(sum(came) / len(came)) if chosen.method == "calculate" and came else int(facts["promised"])
