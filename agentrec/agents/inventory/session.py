"""A person plays the game, alone or with advice; every decision is a line of a log, and a game can be gone on with.

What the person sees is what policies see, and the advice if there is any. `study_of` reads logs of many games and
bounds from below which share of people does better with advice than alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from agentrec.agents.inventory.complementarity import LowerBound, complementarity_lower_bound
from agentrec.agents.inventory.facts import facts_of, figures
from agentrec.agents.inventory.game import InventoryGame, PolicyError, Step, play, score
from agentrec.agents.inventory.instances import Instances
from agentrec.agents.inventory.policies import load_policy
from agentrec.agents.inventory.policies.perfect_foresight import PerfectForesight
from agentrec.core.errors import DataError
from agentrec.core.lines import append_line, read_lines
from agentrec.core.types import JSON
from agentrec.prompts.files import prompt
from agentrec.serving.chat.private import redact_all

MOST = 1_000_000  # units of an order


class Session:
    """One person at one game.

    Args:
        instances: the game, B = 1.
        advice: name of the policy that advises; None plays alone.
        log: file of decisions; what it holds of this player, game and advice is played first.
        player: who plays, in any words that name nobody.

    Raises:
        DataError: more than one instance.
        UnknownNameError: there is no such policy.
    """

    def __init__(self, instances: Instances, *, advice: str | None, log: Path | None = None, player: str = "") -> None:
        if len(instances) != 1:
            raise DataError(f"a person was given {len(instances)} products; expected 1, so choose one")
        self.instances, self.advice, self.log = instances, advice, log
        self.name = {"player": player, "game": instances.fingerprint, "advice": advice}
        self._game = InventoryGame(instances)
        self._policy = None if advice is None else load_policy(advice)()
        self._rewards: list[float] = []
        for line in read_lines(log) if log is not None else ():
            if all(line.get(name) == value for name, value in redact_all(self.name).items()):
                self._play(int(line["order"]))
        self._shown = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether all periods were played."""
        return self._game.done

    @property
    def facts(self) -> JSON:
        """What may be seen before ordering."""
        return facts_of(self.instances.names[0], self._game.observe())

    @property
    def advised(self) -> int | None:
        """The policy's order; None for who plays alone."""
        return None if self._policy is None else int(self._policy.order(self._game.observe())[0])

    def situation(self) -> str:
        """What may be seen, in words."""
        return prompt("inventory/situation").render(facts=self.facts, memory=[])

    def reasons(self) -> str:
        """The advice and its reasons; empty for who plays alone."""
        order = self.advised
        if order is None:
            return ""
        return f"{self.advice} advises {order}. {prompt('inventory/reasons').render(**figures(self.facts, order))}"

    def order(self, units: int) -> JSON:
        """Order, play the period, and write the decision down.

        Returns:
            What the period brought: ``arrivals``, ``demand``, ``sold``, ``on_hand``, ``reward``.

        Raises:
            PolicyError: the game is over, or the order is not between 0 and `MOST`.
        """
        if not 0 <= units <= MOST:
            raise PolicyError(f"the order is {units}; expected 0 to {MOST} units")
        advised, seconds, period = self.advised, time.monotonic() - self._shown, self._game.period
        step = self._play(units)
        brought: JSON = {
            "arrivals": int(step.arrivals[0]),
            "demand": int(self.instances.demand[0, period]),
            "sold": int(step.sold[0]),
            "on_hand": int(step.on_hand[0]),
            "reward": float(step.reward[0]),
        }
        if self.log is not None:
            decision = {"period": period, "order": units, "advised": advised, "seconds": seconds, "at": time.time()}
            append_line(self.log, redact_all({**self.name, **decision, **brought, "score": self._score()}))
        self._shown = time.monotonic()
        return brought

    def summary(self) -> JSON:
        """How it went: the score, and those of the advice and of perfect foresight, once all is played."""
        found: JSON = {"periods": self._game.period, "reward": sum(self._rewards)}
        if self.done:
            found |= {"score": self._score(), "best": float(play(PerfectForesight(), self.instances).score[0])}
            if self._policy is not None:
                found["advice_alone"] = float(play(self._policy, self.instances).score[0])
        return found

    def _score(self) -> float | None:
        """None until all is played."""
        return float(score(self.instances, np.array([self._rewards]))[0]) if self.done else None

    def _play(self, units: int) -> Step:
        step = self._game.step(np.array([units], np.int64))
        self._rewards.append(float(step.reward[0]))
        return step


def study_of(logs: Iterable[Path], *, seed: int = 0) -> LowerBound:
    """At least which share of people does better with advice than alone, from the finished games in logs.

    People count once in each group, with the mean score of their games.

    Raises:
        DataError: fewer than two people finished games alone, or with advice.
    """
    scores: dict[bool, dict[str, list[float]]] = {False: {}, True: {}}
    for log in logs:
        for line in read_lines(log):
            if line.get("score") is not None:
                scores[line["advice"] is not None].setdefault(str(line["player"]), []).append(float(line["score"]))
    means = {helped: [float(np.mean(games)) for games in people.values()] for helped, people in scores.items()}
    return complementarity_lower_bound(means[False], means[True], seed=seed)
