"""Record a claim: from the saved result of a run to one file of ``evals/results``."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrec.core.errors import ConfigError
from agentrec.core.files import read_json
from agentrec.evaluation.result import COSTS, Comparison, Estimate, Result
from agentrec.evaluation.scoreboard.claim import Claim, verdict_of
from agentrec.evaluation.scoreboard.recipe_rows import recipe_rows
from agentrec.evaluation.scoreboard.systems import SYSTEMS, Entry, read_systems
from agentrec.evaluation.scoreboard.verdict import Bar

RESULTS = "evals/results"


@dataclass(frozen=True)
class Wanted:
    """What is claimed of a result.

    Attributes:
        system: key in ``evals/systems.yaml``.
        metric: that decides.
        command: gives the result again, in the root of the repository.
        against: label of the system that it is held against; or ``bar``.
        bar: fixed value that it is held against.
        label: what the system is called in the run; by default its key.
        claim: in words; by default that one is ahead of the other.
        name: of the file, behind task and data; by default made of label, metric and opponent.
    """

    system: str
    metric: str
    command: str
    against: str | None = None
    bar: Bar | None = None
    label: str = ""
    claim: str = ""
    name: str = ""


def record(folder: str | Path, wanted: Wanted, root: Path) -> Path:
    """Write the claim of a saved result, and return its file.

    Args:
        folder: of the result; inside the repository, so that everybody can make it again.
        wanted: what is claimed.
        root: of the repository.

    Raises:
        ArtefactError: the folder holds no result.
        ConfigError: the result has problems, lacks a system, or the claim does not fit it.
    """
    folder, root = Path(folder).resolve(), root.resolve()
    if not folder.is_relative_to(root):
        raise ConfigError(
            f"the result lies in {folder}; expected a folder inside {root}, such as runs/claim, so that the command "
            "means the same everywhere"
        )
    result = Result.load(folder)
    systems = read_systems(root)
    if wanted.system not in systems:
        raise ConfigError(f"{SYSTEMS} has no system {wanted.system!r}; those that exist are {', '.join(systems)}")
    machine = read_json(folder / COSTS).get("machine", {})
    claim = claim_of(result, wanted, systems[wanted.system], where=folder.relative_to(root).as_posix(), machine=machine)
    rows = recipe_rows(wanted.command, root)
    return dataclasses.replace(claim, recipe_rows=rows).write(root / RESULTS)


def claim_of(result: Result, wanted: Wanted, entry: Entry, *, where: str, machine: dict[str, Any]) -> Claim:
    """The claim that a result bears out or not.

    Args:
        result: of one run.
        wanted: what is claimed.
        entry: of the system.
        where: folder of the result, relative to the repository.
        machine: that it ran on.

    Raises:
        ConfigError: the result has problems, lacks a system, or the claim does not fit it.
    """
    label = wanted.label or wanted.system
    _check(result, wanted, label)
    known = result.provenance
    comparison = None if wanted.against is None else _comparison(result, label, wanted.against, wanted.metric)
    shown = [metric for metric in result.metrics if metric.headline or metric.name == wanted.metric]
    data = {name: str(known["data"].get(name)) for name in ("name", "fingerprint")}
    opponent = wanted.metric if wanted.against is None else f"vs {wanted.against} {wanted.metric}"
    parts = (result.task, data["name"], wanted.name or f"{label} {opponent}")
    claim = Claim(
        name="--".join(slug(part) for part in parts),
        claim=wanted.claim or _in_words(entry, wanted),
        system=wanted.system,
        label=label,
        metric=wanted.metric,
        task=result.task,
        data=data,
        part=str(known["settings"].get("part") or ""),
        limit=_limit(result),
        num_units=len(result.units),
        command=wanted.command,
        result=where,
        seeds=known["seeds"],
        metrics=tuple(shown),
        figures=_figures(result, [metric.name for metric in shown]),
        verdict="flat",
        date=result.created_at[:10],
        code=known["code"],
        versions=known["versions"],
        machine=machine,
        against=wanted.against,
        comparison=comparison,
        bar=wanted.bar,
    )
    return dataclasses.replace(claim, verdict=verdict_of(claim))


def slug(text: str) -> str:
    """Letters, digits, ``_`` and single ``-``.

    Example:
        >>> slug("SASRec vs transitions ndcg@10")
        'sasrec-vs-transitions-ndcg-10'
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


def _check(result: Result, wanted: Wanted, label: str) -> None:
    if result.problems:
        raise ConfigError(
            f"the result has {len(result.problems)} problems, the first: {result.problems[0]}; expected none, so mend "
            "that and run again"
        )
    if (wanted.against is None) == (wanted.bar is None):
        raise ConfigError(
            f"the claim is held against {wanted.against!r} and the bar {wanted.bar}; expected either another system "
            "or a bar"
        )
    for name in (label, wanted.against):
        if name is not None and name not in result.systems:
            raise ConfigError(
                f"the result has no system {name!r}; those that exist are {', '.join(result.systems)}, so name one of "
                "them or run it too"
            )
    names = [metric.name for metric in result.metrics]
    if wanted.metric not in names:
        raise ConfigError(f"the result has no metric {wanted.metric!r}; those that exist are {', '.join(names)}")
    absent = [name for name in ("data", "settings", "seeds", "versions", "code") if not _known(result, name)]
    if absent:
        raise ConfigError(
            f"the result does not say its {absent[0]}; expected a result of `agentrec eval run` or `agentrec run`, so "
            "make it that way"
        )


def _known(result: Result, name: str) -> bool:
    return result.provenance.get(name) is not None


def _limit(result: Result) -> int | None:
    """The limit under which units were drawn; None where it left nobody out."""
    config = result.provenance.get("task", {}).get("config", {})
    limit = result.provenance["settings"].get("limit", config.get("limit"))
    return limit if limit is not None and len(result.units) >= limit else None


def _comparison(result: Result, label: str, against: str, metric: str) -> Comparison:
    for found in result.comparisons:
        if found.metric == metric and {found.first, found.second} == {label, against} and found.better != "neither":
            return found
    compared = sorted({found.metric for found in result.comparisons if found.better != "neither"})
    raise ConfigError(
        f"the result does not compare {label!r} with {against!r} by {metric!r}; expected two systems and one of "
        f"{', '.join(compared) or 'its headline metrics'}"
    )


def _figures(result: Result, metrics: list[str]) -> dict[str, dict[str, Estimate]]:
    return {
        label: {name: estimates[name] for name in metrics if name in estimates}
        for label, estimates in result.systems.items()
    }


def _in_words(entry: Entry, wanted: Wanted) -> str:
    if wanted.against is not None:
        return f"{entry.name} is ahead of {wanted.against}"
    return f"{entry.name} keeps {wanted.metric} {wanted.bar}"
