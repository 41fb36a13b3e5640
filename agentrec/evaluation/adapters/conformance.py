"""What is wrong with somebody's predictions or recommender, all of it, before anything is scored.

`agentrec.evaluation.contract` stops at the first broken promise, in the middle of a run; here every kind of problem is
looked for and reported once, with how often it occurs, up to three examples and what to do about it. An error would
make results wrong; a warning may be meant.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agentrec.core.errors import AgentrecError, RecommenderError
from agentrec.core.protocols import Recommender
from agentrec.core.types import PAD, Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.evaluation.adapters.answers import Unknown
from agentrec.evaluation.adapters.prediction_checks import Missing, examine
from agentrec.evaluation.adapters.problems import Problem, Report, many
from agentrec.evaluation.contract import check_size, checked_recommend

PROBES = 8


def check_predictions(
    path: str | Path,
    dataset: Dataset,
    users: IntArray | Histories | None = None,
    n: int | None = None,
    *,
    missing: Missing = "error",
    unknown_items: Unknown = "error",
) -> Report:
    """Look for everything that is wrong with a predictions file.

    Args:
        path: ``*.csv`` or ``*.parquet``, as `agentrec.evaluation.adapters.prediction_rows.read_rows` reads it.
        dataset: whose ids it uses.
        users: who is evaluated: (U,) int64 user indexes, or their histories, by which a file that only repeats
            histories is recognised.
        n: the list length that is evaluated.
        missing: evaluated users that the file lacks are an ``"error"``, or a warning under ``"miss"``.
        unknown_items: items that the data set lacks are an ``"error"``, or a warning under ``"drop"``.

    Raises:
        DataError: the file cannot be read at all.
    """
    return examine(path, dataset, users, n, missing=missing, unknown_items=unknown_items).report()


def check_recommender(
    recommender: Recommender,
    histories: Histories,
    n: int,
    *,
    exclude_seen: bool = False,
    num_items: int | None = None,
    name: str = "recommender",
) -> Report:
    """Try a live recommender on a few real histories: contract, same answer twice, same answer alone and among others.

    Args:
        recommender: whom to ask; at most 8 users, each three times.
        histories: U users, of which some are taken evenly.
        n: list length.
        exclude_seen: as it will be evaluated.
        num_items: of the catalogue it will be evaluated on.
        name: what the report calls it.

    Returns:
        Problems; errors of the recommender are among them and are not raised.
    """
    rows = np.unique(np.linspace(0, len(histories) - 1, min(PROBES, len(histories))).round().astype(np.int64))
    probes, problems = histories.take(rows), []

    def ask(part: Histories) -> IntArray:
        return checked_recommend(recommender, part, n, exclude_seen=exclude_seen, name=name).items

    if not len(probes):
        return Report(name, (), RecommenderError)
    try:
        check_size(recommender, recommender.num_items if num_items is None else num_items, name)
        first = ask(probes)
        problems += _probe_lengths(first, n)
        problems += _probe_again(first, ask(probes))
        if not any(found.kind == "not_repeatable" for found in problems):
            problems += _probe_alone(first, np.concatenate([ask(part) for part in probes.batches(1)]))
    except Exception as error:  # somebody else's code may raise anything
        kind = "contract" if isinstance(error, AgentrecError) else "failure"
        said = " ".join(str(error).split()).removeprefix(f"{name!r} ")
        problem = said if kind == "contract" else f"raises {type(error).__name__} ({said})"
        problems.append(Problem(kind, "error", problem, (), "correct that before anything is scored", 1))
    return Report(name, tuple(sorted(problems, key=lambda found: found.severity)), RecommenderError)


def _probe_lengths(items: IntArray, n: int) -> list[Problem]:
    short = np.flatnonzero((items != PAD).sum(axis=1) < n)
    problem = f"answers {many(len(short), 'user')} of {len(items)} with fewer than {n} items"
    examples = tuple(f"{int((items[row] != PAD).sum())} items for probe {row}" for row in short[:3])
    remedy = "expected full lists; what is missing counts as a miss"
    return [Problem("short_lists", "warning", problem, examples, remedy, len(short))] if len(short) else []


def _probe_again(first: IntArray, second: IntArray) -> list[Problem]:
    differ = np.flatnonzero((first != second).any(axis=1))
    problem = f"answers {many(len(differ), 'user')} of {len(first)} differently when asked the same again"
    remedy = "expected one answer per question; results will differ from run to run, so fix its seed or temperature"
    examples = tuple(f"probe {row}" for row in differ[:3])
    return [Problem("not_repeatable", "warning", problem, examples, remedy, len(differ))] if len(differ) else []


def _probe_alone(together: IntArray, alone: IntArray) -> list[Problem]:
    differ = np.flatnonzero((together != alone).any(axis=1))
    problem = f"answers {many(len(differ), 'user')} of {len(alone)} differently alone than among others"
    remedy = (
        "expected lists that do not depend on who else is asked, so look at padding and masks; until then results "
        "depend on the batch size"
    )
    examples = tuple(f"probe {row}" for row in differ[:3])
    return [Problem("depends_on_batch", "warning", problem, examples, remedy, len(differ))] if len(differ) else []
