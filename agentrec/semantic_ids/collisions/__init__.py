"""Items that share all their codes, and what to do about them: one file per policy, picked by name with `solve`.

A policy turns a `Problem` (codes, and what is known of the items) into a `Resolved` in which every row is distinct, or,
for ``keep``, ordered. The same problem always has the same answer. ``Problem.taken`` are codes of others, which nobody
gets: so every policy extends a catalogue as well (`agentrec.semantic_ids.extend`).
"""

from agentrec.semantic_ids.collisions.append import append_level
from agentrec.semantic_ids.collisions.groups import collision_rate, group_histogram
from agentrec.semantic_ids.collisions.problem import Policy, Problem, Resolved
from agentrec.semantic_ids.collisions.solve import policy, resolve, solve

__all__ = [
    "Policy",
    "Problem",
    "Resolved",
    "append_level",
    "collision_rate",
    "group_histogram",
    "policy",
    "resolve",
    "solve",
]
