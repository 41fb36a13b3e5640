"""A mixture of tasks as training rows: which rows, in which shares, cut to the context.

Weights are numbers of rows *relative to the first task*, of which every row is used once: ``next_item=1,
title_to_sid=0.3`` gives 0.3 rows of the second for each row of the first. A task with fewer rows than its share repeats
them, each about as often; one with more is sampled without repetition. The choice depends on the seed alone and is
**fixed for the whole run**: an epoch is one pass over the same rows in another order.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agentrec.core.errors import ConfigError, DataError, TrainingWarning
from agentrec.core.registry import Registry
from agentrec.core.rng import generator
from agentrec.core.types import IntArray
from agentrec.prompts.chat import check_chat_template
from agentrec.prompts.compose import Composer, Pieces, Ragged, concatenated
from agentrec.prompts.files import Prompt
from agentrec.prompts.questions import Material, Questions

TASKS = Registry("agentrec.prompts.tasks")
IGNORE = -100
VARIABLES = re.compile(r"\{[{%].*?[%}]\}")
SHOWN = 3  # rows named in a message

TooLong = Literal["refuse", "drop"]


@dataclass(frozen=True)
class Rows:
    """R training rows.

    Attributes:
        tokens: prompt, answer and the end-of-sequence token of every row.
        prompts: (R,) int64 tokens of the prompt, which no loss is taken on.
        users: (R,) int64, ``-1`` for rows that belong to nobody.
        targets: (R,) int64 item, ``-1`` for none.
        tasks: (R,) int64 index into ``names``.
        names: of the tasks.
    """

    tokens: Ragged
    prompts: IntArray
    users: IntArray
    targets: IntArray
    tasks: IntArray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def labels(self) -> Ragged:
        """The tokens, ``-100`` on prompts."""
        parts = np.stack([self.prompts, self.tokens.lengths - self.prompts], axis=1)
        masked = np.repeat(np.tile([True, False], len(self)), parts.ravel())
        return Ragged(np.where(masked, np.int32(IGNORE), self.tokens.values), self.tokens.offsets)


@dataclass(frozen=True)
class Context:
    """What to do with rows that are too long.

    Attributes:
        size: tokens that the model reads at most.
        too_long: ``"refuse"``, or ``"drop"`` with a warning.
    """

    size: int
    too_long: TooLong = "refuse"


def parse_tasks(text: str) -> dict[str, float]:
    """Read ``name=weight,name=weight``; a name alone has weight 1.

    Raises:
        ConfigError: a weight is no number above 0, a name comes twice, or there is none.
        UnknownNameError: no task has that name.
    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, weight = (piece.strip() for piece in part.partition("="))
        try:
            value = float(weight) if equals else 1.0
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise ConfigError(f"task {name!r} has the weight {weight!r}; expected a number above 0, as in {name}=0.5")
        if name in found:
            raise ConfigError(f"task {name!r} is given twice; expected each once, so add up the weights")
        TASKS.load(name)
        found[name] = value
    if not found:
        raise ConfigError(f"tasks is {text!r}; expected name=weight pairs such as next_item=1,title_to_sid=0.3")
    return found


def task_prompts(name: str) -> tuple[Prompt, Prompt]:
    """The system and user prompt of a task.

    Raises:
        UnknownNameError: there is no such task, or no such prompt.
    """
    folder = TASKS.load(name).folder
    system, user = (Prompt.load(f"sft/{name}_{role}", folder) for role in ("system", "user"))
    return system, user


def prompt_words(tasks: Iterable[str], *, weight: int = 50) -> list[str]:
    """What the prompts of tasks say, without their variables, for a tokenizer that is trained on it.

    Args:
        tasks: names.
        weight: how often each text comes, so that its words count beside those of a catalogue.
    """
    bodies = [prompt.body for name in tasks for prompt in task_prompts(name)]
    return [VARIABLES.sub(" ", body) for body in bodies] * weight


def build_rows(
    material: Material, tokenizer: Any, tasks: Mapping[str, float], *, context: Context, seed: int = 0
) -> Rows:
    """Training rows of a mixture, task after task.

    Args:
        material: training histories, items and semantic IDs.
        tokenizer: with a chat template and the tokens of the semantic IDs.
        tasks: name -> weight, the first the one that the others' weights refer to.
        context: how long a row may be.
        seed: of the choice of rows.

    Raises:
        ConfigError: the chat template does not fit.
        DataError: a task has no rows, or rows do not fit into the context.
    """
    check_chat_template(tokenizer, material.sids[:1])
    pieces, parts, unit = Pieces(tokenizer), [], 0.0
    for place, (name, weight) in enumerate(tasks.items()):
        questions = task_questions(name, material)
        unit = unit or len(questions) / weight
        drawn = questions.take(draw(len(questions), round(unit * weight), seed, name))
        parts.append(_encoded(drawn, Composer(*task_prompts(name), pieces), (name, place), context))
    return _merged(parts, tuple(tasks))


