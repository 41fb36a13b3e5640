"""Compare two saved results, user by user.

Users are matched by id, and must have the same target in both; the recommenders of the same name are compared, or all
pairs where no name is shared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from agentrec.core.errors import ArtefactError
from agentrec.core.types import IntArray
from agentrec.evaluation.result import Comparison, Result
from agentrec.evaluation.scoring import compare_ranks


class ResultComparison(NamedTuple):
    """The comparisons, and the number of users that both results share."""

    comparisons: tuple[Comparison, ...]
    num_users: int


def compare_results(
    first: Result, second: Result, *, labels: tuple[str, str] = ("first", "second"), seed: int = 0
) -> ResultComparison:
    """Compare recommenders of two results on the users that both evaluated.

    Args:
        first: a result.
        second: another one on the same data and part.
        labels: what tells the two apart where a name occurs in both.
        seed: seed of the bootstrap.

    Raises:
        ArtefactError: the results are of different data, part or list lengths, or share no user.
    """
    for key in (("data", "fingerprint"), ("part",), ("config", "ks")):
        sides = [_entry(result, key) for result in (first, second)]
        if sides[0] != sides[1]:
            raise ArtefactError(
                f"the results differ in {' '.join(key)}: {sides[0]!r} and {sides[1]!r}; expected two evaluations of "
                "the same data, part and list lengths"
            )
    shared = sorted(set(first.recommenders) & set(second.recommenders))
    names = [(name, name) for name in shared] or [(a, b) for a in first.recommenders for b in second.recommenders]
    users = _shared_users(first, second)
    pairs = []
    for left, right in names:
        same = left == right
        sides_ranks = (_aligned(first, left, users), _aligned(second, right, users))
        titles = (f"{labels[0]}: {left}", f"{labels[1]}: {right}") if same else (left, right)
        pairs.append(((titles[0], sides_ranks[0]), (titles[1], sides_ranks[1])))
    return ResultComparison(compare_ranks(pairs, first.provenance["config"]["ks"], seed=seed), len(users))


def _entry(result: Result, key: tuple[str, ...]) -> object:
    found: object = result.provenance
    for part in key:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _shared_users(first: Result, second: Result) -> pd.Index[str]:
    targets = [result.per_user.drop_duplicates("user").set_index("user")["target"] for result in (first, second)]
    users = targets[0].index.intersection(targets[1].index, sort=False)
    if not len(users):
        raise ArtefactError("the results share no user; expected two evaluations of the same users, so check both")
    differ = np.flatnonzero(targets[0].loc[users].to_numpy() != targets[1].loc[users].to_numpy())
    if len(differ):
        raise ArtefactError(
            f"{len(differ)} of {len(users)} shared users have different targets, for example {users[differ[0]]!r}; "
            "expected the same split in both"
        )
    return users


def _aligned(result: Result, name: str, users: pd.Index[str]) -> IntArray:
    return np.asarray(result.ranks(name).loc[users], np.int64)
