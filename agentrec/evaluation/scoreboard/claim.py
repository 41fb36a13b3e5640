"""A claim about one system with its evidence: a small JSON file of ``evals/results``, and the verdict by rule.

A claim says either that a system is ahead of another one of the same run, or that a metric keeps to a bar, such as a
share of valid items ``= 1``. The verdict is never written by hand: `verdict_of` reads it off the figures, and a file
whose stored verdict differs is refused. A claim that fails stays; its file is the record that it failed.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

from agentrec.core.errors import ArtefactError, ConfigError
from agentrec.core.files import read_json, write_json
from agentrec.core.types import JSON
from agentrec.evaluation.result import Comparison, Estimate
from agentrec.evaluation.scoreboard.verdict import Bar, Verdict, verdict_against, verdict_at
from agentrec.evaluation.task import Metric

FORMAT, MAX_BYTES = 1, 10_000
MACHINE_PATH = re.compile(r"(/|~|[A-Za-z]:[\\/]|file:)")
VARIABLE = re.compile(r"\$\{?(\w+)")
DATA_VARIABLE = "AGENTREC_DATA"


@dataclass(frozen=True)
class Claim:
    """One claim and what it rests on.

    Attributes:
        name: of the file, without its ending.
        claim: in words.
        system: key in ``evals/systems.yaml`` of what the claim is about.
        label: what that system is called in the run.
        metric: that decides.
        task: that was run.
        data: ``name`` and ``fingerprint``.
        part: held-out part, empty where the task has none.
        limit: how many units were drawn where not all were measured.
        num_units: U.
        command: gives the result again, in the root of the repository.
        result: folder of the result, relative to that root.
        seeds: label -> seeds.
        metrics: of ``figures``, in order.
        figures: label -> metric -> `Estimate`, for every system of the run.
        verdict: as stored; `verdict_of` says what it must be.
        date: of the run, ISO.
        code: hash of the package's source files.
        versions: of libraries.
        machine: that it ran on.
        against: label of the system that it is held against, or None.
        comparison: of the two, as the result has it.
        bar: that it is held against instead, or None.
        recipe_rows: rows of recipes that the command names, as they stood, by `recipe_rows`.
    """

    name: str
    claim: str
    system: str
    label: str
    metric: str
    task: str
    data: JSON
    part: str
    limit: int | None
    num_units: int
    command: str
    result: str
    seeds: Mapping[str, list[int]]
    metrics: tuple[Metric, ...]
    figures: Mapping[str, Mapping[str, Estimate]]
    verdict: Verdict
    date: str
    code: str
    versions: Mapping[str, str]
    machine: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None
    comparison: Comparison | None = None
    bar: Bar | None = None
    recipe_rows: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.bar is None) == (self.against is None) or (self.against is None) != (self.comparison is None):
            raise ArtefactError(
                f"claim {self.name!r} is held against {self.against!r} and the bar {self.bar}; expected either another "
                "system with the comparison of the two, or a bar"
            )
        for label in filter(None, (self.label, self.against)):
            if self.figures.get(label, {}).get(self.metric, Estimate(None)).mean is None:
                raise ArtefactError(
                    f"claim {self.name!r} rests on {self.metric!r} of {label!r}, which its figures lack; expected a "
                    "number, so run what the claim is about"
                )
        if self.comparison is not None:
            said = (self.comparison.metric, {self.comparison.first, self.comparison.second})
            if said != (self.metric, {self.label, self.against}):
                raise ArtefactError(
                    f"claim {self.name!r} compares {' and '.join(sorted(said[1]))} by {said[0]}; expected {self.label} "
                    f"and {self.against} by {self.metric}"
                )
        check_command(self.command)

    @property
    def estimate(self) -> Estimate:
        """The figure that the claim is about."""
        return self.figures[self.label][self.metric]

    @property
    def advantage(self) -> tuple[float, float, float] | None:
        """System minus what it is held against: the difference and its interval; None for a bar."""
        found = self.comparison
        if found is None:
            return None
        ahead = found.first == self.label
        return (found.difference, found.low, found.high) if ahead else (-found.difference, -found.high, -found.low)

    def to_json(self) -> JSON:
        """The content of the file."""
        figures = {
            label: {metric: estimate._asdict() for metric, estimate in found.items()}
            for label, found in self.figures.items()
        }
        bar = None if self.bar is None else str(self.bar)
        content = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self) if entry.name != "name"}
        comparison = None if self.comparison is None else dataclasses.asdict(self.comparison)
        metrics = [dataclasses.asdict(metric) for metric in self.metrics]
        return {
            **content,
            "format": FORMAT,
            "figures": figures,
            "bar": bar,
            "comparison": comparison,
            "metrics": metrics,
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of ``evals/results``.

        Raises:
            ArtefactError: it is missing, damaged, of another format, or its verdict is not what its figures say.
        """
        content = read_json(path)
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ArtefactError(f"{path} is no claim of format {FORMAT}; record it again with `agentrec eval record`")
        try:
            made = cls(**{**content, "name": path.stem, **_parts(content)})
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtefactError(
                f"{path} lacks or misspells a part ({error}); record it again with `agentrec eval record`"
            ) from error
        if (verdict := verdict_of(made)) != made.verdict:
            raise ArtefactError(
                f"{path} says {made.verdict!r} and its figures say {verdict!r}; expected a file as recorded, so record "
                "it again with `agentrec eval record`"
            )
        return made

    def write(self, folder: Path) -> Path:
        """Write the file into a folder; the same claim is replaced, another one of that name is not.

        Raises:
            ConfigError: another claim has that name, or the file would be large.
        """
        path = folder / f"{self.name}.json"
        if path.exists() and (old := _identity(read_json(path))) != (new := _identity(self.to_json())):
            raise ConfigError(f"{path} holds another claim ({old}, and this one {new}); choose another name")
        if (size := len(json.dumps(self.to_json(), indent=2, ensure_ascii=False).encode())) >= MAX_BYTES:
            raise ConfigError(
                f"{path} would have {size:,} bytes; expected less than {MAX_BYTES:,}, so run fewer systems at once"
            )
        write_json(path, self.to_json())
        return path


