"""The answer to one request, without HTTP: names become indexes, the engine is asked, and its items are held against
the sets of now.

A request keeps the set it began with while it runs. When it is answered its items are looked up in the set as it is by
then; if one has left it, the engine is asked again, and what is outside after a few times is left out.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError
from agentrec.core.types import FloatArray, IntArray
from agentrec.decoding.sets import bits
from agentrec.decoding.sets.named import ALL, ConstraintSets
from agentrec.serving.engines.protocol import BeamRequest, TextRequest
from agentrec.serving.service.failures import ConflictError
from agentrec.serving.service.schemas import (
    NOT_GIVEN,
    DirectRequest,
    Explanation,
    Item,
    RecommendationResponse,
    Shared,
    Step,
    ThinkRequest,
    Timings,
    Usage,
)
from agentrec.serving.service.settings import ServiceConfig
from agentrec.serving.service.shelf import Shelf
from agentrec.serving.service.supervisor import Supervisor
from agentrec.serving.service.thinking import thinking_prompt

TRIES = 5  # searches of a request whose set is swapped again and again meanwhile

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """What an engine answered.

    Attributes:
        items: (k,) int64.
        scores: (k,) float32, or None where items are written one behind the other.
        text: what the model thought.
        prompt_tokens: tokens of the prompt.
        generated_tokens: tokens of beams, or of text and items.
    """

    items: IntArray
    scores: FloatArray | None
    text: str | None
    prompt_tokens: int
    generated_tokens: int


class Sending(Protocol):
    """An answer on its way; see `agentrec.serving.service.swaps`."""

    def claim(self) -> None:
        """It is held against the sets now, and sent if it passes."""

    def release(self) -> None:
        """It did not pass."""


class Recommending:
    """Answers requests.

    Args:
        shelf: items and users.
        supervisor: of the engine.
        config: limits.
    """

    def __init__(self, shelf: Shelf, supervisor: Supervisor, config: ServiceConfig) -> None:
        self.shelf = shelf
        self.supervisor = supervisor
        self.config = config

    @property
    def sets(self) -> ConstraintSets:
        """The engine's named sets."""
        return self.supervisor.engine.sets

    async def answer(
        self, request: DirectRequest | ThinkRequest, sending: Sending
    ) -> tuple[RecommendationResponse, int]:
        """Answer one request.

        Args:
            request: checked for its form.
            sending: is told that an answer is held against the sets and sent if it passes.

        Returns:
            The answer, and how many items were left out because a set was swapped.

        Raises:
            MissingError: an item or the user does not exist.
            AgentrecError: as `agentrec.serving.engines.protocol.Engine.beam`.
        """
        began = time.perf_counter()
        request = self._fitted(request)
        self._check(request)
        shelf = self.shelf
        history = shelf.history(request.user_id) if request.user_id else shelf.items(request.history)
        excluded = shelf.items(request.exclude)
        if request.exclude_seen:
            excluded = np.concatenate([excluded, history])
        ask = self._asking(request, history, np.unique(excluded))
        asked = time.perf_counter()
        found, keep = await self._held(ask, request.constraint, sending)
        engine_ms = 1000 * (time.perf_counter() - asked)
        return RecommendationResponse(
            items=self._items(found, keep, history, request),
            constraint=request.constraint or ALL,
            mode=request.mode,
            text=found.text,
            timings=Timings(engine_ms=engine_ms, total_ms=1000 * (time.perf_counter() - began)),
            usage=Usage(prompt_tokens=found.prompt_tokens, generated_tokens=found.generated_tokens),
        ), int((~keep).sum())

    async def _held(self, ask: Callable[[], Awaitable[Found]], constraint: str, sending: Sending) -> tuple[Found, Mask]:
        """What the engine finds, and which of its items are in the set now, from the claim on."""
        for left in reversed(range(TRIES)):
            found = await self.supervisor.ask(ask)
            sending.claim()
            keep = inside(self.sets, constraint, found.items)
            if keep.all() or not left:
                break
            sending.release()
        return found, keep

    @property
    def _most(self) -> int:
        """Items of a list at most."""
        return min(self.config.max_n, len(self.shelf.catalogue))

    def _fitted(self, request: DirectRequest | ThinkRequest) -> DirectRequest | ThinkRequest:
        """The request with what it leaves open cut to what is allowed here."""
        limits = {"n": self._most, "max_tokens": self.config.max_text}
        open_ones = limits.keys() & (type(request).model_fields.keys() - request.model_fields_set)
        return request.model_copy(update={name: min(getattr(request, name), limits[name]) for name in open_ones})

    def _check(self, request: DirectRequest | ThinkRequest) -> None:
        config = self.config
        if request.n > self._most:
            raise ConfigError(f"n is {request.n}; expected 1 to {self._most} here, so ask for fewer items")
        if len(request.history) > config.max_history:
            raise ConfigError(
                f"the history has {len(request.history)} items; expected at most {config.max_history}, so give the "
                "latest ones"
            )
        if isinstance(request, ThinkRequest):
            if request.max_tokens > config.max_text:
                raise ConfigError(f"max_tokens is {request.max_tokens}; expected at most {config.max_text}")
        elif request.num_beams != NOT_GIVEN and not request.n <= request.num_beams <= config.max_beams:
            raise ConflictError(
                f"num_beams is {request.num_beams}; expected n, which is {request.n}, to {config.max_beams}"
            )

    def _asking(
        self, request: DirectRequest | ThinkRequest, history: IntArray, excluded: IntArray
    ) -> Callable[[], Awaitable[Found]]:
        """What to ask the engine, as often as needed."""
        if isinstance(request, ThinkRequest):
            prompt = tuple(thinking_prompt(self.shelf.form, history, self.config.marker))
            return partial(self._think, request, prompt, excluded)
        given = request.num_beams != NOT_GIVEN
        beams = request.num_beams if given else max(self.config.num_beams, request.n)
        asked = BeamRequest(
            prompt=tuple(self.shelf.form.prompt(history)),
            n=request.n,
            num_beams=beams,
            constraint=request.constraint,
            exclude=tuple(excluded.tolist()),
        )
        return partial(self._beam, asked)

    async def _beam(self, asked: BeamRequest) -> Found:
        found = await self.supervisor.engine.beam(asked)
        return Found(found.items, found.scores, None, found.prompt_tokens, found.beam_tokens)

    async def _think(self, request: ThinkRequest, prompt: tuple[int, ...], excluded: IntArray) -> Found:
        reachable = self.sets.get(request.constraint or ALL).num_items
        asked = TextRequest(
            prompt=prompt,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            constraint=request.constraint,
            marker=self.config.marker,
            num_items=min(request.n + len(excluded), reachable),
            seed=None if request.seed == NOT_GIVEN else request.seed,
        )
        found = await self.supervisor.engine.generate(asked)
        barred = set(excluded.tolist())
        left = [item for item in found.items if item not in barred][: request.n]
        return Found(np.array(left, np.int64), None, found.text, found.prompt_tokens, found.generated_tokens)

    def _items(self, found: Found, keep: Mask, history: IntArray, request: DirectRequest | ThinkRequest) -> list[Item]:
        shelf = self.shelf
        scores = [None] * len(found.items) if found.scores is None else found.scores.tolist()
        return [
            Item(
                id=shelf.catalogue.ids[item],
                title=shelf.titles[item],
                score=score,
                sid=shelf.sid(item),
                explanation=self._explain(item, history) if request.explain else None,
            )
            for item, score, kept in zip(found.items.tolist(), scores, keep.tolist(), strict=True)
            if kept
        ]

    def _explain(self, item: int, history: IntArray) -> Explanation:
        shelf = self.shelf
        steps = zip(shelf.sid(item), shelf.narrowing(item), strict=True)
        near = shelf.nearest(item, history)
        return Explanation(
            path=[Step(token=token, items=items) for token, items in steps],
            nearest=None
            if near is None
            else Shared(id=shelf.catalogue.ids[near[0]], title=shelf.titles[near[0]], levels=near[1]),
        )


def inside(sets: ConstraintSets, constraint: str, items: IntArray) -> Mask:
    """Which items are in a set now: (k,) int64 -> (k,) bool.

    Raises:
        UnknownNameError: the set does not exist any more.
        EmptySetError: it holds nothing.
    """
    import torch

    if not constraint:
        return np.ones(len(items), np.bool_)
    members = sets.get(constraint).members
    return bits.at(members, torch.from_numpy(items).to(members.device)).bool().cpu().numpy()
