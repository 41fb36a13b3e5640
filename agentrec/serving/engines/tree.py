"""The tree-beam engine: wide beams in process, many requests at a time, the beams of each as a tree in one row.

Requests wait in a queue, and one thread runs the model. When it is free it takes the oldest request and, for the same
pass, whatever else waits that has the same width and a similar length, whatever sets they are held to. So nobody waits
for a batch to fill, and under load batches fill by themselves. An item has few tokens: a batch ends after L passes, and
that is how long a newcomer waits. Free text is written between batches, one token of all texts at a time.

What it does not know: several devices. Run one engine per device.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentrec.core.config import setting
from agentrec.core.types import PAD, IntArray
from agentrec.decoding.search.plan import BeamPlan, LoadPolicy
from agentrec.decoding.sets.mixed import PerRow
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.stepping import TokenLayout
from agentrec.serving.engines.batching import Budget, choose
from agentrec.serving.engines.plan import Limits, Plan, TextPlan, nothing_left, plan_beam, plan_text
from agentrec.serving.engines.protocol import (
    BeamRequest,
    BeamResult,
    EngineBusyError,
    EngineDeadError,
    TextRequest,
    TextResult,
)
from agentrec.serving.engines.text import TextBatch
from agentrec.serving.engines.waiting import Awaited
from agentrec.serving.generative import GenerativeRecommender


@dataclass(frozen=True)
class TreeConfig:
    """How much the engine takes at a time."""

    max_waiting: int = setting(1024, "Requests that may wait; further ones are told to come back.")
    max_rows: int = setting(1024, "Beam rows of one batch; a single request may have more.")
    max_tokens: int = setting(16384, "Padded prompt and beam tokens of one batch.")
    max_beams: int = setting(1024, "The widest beam that may be asked for.")
    max_texts: int = setting(64, "Texts that are written at a time; one batch has at most a quarter of them.")


@dataclass(eq=False)
class Waiting(Awaited):
    """A request and who waits for its answer."""

    plan: Plan | TextPlan


class TreeEngine:
    """Serves a generator in process.

    Args:
        recommender: the generator; the engine is the only one to run its model from now on.
        sets: named sets over the recommender's own index; only ``all`` by default.
        config: how much it takes at a time.
        load: factor of beam widths by the share of the queue that is taken; widths stay as asked by default.

    Raises:
        ConfigError: the sets belong to another index.
    """

    def __init__(
        self,
        recommender: GenerativeRecommender,
        sets: ConstraintSets | None = None,
        *,
        config: TreeConfig | None = None,
        load: LoadPolicy | None = None,
    ) -> None:
        self.name = "tree"
        self.recommender = recommender
        self.config = config or TreeConfig()
        self.sets = sets_of(recommender) if sets is None else sets
        self.limits = limits_of(recommender, self.config.max_beams)
        self._load = load
        self._wake = threading.Condition()
        self._beams: deque[Waiting] = deque()
        self._texts: deque[Waiting] = deque()
        self._writing: list[tuple[TextBatch, list[Waiting]]] = []
        self._layout = layout_of(recommender)
        self._closing = False
        self._thread: threading.Thread | None = None
        self._running: list[Waiting] = []
        self._counts = dict.fromkeys(("requests", "batches", "prompt_tokens", "beam_tokens", "cancelled"), 0)
        self._factor = 1.0

    async def start(self) -> None:
        """See `Engine`; the first search is made here, because it compiles."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tree-engine", daemon=True)
            self._thread.start()
            await self.beam(BeamRequest((self.recommender.tokenizer.eos_token_id,), 1, 2))
            self._counts = dict.fromkeys(self._counts, 0)

    async def beam(self, request: BeamRequest) -> BeamResult:
        """See `Engine`."""
        self.limits.check(request)
        plan = plan_beam(request, self.sets)
        if plan.constraint is None:
            return nothing_left(plan)
        found: BeamResult = await self._wait(plan, self._beams)
        return found

    async def generate(self, request: TextRequest) -> TextResult:
        """See `Engine`."""
        self.limits.check(request)
        plan = plan_text(request, self.sets, self.recommender.tokenizer)
        found: TextResult = await self._wait(plan, self._texts)
        return found

    async def _wait(self, plan: Plan | TextPlan, queue: deque[Waiting]) -> Any:
        waiting = Waiting(plan)
        with self._wake:
            self._check_open()
            if len(queue) >= self.config.max_waiting:
                raise EngineBusyError(
                    f"{len(queue)} requests wait already; expected fewer than {self.config.max_waiting}, so try again "
                    "in a moment"
                )
            queue.append(waiting)
            self._counts["requests"] += 1
            self._wake.notify()
        try:
            return await waiting.future
        except asyncio.CancelledError:
            with self._wake:
                if waiting in queue:  # its place is free for others at once
                    queue.remove(waiting)
                    self._counts["cancelled"] += 1
            raise

    def _check_open(self) -> None:
        if self._closing or self._thread is None or not self._thread.is_alive():
            raise EngineDeadError(
                "the tree engine is not running; expected it to be started and not yet closed, so start another"
            )

    def stats(self) -> dict[str, float]:
        """See `Engine`; ``cancelled`` counts requests that were taken back, ``load_factor`` scales widths now."""
        running, texts = self._running, sum(len(rows) for _, rows in self._writing)
        return {
            **self._counts,
            "waiting": len(self._beams) + len(self._texts),
            "running": len(running) + texts,
            "beam_rows": sum(waiting.plan.width for waiting in running if isinstance(waiting.plan, Plan)) + texts,
            "load_factor": self._factor,
            "alive": float(self._thread is not None and self._thread.is_alive() and not self._closing),
        }

    async def close(self) -> None:
        """See `Engine`."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        """What the thread does until it is told to stop and nothing waits: a batch of beams, a token of every text."""
        try:
            while True:
                with self._wake:
                    while not (self._beams or self._texts or self._writing or self._closing):
                        self._wake.wait()
                    if not (self._beams or self._texts or self._writing):
                        return
                    self._running = self._next_batch()
                    texts = self._next_texts()
                self._answer(self._running)
                self._running = []
                with self.recommender.precision():
                    self._begin(texts)
                    self._write()
        except BaseException as error:  # whatever it is, nobody may wait for ever
            dead = EngineDeadError(f"the tree engine stopped ({type(error).__name__}: {error}); start another")
            writing = [waiting for _, rows in self._writing for waiting in rows]
            for waiting in [*self._running, *writing, *self._beams, *self._texts]:
                waiting.settle(dead)
            raise

    def _next_texts(self) -> list[Waiting]:
        """Take texts out of the queue that can be begun now; the lock is held."""
        room = self.config.max_texts - sum(len(rows) for _, rows in self._writing)
        taken: list[Waiting] = []
        while self._texts and len(taken) < min(room, max(1, self.config.max_texts // 4)):
            waiting = self._texts.popleft()
            if waiting.future.done():
                self._counts["cancelled"] += 1
            else:
                taken.append(waiting)
        return taken

    def _begin(self, texts: list[Waiting]) -> None:
        """Read the prompts of texts; where that fails, those of each alone."""
        if not texts:
            return
        plans: list[Any] = [waiting.plan for waiting in texts]
        recommender = self.recommender
        try:
            batch = TextBatch(recommender.model, recommender.tokenizer, self._layout, plans)
        except Exception as error:
            if len(texts) == 1:
                texts[0].settle(error)
            else:
                for waiting in texts:
                    self._begin([waiting])
            return
        self._counts["prompt_tokens"] += sum(len(plan.request.prompt) for plan in plans)
        self._writing.append((batch, texts))

    def _write(self) -> None:
        """One token of every text."""
        for batch, rows in self._writing:
            for row, waiting in enumerate(rows):
                if waiting.future.done():
                    batch.drop(row)
            try:
                ended = batch.step() if not batch.is_over else []
                results: dict[int, Any] = {row: batch.result(row) for row in ended}
                self._counts["batches"] += 1
            except Exception as error:
                results = dict.fromkeys(range(len(rows)), error)
                for row in results:
                    batch.drop(row)
            for row, result in results.items():
                rows[row].settle(result)
        self._writing = [(batch, rows) for batch, rows in self._writing if not batch.is_over]

    def _next_batch(self) -> list[Waiting]:
        """Take a batch out of the queue, without those that nobody waits for; the lock is held."""
        kept = [waiting for waiting in self._beams if not waiting.future.done()]
        self._counts["cancelled"] += len(self._beams) - len(kept)
        self._beams.clear()
        if not kept:
            return []
        self._factor = 1.0 if self._load is None else self._load(len(kept) / self.config.max_waiting)
        budget = Budget(self.config.max_rows, self.config.max_tokens)
        plans: list[Any] = [waiting.plan for waiting in kept]
        lengths, widths = [len(plan.prompt) for plan in plans], [plan.width for plan in plans]
        chosen = choose(lengths, widths, self.limits.num_levels, budget)
        taken = set(chosen)
        self._beams.extend(waiting for place, waiting in enumerate(kept) if place not in taken)
        return [kept[place] for place in chosen]

    def _answer(self, batch: list[Waiting]) -> None:
        """Search, and tell everybody; where a batch fails, each of its requests is tried alone."""
        if not batch:
            return
        try:
            results: list[Any] = self._search([waiting.plan for waiting in batch])  # type: ignore[misc]
        except Exception as error:
            if len(batch) > 1:
                for waiting in batch:
                    self._answer([waiting])
                return
            results = [error]
        for waiting, result in zip(batch, results, strict=True):
            waiting.settle(result)

    def _search(self, plans: list[Plan]) -> list[BeamResult]:
        """One batch through the model."""
        n = max(plan.n for plan in plans)
        width = BeamPlan((plans[0].width,)).scaled(self._factor, least=n).widths[0]
        constraints = [plan.constraint for plan in plans]
        held: Any = constraints[0] if len(set(map(id, constraints))) == 1 else PerRow(constraints)  # type: ignore[arg-type]
        found = self.recommender.search([plan.prompt for plan in plans], n, width, struck_out(plans), held)
        beam_tokens = width * self.limits.num_levels
        self._counts["batches"] += 1
        self._counts["prompt_tokens"] += sum(len(plan.prompt) for plan in plans)
        self._counts["beam_tokens"] += beam_tokens * len(plans)
        results = []
        for plan, items, scores in zip(plans, found.items, found.scores, strict=True):
            alive = items[: plan.n] != PAD
            ranked = items[: plan.n][alive], scores[: plan.n][alive]
            results.append(BeamResult(*ranked, len(plan.prompt), beam_tokens))
        return results


def struck_out(plans: list[Plan]) -> IntArray | None:
    """The items to strike out as a table: (B, E) int64, padded with ``-1``; None where there are none."""
    most = max(len(plan.exclude) for plan in plans)
    if not most:
        return None
    table = np.full((len(plans), most), PAD, np.int64)
    for row, plan in enumerate(plans):
        table[row, : len(plan.exclude)] = plan.exclude
    return table


def sets_of(recommender: GenerativeRecommender) -> ConstraintSets:
    """No named sets yet, over the recommender's own index."""
    return ConstraintSets(recommender.index)


def limits_of(recommender: GenerativeRecommender, max_beams: int) -> Limits:
    """What the recommender's model can take."""
    config = recommender.model.config
    longest: Any = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", 1 << 20)
    return Limits(config.vocab_size, longest, recommender.vocabulary.num_levels, max_beams)


def layout_of(recommender: GenerativeRecommender) -> TokenLayout:
    """The recommender's items as its model writes them, on the host."""
    token_ids = tuple(recommender.vocabulary.token_ids(recommender.tokenizer))
    return TokenLayout(recommender.index.to("cpu"), token_ids, ends_of(recommender))


def ends_of(recommender: GenerativeRecommender) -> tuple[int, ...]:
    """The tokens that end an output: the tokenizer's, and those of the model's generation config."""
    given = getattr(recommender.model.generation_config, "eos_token_id", None)
    ends = [recommender.tokenizer.eos_token_id, *(given if isinstance(given, list) else [given])]
    return tuple(dict.fromkeys(end for end in ends if end is not None))