def verdict_of(claim: Claim) -> Verdict:
    """What the figures say of a claim, by the rules of `agentrec.evaluation.scoreboard.verdict`."""
    if claim.comparison is not None:
        return verdict_against(claim.comparison, claim.label)
    assert claim.bar is not None
    return verdict_at(claim.bar, claim.estimate)


def check_command(command: str) -> None:
    """Refuse a command that others cannot give: empty, of several lines, or naming paths of one machine.

    Raises:
        ConfigError: with the part that is wrong.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"the command {command!r} has unbalanced quotes; expected a line for a shell") from error
    if not words or "\n" in command:
        raise ConfigError(f"the command is {command!r}; expected one line that gives the result again")
    pieces = [piece for word in words for piece in re.split(r"[=,]", word)]
    bound = [piece for piece in pieces if MACHINE_PATH.match(piece)]
    bound += [f"${name}" for name in VARIABLE.findall(command) if name != DATA_VARIABLE]
    if bound:
        raise ConfigError(
            f"the command names {bound[0]!r}, which other machines lack; expected paths relative to the repository, "
            f"and data as ${DATA_VARIABLE}/..."
        )


def _parts(content: Mapping[str, Any]) -> dict[str, Any]:
    if content["verdict"] not in get_args(Verdict):
        raise TypeError(f"the verdict is {content['verdict']!r}")
    figures = {
        label: {metric: Estimate(**estimate) for metric, estimate in found.items()}
        for label, found in content["figures"].items()
    }
    return {
        "figures": figures,
        "metrics": tuple(Metric(**metric) for metric in content["metrics"]),
        "bar": None if content["bar"] is None else Bar.parse(content["bar"]),
        "comparison": None if content["comparison"] is None else Comparison(**content["comparison"]),
    }


def _identity(content: Any) -> str:
    """What may not change when a claim is recorded again."""
    parts = [content.get(name) for name in ("system", "label", "metric", "against", "bar", "task")]
    return " ".join(str(part) for part in parts if part is not None)
