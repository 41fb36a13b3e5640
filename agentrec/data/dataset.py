"""A data set: who interacted with what in which order, and the catalogue of items.

Everything downstream works on indexes; the user's own ids are kept here, exactly as they were given. A `Dataset` knows
nothing of train and test: `agentrec.data.split` makes that distinction.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from agentrec.core.artefact import Arrays, Artefact
from agentrec.core.errors import ArtefactError, DataError, DataWarning
from agentrec.core.files import array_hash
from agentrec.core.types import Catalogue, FloatArray, Histories, IntArray
from agentrec.data.strings import pack, unpack


@dataclass(frozen=True)
class Interactions:
    """R interactions, sorted by user, then by order; equal orders keep the order of the source.

    Attributes:
        users: (R,) int64 user indexes, not decreasing.
        items: (R,) int64 item indexes.
        order: (R,) int64 or float64, not decreasing within a user: a position, or a time in the source's own unit.
        ratings: (R,) float32, or None where the source has none.
        has_timestamps: ``order`` is a time that can be compared between users.
    """

    users: IntArray
    items: IntArray
    order: NDArray[Any]
    ratings: FloatArray | None = None
    has_timestamps: bool = False

    def __post_init__(self) -> None:
        columns = [self.users, self.items, self.order, *([] if self.ratings is None else [self.ratings])]
        if len({len(column) for column in columns}) != 1:
            raise DataError(
                f"interaction columns have lengths {[len(column) for column in columns]}; expected one length for all"
            )
        step = np.diff(self.users)
        if (step < 0).any() or (np.diff(self.order)[step == 0] < 0).any():
            raise DataError("interactions are not sorted; expected users, then order, so use Interactions.sort")

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def sort(
        cls,
        users: NDArray[Any],
        items: NDArray[Any],
        order: NDArray[Any],
        *,
        ratings: NDArray[Any] | None = None,
        has_timestamps: bool = False,
    ) -> Interactions:
        """Sort rows that come in any order; ties keep their order. Arguments as the attributes."""
        rows = np.lexsort((order, users))
        kept = None if ratings is None else np.asarray(ratings, np.float32)[rows]
        return cls(
            np.asarray(users, np.int64)[rows], np.asarray(items, np.int64)[rows], order[rows], kept, has_timestamps
        )

    def take(self, rows: NDArray[Any]) -> Interactions:
        """The rows of a mask or of increasing indexes."""
        ratings = None if self.ratings is None else self.ratings[rows]
        return Interactions(self.users[rows], self.items[rows], self.order[rows], ratings, self.has_timestamps)


class Dataset(Artefact):
    """Users, items with texts, and their interactions.

    Attributes:
        name: what reports call it.
        user_ids: the source's user ids, in index order.
        catalogue: the N items.
        interactions: the R interactions.

    Raises:
        DataError: an index is out of range, or an id occurs twice.
    """

    room: ClassVar[str] = "data"
    method: ClassVar[str] = "dataset"

    def __init__(self, name: str, user_ids: Sequence[str], catalogue: Catalogue, interactions: Interactions) -> None:
        self.name = name
        self.user_ids = tuple(user_ids)
        self.catalogue = catalogue
        self.interactions = interactions
        _check_range("user", interactions.users, self.user_ids)
        _check_range("item", interactions.items, catalogue.ids)

    @property
    def num_users(self) -> int:
        """How many users there are."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """N, the size of the catalogue, items without interactions included."""
        return len(self.catalogue)

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {self.num_users:,} users, {self.num_items:,} items, "
            f"{len(self.interactions):,} interactions)"
        )

    def histories(self) -> Histories:
        """Every user's items, oldest first; row ``u`` is user ``u``."""
        return to_histories(self.num_users, self.interactions.users, self.interactions.items)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits over interactions, ids and texts; the name does not count."""
        _, arrays = self.state()
        names = pack([*sorted(arrays), *self.catalogue.columns, str(self.interactions.has_timestamps)])
        return array_hash(*names, *(arrays[key] for key in sorted(arrays)))

    def require_texts(self, columns: Sequence[str] | None = None) -> list[str]:
        """One text per item, for encoders and prompts.

        Args:
            columns: names of the text columns to join, all by default.

        Returns:
            N strings, none empty: an item without text is represented by its id, and a DataWarning says so.

        Raises:
            DataError: no item at all has a text.
        """
        texts = self.catalogue.texts(columns)
        missing = [index for index, text in enumerate(texts) if not text.strip()]
        if len(missing) == len(texts):
            raise DataError(
                f"data set {self.name!r} has {len(texts)} items and none of them has a text; expected an items table "
                "with a title or a description, so load the data set with items=<your items file>"
            )
        if missing:
            warnings.warn(
                f"{len(missing)} of {len(texts)} items of {self.name!r} have no text, for example "
                f"{self.catalogue.ids[missing[0]]!r}; their ids are used as texts",
                DataWarning,
                stacklevel=2,
            )
        empty = set(missing)
        return [self.catalogue.ids[index] if index in empty else text for index, text in enumerate(texts)]

    def summary(self) -> dict[str, Any]:
        """Counts that describe the data: JSON-able, one number or text per key."""
        lengths = np.bincount(self.interactions.users, minlength=self.num_users)
        cells = self.num_users * self.num_items
        return {
            "name": self.name,
            "users": self.num_users,
            "items": self.num_items,
            "interactions": len(self.interactions),
            "density": len(self.interactions) / cells if cells else 0.0,
            "median_history": float(np.median(lengths)) if len(lengths) else 0.0,
            "items_without_interactions": self.num_items - len(np.unique(self.interactions.items)),
            "items_without_text": sum(not text.strip() for text in self.catalogue.texts()),
            "text_columns": ", ".join(self.catalogue.columns),
            "timestamps": self.interactions.has_timestamps,
            "ratings": self.interactions.ratings is not None,
            "fingerprint": self.fingerprint,
        }

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """See `Artefact.state`; strings are stored as bytes and offsets."""
        rows = self.interactions
        arrays: Arrays = {"users": rows.users, "items": rows.items, "order": rows.order}
        if rows.ratings is not None:
            arrays["ratings"] = rows.ratings
        columns = {f"column_{number}": values for number, values in enumerate(self.catalogue.columns.values())}
        for key, strings in {"user_ids": self.user_ids, "item_ids": self.catalogue.ids, **columns}.items():
            arrays[f"{key}.bytes"], arrays[f"{key}.offsets"] = pack(strings)
        return {
            "name": self.name,
            "columns": list(self.catalogue.columns),
            "has_timestamps": rows.has_timestamps,
        }, arrays

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """See `Artefact.from_state`.

        Raises:
            ArtefactError: something is missing.
        """
        try:
            strings = {key: unpack(arrays[f"{key}.bytes"], arrays[f"{key}.offsets"]) for key in _string_keys(config)}
            rows = (arrays["users"], arrays["items"], arrays["order"], arrays.get("ratings"), config["has_timestamps"])
            columns = {name: strings[f"column_{number}"] for number, name in enumerate(config["columns"])}
            catalogue = Catalogue(strings["item_ids"], columns)
            return cls(config["name"], strings["user_ids"], catalogue, Interactions(*rows))
        except KeyError as error:
            raise ArtefactError(
                f"the saved data set lacks {error}; it is incomplete, so write or copy it again"
            ) from error


def to_histories(num_users: int, users: IntArray, items: IntArray) -> Histories:
    """Group sorted rows by user, users without rows included.

    Args:
        num_users: U.
        users: (R,) int64, not decreasing.
        items: (R,) int64.
    """
    offsets = np.searchsorted(users, np.arange(num_users + 1)).astype(np.int64)
    return Histories(np.arange(num_users, dtype=np.int64), offsets, items.copy())


def _string_keys(config: Mapping[str, Any]) -> list[str]:
    return ["user_ids", "item_ids", *(f"column_{number}" for number in range(len(config["columns"])))]


def _check_range(what: str, indexes: IntArray, ids: Sequence[str]) -> None:
    if len(indexes) and not (indexes.min() >= 0 and indexes.max() < len(ids)):
        raise DataError(f"{what} indexes run from {indexes.min()} to {indexes.max()}; expected 0 to {len(ids) - 1}")
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"{what} id {twice!r} occurs twice; expected every {what} once, so remove one")
