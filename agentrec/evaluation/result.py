"""The result of an evaluation: numbers with intervals, comparisons, ranks per user, and what produced them.

A saved result is a folder: ``result.json`` (the contract for machines: the same inputs give the same bytes apart from
``created_at``), ``per_user.parquet`` (one row per recommender and user, from which every single-target metric can be
derived), ``timings.json`` (seconds, which differ from run to run), ``report.md`` and ``report.html``. Every file is
whole or absent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from agentrec.core.errors import ArtefactError
from agentrec.core.files import read_json, whole_file, write_json
from agentrec.core.types import JSON

FORMAT = 1
RESULT, PER_USER, TIMINGS = "result.json", "per_user.parquet", "timings.json"
COLUMNS = ("recommender", "user", "target", "rank")


class Estimate(NamedTuple):
    """A metric: its value and its interval over users; ``None`` where a metric is no mean over users."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two recommenders on the same users: mean difference (first minus second), its interval and p values.

    ``holm`` is the p value corrected for all comparisons of the result.
    """

    metric: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    holm: float


@dataclass(frozen=True)
class Sample:
    """One user to look at: titles of the end of the history, of the target, and of the top of each list."""

    user: str
    history: tuple[str, ...]
    target: str
    top: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Result:
    """What an evaluation found.

    Attributes:
        recommenders: name -> metric (such as ``ndcg@10``) -> `Estimate`.
        per_user: columns ``recommender``, ``user`` and ``target`` (ids) and ``rank`` (0-based int64, equal to
            ``provenance["list_length"]`` where the list misses the target).
        provenance: data, split, settings, seed and versions.
        comparisons: all pairs of recommenders on the headline metrics.
        samples: a few users with their lists; empty without a catalogue.
        timings: name -> seconds spent recommending.
        created_at: UTC time in ISO format.
    """

    recommenders: Mapping[str, Mapping[str, Estimate]]
    per_user: pd.DataFrame
    provenance: JSON
    comparisons: tuple[Comparison, ...] = ()
    samples: tuple[Sample, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __getitem__(self, name: str) -> dict[str, float]:
        """The metrics of one recommender, without intervals: ``result["popularity"]["ndcg@10"]``."""
        return {metric: estimate.mean for metric, estimate in self.recommenders[name].items()}

    def table(self) -> pd.DataFrame:
        """The means: one row per recommender, one column per metric."""
        return pd.DataFrame.from_dict({name: self[name] for name in self.recommenders}, orient="index")

    def ranks(self, name: str) -> pd.Series[int]:
        """The 0-based rank of the target, by user id, for one recommender."""
        rows = self.per_user[self.per_user["recommender"] == name]
        return rows.set_index("user")["rank"]

    def with_provenance(self, **entries: Any) -> Self:
        """The same result with more known about what produced it."""
        return dataclasses.replace(self, provenance={**self.provenance, **entries})

    def to_json(self) -> JSON:
        """The content of ``result.json``."""
        return {
            "format": FORMAT,
            "created_at": self.created_at,
            "recommenders": {
                name: {metric: estimate._asdict() for metric, estimate in metrics.items()}
                for name, metrics in self.recommenders.items()
            },
            "comparisons": [dataclasses.asdict(comparison) for comparison in self.comparisons],
            "samples": [dataclasses.asdict(sample) for sample in self.samples],
            "provenance": self.provenance,
        }

    def save(self, folder: str | Path) -> Path:
        """Write all files of the result, and return the folder.

        Raises:
            AgentrecError: the folder cannot be written.
        """
        from agentrec.evaluation.report import to_html, to_markdown

        folder = Path(folder)
        texts = {"report.md": to_markdown(self), "report.html": to_html(self)}
        with whole_file(folder / PER_USER) as temporary:
            self.per_user.to_parquet(temporary, index=False)
        write_json(folder / TIMINGS, dict(self.timings))
        for name, text in texts.items():
            with whole_file(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        write_json(folder / RESULT, self.to_json())
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtefactError: the folder holds no result, or a damaged one.
        """
        folder = Path(folder)
        content = read_json(folder / RESULT)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ArtefactError(f"{folder / RESULT} is not a result of format {FORMAT}; evaluate again to write one")
        try:
            return cls(
                recommenders={
                    name: {metric: Estimate(**estimate) for metric, estimate in metrics.items()}
                    for name, metrics in content["recommenders"].items()
                },
                per_user=_read_per_user(folder / PER_USER),
                provenance=content["provenance"],
                comparisons=tuple(Comparison(**comparison) for comparison in content["comparisons"]),
                samples=tuple(_sample(sample) for sample in content["samples"]),
                timings=read_json(folder / TIMINGS),
                created_at=content["created_at"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtefactError(f"{folder / RESULT} lacks or misspells a part ({error}); evaluate again") from error

    def _repr_markdown_(self) -> str:
        from agentrec.evaluation.report import to_markdown

        return to_markdown(self)


def _sample(content: JSON) -> Sample:
    top = {name: tuple(titles) for name, titles in content["top"].items()}
    return Sample(content["user"], tuple(content["history"]), content["target"], top)


def _read_per_user(path: Path) -> pd.DataFrame:
    import pyarrow

    try:
        table = pd.read_parquet(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise ArtefactError(f"{path} is missing or damaged ({error}); evaluate again to write it") from error
    if tuple(table.columns) != COLUMNS:
        raise ArtefactError(f"{path} has columns {', '.join(table.columns)}; expected {', '.join(COLUMNS)}")
    return table
