"""Does a generator's prompt tell the answer? The real prompts of held-out users are rendered and searched.

A prompt may name the target as often as the part of the history that it shows does, and as often as its fixed words do;
each further occurrence is a leak. Semantic IDs are searched as runs of token ids, titles as whole words of the decoded
prompt: what the model reads, not what was meant to be written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

from agentrec.core.types import HeldOut, IntArray
from agentrec.data.dataset import Dataset
from agentrec.evaluation.leaks.finding import EXAMPLES, Finding

Kind = Literal["semantic ID", "title"]
MEANINGS = {
    "semantic ID": "the model may copy the answer from its question, so repair the form before any number is believed",
    "title": "the model may read the answer in its question, so repair the form before any number is believed",
}


class Prompts(Protocol):
    """What is asked of a form; `agentrec.prompts.forms.Form` has it."""

    def prompt(self, history: IntArray) -> list[int]:
        """Token ids that end where the next item's semantic ID begins."""


def targets_in_prompts(
    dataset: Dataset, held: HeldOut, form: Prompts, item_tokens: IntArray, tokenizer: Any
) -> tuple[Finding, Finding]:
    """Leak: prompts that name the target by its semantic ID or its title more often than the history does.

    Args:
        dataset: for titles and user ids.
        held: histories, of which prompts are made, and targets.
        form: makes the prompts; if it has ``max_items``, it shows the latest so many.
        item_tokens: (N, L) int64 token ids of every item.
        tokenizer: that of the prompts.

    Returns:
        One finding for semantic IDs, one for titles. Titles that the tokenizer cannot write (unknown tokens) are not
        searched, since a model cannot read them either; ``facts["unreadable_titles"]`` counts them.
    """
    search = _Search(dataset, form, item_tokens, tokenizer)
    by_sid, by_title, unreadable = [], [], 0
    for row, (history, target) in enumerate(zip(held.histories, held.targets.tolist(), strict=True)):
        prompt = form.prompt(history)
        if search.by_sid(prompt, history, target):
            by_sid.append(row)
        readable = search.by_title(prompt, history, target)
        unreadable += readable is None
        by_title += [row] if readable else []
    return (
        _finding(dataset, held, by_sid, "semantic ID", len(held)),
        _finding(dataset, held, by_title, "title", len(held) - unreadable, unreadable_titles=unreadable),
    )


class _Search:
    """Counts occurrences of an item in prompts, against those that are allowed."""

    def __init__(self, dataset: Dataset, form: Prompts, item_tokens: IntArray, tokenizer: Any) -> None:
        self.tokens = item_tokens
        self.tokenizer = tokenizer
        self.shown = getattr(form, "max_items", None)
        self.titles = dataset.catalogue.columns.get("title", ("",) * dataset.num_items)
        self._written: dict[int, str | None] = {}
        self._frame = [(item, form.prompt(np.array([item], np.int64))) for item in range(min(2, dataset.num_items))]
        self._frame_texts = [self._read(prompt) for _, prompt in self._frame]

    def by_sid(self, prompt: Sequence[int], history: IntArray, target: int) -> bool:
        """Whether the target's tokens occur more often than its place in the shown history explains."""
        run = self.tokens[target].tolist()
        allowed = int((self._latest(history) == target).sum())
        frame = min(count_runs(ids, run) - (item == target) for item, ids in self._frame)
        return count_runs(prompt, run) > allowed + max(0, frame)

    def by_title(self, prompt: Sequence[int], history: IntArray, target: int) -> bool | None:
        """The same for the title; None where it cannot be written with this tokenizer."""
        title = self._title(target)
        if not title:
            return None
        allowed = sum(count_words(self._title(item) or "", title) for item in self._latest(history).tolist())
        frame = min(
            count_words(text, title) - count_words(self._title(item) or "", title)
            for (item, _), text in zip(self._frame, self._frame_texts, strict=True)
        )
        return count_words(self._read(prompt), title) > allowed + max(0, frame)

    def _latest(self, history: IntArray) -> IntArray:
        return history if self.shown is None else history[-self.shown :]

    def _read(self, ids: Sequence[int]) -> str:
        return normal(self.tokenizer.decode(ids, skip_special_tokens=False))

    def _title(self, item: int) -> str | None:
        if item not in self._written:
            ids = self.tokenizer.encode(self.titles[item], add_special_tokens=False) if self.titles[item] else []
            known = bool(ids) and self.tokenizer.unk_token_id not in ids
            self._written[item] = self._read(ids) if known else None
        return self._written[item]


def count_runs(ids: Sequence[int], run: Sequence[int]) -> int:
    """How often a run of token ids occurs.

    Example:
        >>> count_runs([1, 2, 3, 1, 2], [1, 2])
        2
    """
    if len(ids) < len(run) or not run:
        return 0
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(ids), len(run))
    return int((windows == np.asarray(run)).all(axis=1).sum())


def count_words(text: str, words: str) -> int:
    """How often words stand in a text, not inside longer words.

    Example:
        >>> count_words("it fits: an item, it", "it")
        2
    """
    return len(re.findall(rf"(?<!\w){re.escape(words)}(?!\w)", text)) if words else 0


def normal(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.casefold().split())


def _finding(dataset: Dataset, held: HeldOut, rows: Sequence[int], kind: Kind, checked: int, **facts: int) -> Finding:
    titles = dataset.catalogue.titles
    return Finding(
        f"target_{kind.replace(' ', '_').lower()}_in_prompt",
        f"{held.part} prompts name the target by its {kind} beyond what the history shows",
        checked=checked,
        violations=len(rows),
        severity="leak",
        meaning=MEANINGS[kind],
        examples=tuple(
            f"the prompt of user {dataset.user_ids[held.histories.users[row]]!r} tells {titles[held.targets[row]]!r}"
            for row in rows[:EXAMPLES]
        ),
        facts=dict(facts),
    )
