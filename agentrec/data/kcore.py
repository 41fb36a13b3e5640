"""The k-core of a data set: repeatedly drop users and items with too few interactions until none is left to drop."""

from __future__ import annotations

import numpy as np

from agentrec.core.errors import ConfigError, DataError
from agentrec.data.dataset import Dataset, Interactions


def k_core(dataset: Dataset, *, min_user: int = 5, min_item: int = 5) -> Dataset:
    """Keep the largest part in which every user and every item has enough interactions.

    Users and items keep their order; those that fall away lose their index. The result does not depend on the order in
    which they are dropped.

    Args:
        dataset: stays as it is.
        min_user: interactions that every remaining user has; 0 keeps users without any.
        min_item: interactions that every remaining item has; 0 keeps items without any.

    Raises:
        DataError: nothing is left.
        ConfigError: a limit is negative.
    """
    if min_user < 0 or min_item < 0:
        raise ConfigError(f"min_user is {min_user} and min_item {min_item}; expected whole numbers from 0")
    rows = dataset.interactions
    kept = np.ones(len(rows), bool)
    while True:
        per_user = np.bincount(rows.users[kept], minlength=dataset.num_users)
        per_item = np.bincount(rows.items[kept], minlength=dataset.num_items)
        still = kept & (per_user[rows.users] >= min_user) & (per_item[rows.items] >= min_item)
        if still.sum() == kept.sum():
            break
        kept = still
    if not kept.any():
        raise DataError(
            f"data set {dataset.name!r} has {len(rows)} interactions and none is left with min_user={min_user} and "
            f"min_item={min_item}; expected some, so choose lower limits"
        )
    users, items = np.flatnonzero(per_user >= min_user), np.flatnonzero(per_item >= min_item)
    left = rows.take(kept)
    numbered = Interactions(
        np.searchsorted(users, left.users),
        np.searchsorted(items, left.items),
        left.order,
        left.ratings,
        rows.has_timestamps,
    )
    names = [dataset.user_ids[user] for user in users]
    core = Dataset(dataset.name, names, dataset.catalogue.take(items), numbered)
    return core.stamp({"made_from": dataset.fingerprint, "min_user": min_user, "min_item": min_item})
