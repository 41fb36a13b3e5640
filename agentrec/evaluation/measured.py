"""What one system gave at one seed: a row per unit, numbers of all units together, and costs.

Kept as a folder of ``units.parquet`` and ``measured.json``; both are whole or absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from agentrec.core.errors import ArtefactError, RecommenderError
from agentrec.core.files import MANIFEST, as_json, read_json, whole_folder, write_json
from agentrec.core.types import JSON

UNITS, FORMAT = "units.parquet", 1


@dataclass(frozen=True, eq=False)
class Measured:
    """One measurement.

    Attributes:
        units: column ``unit`` and one float column per metric (NaN: not defined for this unit); labels such as ``rank``
            may stand beside them.
        totals: metrics that are no mean over units, such as coverage.
        costs: seconds, tokens, money; they differ from run to run.
        facts: what the system says of itself.
        samples: unit -> what it did there, as JSON, for a few units that people look at.
        problems: sentences; a result with problems is no success.
    """

    units: pd.DataFrame
    totals: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    facts: JSON = field(default_factory=dict)
    samples: JSON = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("totals", "costs", "facts", "samples"):  # what a system says of itself may hold anything
            object.__setattr__(self, name, as_json(getattr(self, name)))

    def checked(self, units: pd.Series[str], name: str) -> Self:
        """This measurement, if its rows are the task's units in order.

        Raises:
            RecommenderError: they are not.
        """
        if "unit" not in self.units:
            raise RecommenderError(
                f"{name!r} was measured with columns {', '.join(map(str, self.units))}; expected 'unit' among them"
            )
        found = self.units["unit"]
        if len(found) != len(units) or not np.array_equal(found.to_numpy(str), units.to_numpy(str)):
            raise RecommenderError(
                f"{name!r} was measured on {len(found)} units, and the task has {len(units)}; expected the same units "
                "in the same order"
            )
        return self

    def save(self, folder: Path) -> None:
        """Write the folder, in place of one that lies there."""
        with whole_folder(folder) as temporary:
            self.units.to_parquet(temporary / UNITS, index=False)
            content = {
                "format": FORMAT,
                "totals": self.totals,
                "costs": self.costs,
                "facts": self.facts,
                "samples": self.samples,
                "problems": list(self.problems),
            }
            write_json(temporary / MANIFEST, content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtefactError: it is damaged.
        """
        content = read_json(folder / MANIFEST)
        try:
            if content["format"] != FORMAT:
                raise ArtefactError(f"{folder} has format {content['format']}; expected {FORMAT}, so measure again")
            return cls(
                read_parquet(folder / UNITS),
                content["totals"],
                content["costs"],
                content["facts"],
                content["samples"],
                tuple(content["problems"]),
            )
        except (KeyError, TypeError) as error:
            raise ArtefactError(
                f"{folder / MANIFEST} lacks a part ({error}); remove the folder to measure again"
            ) from error


def read_parquet(path: Path) -> pd.DataFrame:
    """Read one of our own tables.

    Raises:
        ArtefactError: it is missing or damaged.
    """
    import pyarrow

    try:
        return pd.read_parquet(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise ArtefactError(f"{path} is missing or damaged ({error}); evaluate again to write it") from error
