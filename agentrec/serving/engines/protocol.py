"""What a service may ask of an engine: items by beam search, or text that ends in items.

An engine takes requests from one event loop, many at a time, and puts them into batches as it sees fit. Token ids come
in, item indexes go out; users, titles and HTTP are the service's concern.

Which set of items a request is held to is fixed when the request arrives: who replaces a set swaps it for the requests
that come later, and nobody waits. Whoever stops waiting for an answer (``task.cancel()``) takes the request back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.core.types import FloatArray, IntArray
from agentrec.decoding.sets.named import ConstraintSets


class EngineDeadError(AgentrecError):
    """The engine has stopped, or cannot be reached; no request can be answered until it is started again."""


class EngineBusyError(AgentrecError):
    """The engine's queue is full; the same request may be answered a little later."""


@dataclass(frozen=True)
class BeamRequest:
    """The best items behind one prompt.

    Attributes:
        prompt: token ids, as `agentrec.prompts.forms.Form.prompt` writes them.
        n: items wanted.
        num_beams: beam width M, at least ``n``.
        constraint: name or expression over the engine's `ConstraintSets`; empty for the whole catalogue.
        exclude: item indexes that must not come back.
    """

    prompt: tuple[int, ...]
    n: int
    num_beams: int
    constraint: str = ""
    exclude: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ConfigError("a request has an empty prompt; expected at least one token")
        if not 1 <= self.n <= self.num_beams:
            raise ConfigError(
                f"a request has n {self.n} and num_beams {self.num_beams}; expected n of at least 1 and a beam at "
                "least as wide"
            )


@dataclass(frozen=True)
class BeamResult:
    """Ranked items.

    Attributes:
        items: (k,) int64 item indexes, best first; k is ``n``, or less where the set ran out of items.
        scores: (k,) float32 sums of log-probabilities over the whole vocabulary.
        prompt_tokens: tokens of the prompt.
        beam_tokens: tokens of all beams, an item's last one included.
    """

    items: IntArray
    scores: FloatArray
    prompt_tokens: int
    beam_tokens: int


@dataclass(frozen=True)
class TextRequest:
    """Free text, and items behind a marker.

    Without marker and constraint the whole output is free text. Without a marker but with a constraint (``"all"`` for
    the whole catalogue) the items begin at once. With a marker, such as ``</think>``, the items follow its first
    occurrence.

    Attributes:
        prompt: token ids.
        max_tokens: tokens of free text at most; behind these the marker is written, and then the items.
        temperature: 0 takes the likeliest token every time.
        constraint: name or expression over the engine's `ConstraintSets`; empty for the whole catalogue.
        marker: text of one token.
        num_items: items behind the marker, no item twice.
        seed: of sampling.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float = 0.0
    constraint: str = ""
    marker: str = ""
    num_items: int = 1
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ConfigError("a request has an empty prompt; expected at least one token")
        if self.max_tokens < 1 or self.num_items < 1:
            raise ConfigError(
                f"a request has max_tokens {self.max_tokens} and num_items {self.num_items}; expected at least 1 each"
            )
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigError(f"a request has temperature {self.temperature}; expected 0 or a positive number")

    @property
    def wants_items(self) -> bool:
        """Whether items are part of the output."""
        return bool(self.marker or self.constraint)


@dataclass(frozen=True)
class TextResult:
    """What was written.

    Attributes:
        text: the free text in front of the marker.
        items: item indexes in the order in which they were written.
        prompt_tokens: tokens of the prompt.
        generated_tokens: tokens of text, marker and items.
    """

    text: str
    items: tuple[int, ...]
    prompt_tokens: int
    generated_tokens: int


class Engine(Protocol):
    """A generator that answers many requests at a time.

    Attributes:
        name: which engine, for messages and metrics.
        sets: named sets, replaced atomically while requests run; a request keeps the set it began with.
    """

    name: str
    sets: ConstraintSets

    async def start(self) -> None:
        """Make ready; returns when requests can be answered.

        Raises:
            EngineDeadError: it could not be started.
        """

    async def beam(self, request: BeamRequest) -> BeamResult:
        """The best items of one request.

        Raises:
            EmptySetError: the constraint holds no item.
            UnknownNameError: it names a set that does not exist.
            ConfigError: it is malformed, or the prompt is longer than the model reads.
            EngineBusyError: too many requests wait.
            EngineDeadError: the engine stopped before the answer came.
        """

    async def generate(self, request: TextRequest) -> TextResult:
        """Text, and items behind it; raises as `beam`."""

    def stats(self) -> dict[str, float]:
        """Numbers for monitoring.

        ``waiting``, ``running`` and ``beam_rows`` are those of now; ``requests``, ``batches``, ``prompt_tokens`` and
        ``beam_tokens`` are counted from the start; ``alive`` is 1 or 0.
        """

    async def close(self) -> None:
        """Answer what was accepted, then stop; may be called twice."""