def task_questions(name: str, material: Material) -> Questions:
    """Every row of a task.

    Raises:
        DataError: there is none.
    """
    questions: Questions = TASKS.load(name)().questions(material)
    if not len(questions):
        raise DataError(
            f"the task {name!r} finds no row in {len(material.histories)} training histories and "
            f"{len(material.catalogue)} items; expected at least one, so leave it out or load other data"
        )
    return questions


def draw(population: int, size: int, seed: int, name: str) -> IntArray:
    """Which rows of a task are used: (size,) int64, each as often as any other, give or take one."""
    rng = generator(seed, "tasks", name)
    rounds = [rng.permutation(population) for _ in range(-(-size // population))]
    return np.sort(np.concatenate(rounds)[:size]) if rounds else np.zeros(0, np.int64)


def _encoded(questions: Questions, composer: Composer, task: tuple[str, int], context: Context) -> Rows:
    """One task's rows as tokens."""
    name, place = task
    pieces = composer.pieces
    answers = pieces.gather(pieces.of_rows(questions.answers)[:, None])
    room = context.size - answers.lengths - 1  # tokens left for the prompt; the last one ends the row
    prompts = _shortened(questions, composer, name, room)
    kept = _fitting(questions, prompts, (name, room), context)
    if len(kept) < len(questions):
        questions, prompts, answers = questions.take(kept), prompts.take(kept), answers.take(kept)
    tokens = _joined(prompts, answers, int(pieces.tokenizer.eos_token_id))
    which = np.full(len(kept), place, np.int64)
    return Rows(tokens, prompts.lengths, questions.users, questions.targets, which, (name,))


def _shortened(questions: Questions, composer: Composer, name: str, room: IntArray) -> Ragged:
    """Prompts with as many of the oldest entries left out as each needs to fit, one entry left at least."""
    prompts = composer.encode(questions)
    dropped, spare = np.zeros(len(questions), np.int64), questions.spare
    over = np.flatnonzero(prompts.lengths > room)
    while len(over := over[dropped[over] < spare[over]]):
        dropped[over] += 1
        shorter = composer.encode(questions.take(over).shortened(dropped[over]))
        over = over[shorter.lengths > room[over]]
    if not dropped.any():
        return prompts
    warnings.warn(
        f"{int((dropped > 0).sum())} of {len(questions)} rows of the task {name!r} were longer than the context; up to "
        f"{int(dropped.max())} of their oldest history items are left out",
        TrainingWarning,
        stacklevel=2,
    )
    return composer.encode(questions.shortened(dropped))


def _fitting(questions: Questions, prompts: Ragged, task: tuple[str, IntArray], context: Context) -> IntArray:
    """The rows that fit.

    Raises:
        DataError: some do not and may not be dropped, or none does.
    """
    name, room = task
    fits = prompts.lengths <= room
    kept, lost = np.flatnonzero(fits), np.flatnonzero(~fits)
    if not len(lost):
        return kept
    needed = prompts.lengths + context.size - room
    first = ", ".join(
        f"row {row} (user {questions.users[row]}, item {questions.targets[row]}, {needed[row]} tokens)"
        for row in lost[:SHOWN].tolist()
    )
    found = (
        f"{len(lost)} of {len(questions)} rows of the task {name!r} need up to {int(needed.max())} tokens with the "
        f"shortest history, among them {first}; expected at most {context.size}"
    )
    if context.too_long == "refuse" or not len(kept):
        remedy = "" if not len(kept) else ", or drop them with too_long=drop"
        raise DataError(f"{found}, so use a model with a longer context or shorter texts{remedy}")
    warnings.warn(f"{found}; these rows are dropped", TrainingWarning, stacklevel=2)
    return kept


def _joined(prompts: Ragged, answers: Ragged, end: int) -> Ragged:
    """Prompt, answer and one closing token, row by row."""
    lengths = np.stack([prompts.lengths, answers.lengths, np.ones_like(answers.lengths)], axis=1)
    offsets = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))]).astype(np.int64)
    values = np.full(int(offsets[-1]), end, np.int32)
    parts = np.repeat(np.tile(np.arange(3, dtype=np.int8), len(lengths)), lengths.ravel())
    values[parts == 0], values[parts == 1] = prompts.values, answers.values
    return Ragged(values, offsets)


def _merged(parts: Sequence[Rows], names: tuple[str, ...]) -> Rows:
    """The rows of all tasks."""
    prompts, users, targets, tasks = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("prompts", "users", "targets", "tasks")
    )
    return Rows(concatenated([part.tokens for part in parts]), prompts, users, targets, tasks, names)
