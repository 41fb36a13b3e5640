"""How a history becomes the token ids a generator reads: the sequence form and the instruction form.

The **sequence form** is ``<bos>`` and the semantic-ID tokens of the items, nothing else: one pass over a history trains
every next item in it. The **instruction form** is a chat: a system prompt, the history as titles with semantic IDs, and
the answer, one semantic ID. Training and serving build prompts by the same code, so they cannot drift apart. The answer
is tokenised on its own and never merged with the prompt.

Forms know arrays and a tokenizer; where semantic IDs come from is not their concern.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from agentrec.core.errors import ConfigError
from agentrec.core.types import Histories, IntArray
from agentrec.prompts.files import Prompt

IGNORE = -100
PROMPTS = ("sft/next_item_system", "sft/next_item_user")


class Example(NamedTuple):
    """One training row.

    Attributes:
        input_ids: token ids.
        labels: the same, ``-100`` where no loss is taken.
        owner: which history it was made from.
        targets: places in that history whose items carry loss, in the order of their tokens.
    """

    input_ids: list[int]
    labels: list[int]
    owner: int = -1
    targets: tuple[int, ...] = ()


class Form(Protocol):
    """Turns histories into prompts and training rows."""

    name: ClassVar[str]

    def prompt(self, history: IntArray) -> list[int]:
        """Token ids that end where the next item's semantic ID begins."""

    def examples(self, histories: Histories) -> list[Example]:
        """Training rows of histories; users with fewer than two items give none."""

    def settings(self) -> dict[str, Any]:
        """What rebuilds the form, JSON-able."""


@dataclass(frozen=True)
class SequenceForm:
    """``<bos> item item item``, with loss on every item token.

    Attributes:
        item_tokens: (N, L) int64 token ids of every item.
        bos: token id put first.
        max_items: latest items kept.
    """

    item_tokens: IntArray
    bos: int
    max_items: int = 50
    name: ClassVar[str] = "sequence"

    def prompt(self, history: IntArray) -> list[int]:
        """See `Form`."""
        return [self.bos, *self.item_tokens[history[-self.max_items :]].ravel().tolist()]

    def examples(self, histories: Histories) -> list[Example]:
        """One row per user; a longer history gives one row per window of ``max_items`` items."""
        rows = []
        for owner, history in enumerate(histories):
            if len(history) < 2:
                continue
            for end in range(len(history), 0, -self.max_items):
                begin = max(0, end - self.max_items)
                ids = [self.bos, *self.item_tokens[history[begin:end]].ravel().tolist()]
                rows.append(Example(ids, [IGNORE, *ids[1:]], owner, tuple(range(begin, end))))
        return rows

    def settings(self) -> dict[str, Any]:
        """See `Form`."""
        return {"form": self.name, "max_items": self.max_items}


@dataclass(frozen=True)
class InstructionForm:
    """A chat that shows titles with semantic IDs and asks for the next one, with loss on the answer only.

    Attributes:
        tokenizer: with a chat template.
        item_tokens: (N, L) int64 token ids of every item.
        sids: the semantic ID of every item as text.
        titles: of every item.
        max_items: latest items shown.
        targets_per_user: training rows per user: the latest positions of the history become targets.
    """

    tokenizer: Any
    item_tokens: IntArray
    sids: Sequence[str]
    titles: Sequence[str]
    max_items: int = 10
    targets_per_user: int = 5
    name: ClassVar[str] = "instruction"

    def __post_init__(self) -> None:
        if self.tokenizer.chat_template is None:
            raise ConfigError(
                "the tokenizer has no chat template, which the instruction form needs; use the sequence form or an "
                "instruction-tuned model"
            )

    @cached_property
    def _texts(self) -> list[Prompt]:
        return [Prompt.load(name) for name in PROMPTS]

    def messages(self, history: IntArray) -> list[dict[str, str]]:
        """The chat up to the user's turn."""
        system, user = self._texts
        shown = [{"title": self.titles[item], "sid": self.sids[item]} for item in history[-self.max_items :]]
        return [
            {"role": "system", "content": system.render()},
            {"role": "user", "content": user.render(history=shown)},
        ]

    def prompt(self, history: IntArray) -> list[int]:
        """See `Form`; a template that can think is told not to."""
        encoded = self.tokenizer.apply_chat_template(
            self.messages(history), add_generation_prompt=True, enable_thinking=False, tokenize=True, return_dict=True
        )
        return list(encoded["input_ids"])

    def examples(self, histories: Histories) -> list[Example]:
        """One row per user and target position, the answer closed by the end-of-sequence token."""
        rows = []
        for owner, history in enumerate(histories):
            for target in range(max(1, len(history) - self.targets_per_user), len(history)):
                question = self.prompt(history[:target])
                answer = [*self.item_tokens[history[target]].tolist(), self.tokenizer.eos_token_id]
                rows.append(Example(question + answer, [IGNORE] * len(question) + answer, owner, (target,)))
        return rows

    def settings(self) -> dict[str, Any]:
        """See `Form`."""
        read = {"max_items": self.max_items, "targets_per_user": self.targets_per_user}
        return {"form": self.name, **read, "prompts": prompt_hashes()}


def prompt_hashes() -> list[str]:
    """Content hashes of the prompt files of the instruction form: a model belongs to the words it was trained on."""
    return [Prompt.load(name).hash for name in PROMPTS]


def build_form(
    settings: Mapping[str, Any], tokenizer: Any, item_tokens: IntArray, sids: Sequence[str], titles: Sequence[str]
) -> Form:
    """The form that `Form.settings` described.

    Raises:
        ConfigError: no form has that name.
    """
    known = {name: value for name, value in settings.items() if name not in ("form", "prompts")}
    if settings.get("prompts") not in (None, prompt_hashes()):
        raise ConfigError(
            f"the model was trained on other prompts than {' and '.join(PROMPTS)} hold now; put the old texts back or "
            "train it again"
        )
    if settings["form"] == SequenceForm.name:
        bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        return SequenceForm(item_tokens, bos, **known)
    if settings["form"] == InstructionForm.name:
        return InstructionForm(tokenizer, item_tokens, sids, titles, **known)
    raise ConfigError(f"the form is {settings['form']!r}; expected sequence or instruction")


def pad_left(prompts: Sequence[Sequence[int]], pad: int) -> tuple[IntArray, IntArray]:
    """Token ids and mask, both (B, T) int64, padded on the left."""
    width = max(map(len, prompts))
    ids = np.full((len(prompts), width), pad, np.int64)
    mask = np.zeros((len(prompts), width), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return ids, mask
