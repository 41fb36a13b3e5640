"""Settings of the inventory graph, and the live things made from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from agentrec.agents.agent import AgentContext
from agentrec.agents.inventory.computed import answer
from agentrec.agents.inventory.limits import Shared
from agentrec.agents.inventory.world import DRAWN, World, open_world
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError
from agentrec.serving.chat.protocol import Answerer


@dataclass(frozen=True)
class Config:
    """What is ordered for, and how."""

    data: str = setting(DRAWN, "a shop's .csv file, a folder of InventoryBench, or 'families' (drawn here)")
    mode: Literal["or_to_llm", "llm_to_or", "llm_only", "or_only"] = setting(
        "or_to_llm", "what the model does: judge OR's order, set OR's parameters, order alone, nothing"
    )
    advice: str = setting("adaptive", "policy that advises: adaptive, or (capped base stock), newsvendor, ...")
    human: bool = setting(False, "ask a person before every order")
    order_budget: float | None = setting(None, "money for all orders of a period: unit_cost times units, 1 each")
    capacity: float | None = setting(None, "room for all stock: volume times units, 1 each")
    play: bool = setting(False, ".csv: play its periods as a game, instead of ordering for the period after it")
    periods: int | None = setting(None, "game: stop after so many periods")
    limit: int = setting(3, "folder or 'families': play so many products side by side")
    memory: int = setting(5, "how many insights of the model are carried over, per product")
    largest: float = setting(
        5.0,
        "an order of the model above so many times the largest demand, for the lead time and one period, is refused",
    )
    profit: float | None = setting(None, ".csv: profit per unit, where it has no such column")
    holding_cost: float | None = setting(None, ".csv: cost per unit left and period, where it has no such column")
    lead_time: int | None = setting(None, ".csv: promised lead time in periods, where it has no such column")
    history: int = setting(5, ".csv that is played: periods known before the game")
    sku: str | None = setting(None, ".csv: which product, where it holds several; all by default")
    on_hand: int | None = setting(None, ".csv of one product: units in stock now, where it has no such column")
    in_transit: int | None = setting(None, ".csv of one product: units on the way, where it has no column ordered")
    seed: int = setting(0, "of what is drawn")

    def __post_init__(self) -> None:
        least = {"limit": 1, "memory": 0, "periods": 1, "on_hand": 0, "in_transit": 0, "history": 1}
        amounts = {"order_budget": 0, "capacity": 0, "largest": 1}
        for name, low in (least | amounts).items():
            value = getattr(self, name)
            if value is not None and not value >= low:
                raise ConfigError(f"{name} is {value}; expected at least {low}")


@dataclass(frozen=True)
class Context(Config, AgentContext):
    """What nodes hold."""

    policy: ClassVar[Answerer | None] = staticmethod(answer)

    @cached_property
    def world(self) -> World:
        """The game or the shop.

        Raises:
            DataError: the data are not as described.
        """
        return open_world(self)

    @property
    def shared(self) -> Shared:
        """What all products share."""
        return Shared(self.order_budget, self.capacity)
