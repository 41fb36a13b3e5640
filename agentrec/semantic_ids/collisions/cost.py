"""What telling items apart costs: items moved, error added, neighbours lost.

Compare policies by it, not by the collisions that remain: of those there are none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.collisions.problem import Problem, Resolved
from agentrec.semantic_ids.health import relative_error
from agentrec.semantic_ids.neighbours import neighbour_pairs, shared_codes
from agentrec.semantic_ids.residual import decode_sum


def cost(
    problem: Problem,
    resolved: Resolved,
    *,
    vectors: FloatArray | None = None,
    decode: Callable[[IntArray], FloatArray] | None = None,
    neighbours: int = 10,
    queries: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare the codes of a quantiser with those of a policy.

    Args:
        problem: the codes before.
        resolved: the answer of a policy.
        vectors: (N, D) float32 item vectors, for error and neighbours; by default those of the problem.
        decode: the quantiser's, (N, 1..L) codes -> (N, D); by default sums of the problem's code vectors. Give both
            for a quantiser that weighs distances in another space than it decodes to.
        neighbours: nearest neighbours per item.
        queries: look at this many items at most, drawn by ``seed``.
        seed: of that draw.

    Returns:
        JSON-able: ``colliding`` (items that shared their codes), ``moved`` (items with other codes on the L levels),
        ``moved_prefix`` (of these, with another prefix), ``moved_others`` (of these, without a collision before),
        ``level_sizes``; and, None where vectors or codebooks are unknown, ``relative_error`` (squared error over the
        squared distance to the mean, before and after; levels that only tell items apart do not count) and
        ``neighbours`` (shares of nearest neighbours with the first 1, 2, ... L codes in common, before and after).
    """
    before, after = problem.codes, resolved.codes[:, : problem.num_levels]
    moved = (before != after).any(axis=1)
    error = shared = None
    table = problem.vectors if vectors is None else vectors
    if decode is None and problem.codebooks is not None:
        decode = partial(decode_sum, codebooks=problem.codebooks)
    if table is not None and decode is not None:
        semantic = resolved.codes[:, : resolved.num_semantic]
        error = {"before": relative_error(table, decode(before)), "after": relative_error(table, decode(semantic))}
    if table is not None and problem.num_items > 1:
        pairs = neighbour_pairs(table, neighbours=neighbours, queries=queries, seed=seed)
        shared = {"before": shared_codes(before, *pairs), "after": shared_codes(after, *pairs)}
    return {
        "colliding": int(problem.colliding.sum()),
        "moved": int(moved.sum()),
        "moved_prefix": int((before[:, :-1] != after[:, :-1]).any(axis=1).sum()),
        "moved_others": int((moved & ~problem.colliding).sum()),
        "level_sizes": list(resolved.level_sizes),
        "relative_error": error,
        "neighbours": shared,
    }
