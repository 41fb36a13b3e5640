"""One instance of the game as a Gymnasium environment, for reinforcement learning and for playing step by step.

Observations have a fixed shape: what has not happened yet, and orders that have not arrived, are ``-1``. The reward is
that of `agentrec.agents.inventory.game`; ``info`` of the last step holds the score. Needs the extra ``agents``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agentrec.agents.inventory.game import InventoryGame, Step
from agentrec.agents.inventory.instances import Instances, Values
from agentrec.agents.inventory.observation import WAITING
from agentrec.core.errors import DataError, require
from agentrec.core.types import IntArray

require("gymnasium", "agents")

import gymnasium  # noqa: E402 - only after the sentence that says how to install it
from gymnasium import spaces  # noqa: E402

LARGEST_ORDER = 1_000_000


class InventoryEnv(gymnasium.Env[dict[str, Any], Any]):  # type: ignore[misc]
    """The game with B = 1.

    Example:
        >>> from agentrec.agents.inventory.generate import Sizes, generate
        >>> env = InventoryEnv(generate(["stationary"], Sizes(series=1)))
        >>> seen, info = env.reset(seed=0)
        >>> int(seen["on_hand"][0])
        0
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, instances: Instances) -> None:
        if len(instances) != 1:
            raise DataError(f"the environment was given {len(instances)} instances; expected 1, so take one of them")
        self.instances = instances
        self.game = InventoryGame(instances)
        self._total = 0.0
        self.action_space = spaces.Box(0, LARGEST_ORDER, (1,), np.int64)
        periods, before = instances.periods, instances.history.shape[1]
        series = spaces.Box(WAITING, np.iinfo(np.int64).max, (periods,), np.int64)
        amount = spaces.Box(0, np.iinfo(np.int64).max, (1,), np.int64)
        money = spaces.Box(0.0, np.inf, (1,), np.float64)
        self.observation_space = spaces.Dict(
            {
                "history": spaces.Box(0, np.iinfo(np.int64).max, (before,), np.int64),
                "demand": series,
                "orders": series,
                "arrived": series,
                "on_hand": amount,
                "in_transit": amount,
                "promised": amount,
                "profit": money,
                "holding": money,
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin again; the instance is fixed, so the seed changes nothing."""
        super().reset(seed=seed)
        self.game = InventoryGame(self.instances)
        self._total = 0.0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Order: a whole number of units, as a number or an array of one.

        Returns:
            Observation, reward, whether the game is over, False, and what the period brought.

        Raises:
            PolicyError: the order is no whole number of 0 or more, or the game is over.
        """
        made = self.game.step(np.atleast_1d(np.asarray(action)))
        self._total += float(made.reward[0])
        return self._observation(), float(made.reward[0]), self.game.done, False, self._info(made)

    def _info(self, made: Step) -> dict[str, Any]:
        info: dict[str, Any] = {"arrivals": int(made.arrivals[0]), "sold": int(made.sold[0])}
        if self.game.done:
            best = float(self.instances.profit[0] * self.instances.demand.sum())
            info["score"] = max(0.0, self._total / best) if best else float(self._total >= 0)
        return info

    def _observation(self) -> dict[str, IntArray | Values]:
        seen = self.game.observe()
        filled: dict[str, IntArray | Values] = {"history": seen.history[0]}
        for name in ("demand", "orders", "arrived"):
            row = np.full(self.instances.periods, WAITING, np.int64)
            row[: seen.period] = getattr(seen, name)[0]
            filled[name] = row
        singles = ("on_hand", "in_transit", "promised", "profit", "holding")
        return filled | {name: getattr(seen, name) for name in singles}
