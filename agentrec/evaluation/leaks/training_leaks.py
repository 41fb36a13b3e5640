"""Was a recommender trained on held-out rows? By what is recorded of it, and by how its method behaves.

`recorded_split` reads provenance. `held_out_invariance` trusts nobody: it puts other items in the place of the held-out
ones and fits the method again. Who never reads held-out rows answers exactly as before. A finished model whose training
is unknown is asked by `agentrec.evaluation.leaks.memorisation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError
from agentrec.core.protocols import Recommender
from agentrec.core.rng import generator
from agentrec.core.types import HeldOut, Recommendations
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.split import Part, Split, leave_one_out
from agentrec.evaluation.contract import checked_recommend
from agentrec.evaluation.leaks.finding import EXAMPLES, Finding
from agentrec.evaluation.leaks.held_out_rows import held_out_starts, row_offsets

Fit = Callable[[Dataset, Split], Recommender]
MakeSplit = Callable[[Dataset], Split]


def recorded_split(provenance: Mapping[str, Any], split: Split) -> Finding:
    """Leak: a saved recommender says that it was trained on another split; warning: it says nothing.

    Args:
        provenance: what the recommender records of itself; ``split`` is the fingerprint of a split.
        split: what it is evaluated on.
    """
    recorded = provenance.get("split")
    other = recorded != split.fingerprint
    meaning = "its training rows may hold these targets, so train it on this split"
    if recorded is None:
        meaning = "nothing says which rows it was trained on, so train it here, or trust whoever made it"
    return Finding(
        "recorded_split",
        "records of training name another split or none",
        checked=1,
        violations=int(other),
        severity="warning" if recorded is None else "leak",
        meaning=meaning,
        examples=(f"recorded {recorded}, evaluated on {split.fingerprint}",) if other else (),
    )


def held_out_invariance(
    fit: Fit,
    dataset: Dataset,
    make_split: MakeSplit = leave_one_out,
    *,
    part: Part = "test",
    n: int = 20,
    limit: int = 1000,
    seed: int = 0,
) -> Finding:
    """Leak: a method whose recommendations change when held-out items are exchanged for others.

    The method is fitted on the data as they are, and on data whose held-out rows name random other items; both are
    asked about the same histories. Lists and scores must agree to the last bit. Where they do not, the first fit is
    repeated: a method that does not even repeat itself gives a warning, because then nothing follows.

    Args:
        fit: makes a recommender of a data set and its split; it must take its seed from elsewhere.
        dataset: all rows.
        make_split: data set -> split, for example ``global_time``.
        part: ``"test"`` exchanges the test rows alone, as early stopping may read validation; ``"validation"``
            exchanges both parts, which is right for methods that only count.
        n: list length.
        limit: ask about at most so many users.
        seed: of the exchanged items and the users drawn.

    Raises:
        ConfigError: the catalogue has a single item.
    """
    split = make_split(dataset)
    changed = with_other_targets(dataset, split, part, seed=seed)
    changed_split = make_split(changed)
    held = split.reveal(part).sample(limit, seed)
    first, second = (_answers(fit(*both), held, n) for both in ((dataset, split), (changed, changed_split)))
    differ = np.flatnonzero(_differ(first, second))
    repeatable = not len(differ) or not _differ(first, _answers(fit(dataset, split), held, n)).any()
    meaning = "the method reads rows that it is asked about, so hand it the training rows alone"
    if not repeatable:
        meaning = "the method gives other lists at every fit, which hides any leak, so fix its seed and check again"
    return Finding(
        "held_out_invariance",
        f"users get other recommendations when {part} items are exchanged for random ones before fitting",
        checked=len(held),
        violations=len(differ),
        severity="leak" if repeatable else "warning",
        meaning=meaning,
        examples=tuple(
            f"user {dataset.user_ids[held.histories.users[row]]!r} no longer gets the same {n} items and scores"
            for row in differ[:EXAMPLES]
        ),
        facts={"exchanged_rows": int((dataset.interactions.items != changed.interactions.items).sum())},
    )


def with_other_targets(dataset: Dataset, split: Split, part: Part, *, seed: int = 0) -> Dataset:
    """The data set with a random other item in every row of a part, and of the parts after it.

    Raises:
        ConfigError: the catalogue has a single item.
    """
    if dataset.num_items < 2:
        raise ConfigError(f"data set {dataset.name!r} has {dataset.num_items} items; expected at least 2 to exchange")
    rows = dataset.interactions
    offsets, _ = row_offsets(dataset, rows.users)
    held = np.arange(len(rows)) - offsets >= held_out_starts(dataset, split, part)[rows.users]
    shift = generator(seed, "other targets").integers(1, dataset.num_items, int(held.sum()))
    items = rows.items.copy()
    items[held] = (items[held] + shift) % dataset.num_items
    changed = Interactions(rows.users, items, rows.order, rows.ratings, rows.has_timestamps)
    return Dataset(dataset.name, dataset.user_ids, dataset.catalogue, changed)


def _answers(recommender: Recommender, held: HeldOut, n: int) -> Recommendations:
    return checked_recommend(recommender, held.histories, n)


def _differ(first: Recommendations, second: Recommendations) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (first.items != second.items).any(axis=1)
    found |= (first.scores != second.scores).any(axis=1)
    return found
