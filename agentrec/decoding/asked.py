"""What a server's request asks of constrained decoding, and what it comes down to: the words of ``extra_args``.

A request that names no ``constraint`` is nobody's business here. One that does is held to the set, from its first token
on or behind a ``marker``; what it says is checked when it arrives, so that a misspelt set is answered by one sentence
and never by items outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentrec.core.errors import ConfigError
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.stepping import UNLIMITED, Job, TokenLayout

OWN = ("constraint", "marker", "num_items", "max_text")


@dataclass(frozen=True)
class PromptForm:
    """Items that are asked for by the prompt alone, for callers that drop ``extra_args`` such as vLLM's beam search.

    Everything behind the last marker of a prompt is items; the next token goes on with them.

    Attributes:
        marker: token ids.
        constraint: of all such requests.
    """

    marker: tuple[int, ...]
    constraint: str

    def unfinished(self, prompt: Sequence[int], num_levels: int) -> list[int] | None:
        """The tokens of the item that a prompt breaks off in, perhaps none; None where there is no marker."""
        length = len(self.marker)
        for end in range(len(prompt), length - 1, -1):
            if tuple(prompt[end - length : end]) == self.marker:
                behind = len(prompt) - end
                return list(prompt[len(prompt) - behind % num_levels :])
        return None


@dataclass(frozen=True)
class Served:
    """The items and sets of one engine.

    Attributes:
        layout: the items as the model writes them.
        sets: the named sets of now.
        token_of: id of a token by its text, None where there is none.
        prompt_form: see there; off by default.
    """

    layout: TokenLayout
    sets: Callable[[], ConstraintSets]
    token_of: Callable[[str], int | None]
    prompt_form: PromptForm | None = None

    def job(self, extra_args: Mapping[str, Any] | None) -> Job | None:
        """What a request is held to; None where it asks for nothing.

        Raises:
            ConfigError: a value is of the wrong type or out of range, or the marker is no token.
            UnknownNameError: there is no such set; the message names those that exist.
            EmptySetError: it holds no item.
        """
        given = {name: value for name, value in (extra_args or {}).items() if name in OWN and value is not None}
        if not given:
            return None
        expression = given.get("constraint")
        if not isinstance(expression, str) or not expression.strip():
            raise ConfigError(
                f"extra_args has constraint {expression!r}; expected the name of a set or an expression such as 'all'"
            )
        marker = -1 if "marker" not in given else self._marker(given["marker"])
        if "max_text" in given and marker < 0:
            raise ConfigError("extra_args has max_text but no marker; expected both, or neither")
        num_items, most = (_whole(given, name, low) for name, low in (("num_items", 1), ("max_text", 0)))
        wanted = 1 if num_items is None else num_items
        return Job(self.sets().get(expression), wanted, marker, UNLIMITED if most is None else most)

    def _marker(self, given: Any) -> int:
        if isinstance(given, str):
            token = self.token_of(given)
            if token is not None:
                return token
        elif isinstance(given, int) and not isinstance(given, bool) and given >= 0:
            return given
        raise ConfigError(f"extra_args has marker {given!r}; expected the text of one token of the model, or its id")


def _whole(given: Mapping[str, Any], name: str, low: int) -> int | None:
    value = given.get(name)
    if value is None or (type(value) is int and value >= low):
        return value
    raise ConfigError(f"extra_args has {name} {value!r}; expected a whole number of at least {low}")
