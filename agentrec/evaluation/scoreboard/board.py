"""The scoreboard: what every system of the toolkit was claimed to do, and what was measured.

Tables are generated from ``evals/systems.yaml`` and the claims of ``evals/results`` into marked sections of
``evals/README.md`` and ``README.md``; nobody writes a figure by hand. `problems` finds whatever does not fit together,
stale tables included, and a test fails on it. What failed or stayed flat is listed like what holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.evaluation.scoreboard.claim import Claim
from agentrec.evaluation.scoreboard.markers import replace_between, write_between_markers
from agentrec.evaluation.scoreboard.recipe_rows import recipe_rows
from agentrec.evaluation.scoreboard.record import RESULTS
from agentrec.evaluation.scoreboard.systems import SYSTEMS, Entry, absent_files, read_systems
from agentrec.evaluation.scoreboard.tables import claims_table, link, markdown_table, runs_list
from agentrec.evaluation.tasks import task_files, task_summaries

BOARD, README = "evals/README.md", "README.md"
TASKS, CLAIMS, PAPERS = "scoreboard:tasks", "scoreboard:results", "scoreboard:papers"
NO_CLAIM = "No result is recorded yet."


@dataclass(frozen=True)
class Scoreboard:
    """Everything the tables are made of.

    Attributes:
        systems: key -> entry, in the order of ``evals/systems.yaml``.
        claims: sorted by data, system and file name.
        tasks: name -> what it asks.
    """

    systems: Mapping[str, Entry]
    claims: tuple[Claim, ...]
    tasks: Mapping[str, str]

    @classmethod
    def read(cls, root: Path) -> Scoreboard:
        """Read systems, claims and tasks of a checkout.

        Raises:
            ConfigError: systems are not as they must be, or a claim is about none of them.
            ArtefactError: a claim is damaged, or its verdict is not what its figures say.
        """
        systems = read_systems(root)
        claims = [Claim.read(path) for path in sorted((root / RESULTS).glob("*.json"))]
        for claim in claims:
            if claim.system not in systems:
                raise ConfigError(
                    f"{RESULTS}/{claim.name}.json is about {claim.system!r}, which {SYSTEMS} lacks; add it there"
                )
        order = list(systems)
        claims.sort(key=lambda claim: (*_group(claim), order.index(claim.system), claim.name))
        summaries = task_summaries()
        return cls(systems, tuple(claims), {name: summaries[name] for name in task_files()})


def tasks_table(board: Scoreboard) -> str:
    """The tasks of ``evals``, as Markdown."""
    rows = [[link(f"`{name}`", f"{name}.py"), text] for name, text in board.tasks.items()]
    return markdown_table(["task", "what it asks"], rows)


def claims_tables(board: Scoreboard) -> str:
    """Every claim, grouped by data, with the commands and figures of the runs folded away, as Markdown."""
    groups: dict[tuple[str, str, str], list[Claim]] = {}
    for claim in board.claims:
        groups.setdefault(_group(claim), []).append(claim)
    parts = []
    for (data, fingerprint, task), claims in groups.items():
        parts.append(f"### {data}, `{task}`\n\nData {fingerprint}.")
        parts += [claims_table(claims, board.systems), runs_list(claims)]
    return "\n\n".join(parts) or NO_CLAIM


def papers_table(board: Scoreboard) -> str:
    """Systems with paper, file, tests and claims: the table of the README, as Markdown."""
    rows = []
    for key, entry in board.systems.items():
        claims = [
            f"{link(claim.claim, f'{RESULTS}/{claim.name}.json')}: **{claim.verdict}** ({claim.data['name']})"
            for claim in board.claims
            if claim.system == key
        ]
        tests = ", ".join(link(f"`{Path(test).name}`", test) for test in entry.tests)
        file = link(f"`{entry.file}`", entry.file)
        measured = "<br>".join(claims) or entry.unmeasured or NO_CLAIM
        rows.append([f"**{entry.name}**: {entry.what}", file, entry.source, f"{entry.proof} ({tests})", measured])
    return markdown_table(["what", "file", "source", "proved", "measured"], rows)


def sections(board: Scoreboard) -> dict[str, dict[str, str]]:
    """File -> marked section -> what it must hold."""
    return {
        BOARD: {TASKS: tasks_table(board), CLAIMS: claims_tables(board)},
        README: {PAPERS: papers_table(board)},
    }


def scoreboard_markdown(root: Path) -> str:
    """The whole of ``evals/README.md`` as it must be.

    Args:
        root: of the repository.

    Raises:
        AgentrecError: systems or claims are not as they must be, or the file lacks its markers.
    """
    text = (root / BOARD).read_text(encoding="utf-8")
    for section, content in sections(Scoreboard.read(root))[BOARD].items():
        text = replace_between(text, section, content)
    return text


def write_scoreboard(root: Path) -> list[str]:
    """Bring every generated section up to date, and name the files that changed.

    Raises:
        AgentrecError: systems or claims are not as they must be, or a file lacks its markers.
    """
    changed = []
    for file, contents in sections(Scoreboard.read(root)).items():
        written = [write_between_markers(root / file, section, content) for section, content in contents.items()]
        changed += [file] * any(written)
    return changed


def problems(root: Path) -> list[str]:
    """Whatever does not fit together, one sentence each: nothing, if the scoreboard is complete and fresh.

    Args:
        root: of the repository.
    """
    try:
        board = Scoreboard.read(root)
    except AgentrecError as error:
        return [str(error)]
    return [
        *absent_files(board.systems, root),
        *_unmeasured(board),
        *_absent_results(root),
        *_changed_rows(board, root),
        *_stale(board, root),
    ]


def rerun_lines(board: Scoreboard, only: str = "") -> Iterator[str]:
    """Shell lines that run every command once and record its claims again.

    Args:
        board: with the claims.
        only: take the claims whose file name contains this.
    """
    by_command: dict[str, list[Claim]] = {}
    for claim in board.claims:
        if only in claim.name:
            by_command.setdefault(claim.command, []).append(claim)
    for command, claims in by_command.items():
        yield command
        yield from map(record_line, claims)


def record_line(claim: Claim) -> str:
    """The command that records a claim from its result."""
    against = ["--against", claim.against] if claim.against is not None else ["--bar", str(claim.bar)]
    options = [
        *("--system", claim.system, "--label", claim.label, "--metric", claim.metric, *against),
        *("--claim", claim.claim, "--name", claim.name.rpartition("--")[2], "--command", claim.command),
    ]
    return shlex.join(["agentrec", "eval", "record", claim.result, *options])


def _group(claim: Claim) -> tuple[str, str, str]:
    return claim.data["name"], claim.data["fingerprint"], claim.task


def _unmeasured(board: Scoreboard) -> Iterator[str]:
    measured = {claim.system for claim in board.claims}
    for key, entry in board.systems.items():
        if key not in measured and not entry.unmeasured:
            yield f"{SYSTEMS}: {key!r} has no file in {RESULTS}; record one with `agentrec eval record`"
        if key in measured and entry.unmeasured:
            yield f"{SYSTEMS}: {key!r} has files in {RESULTS} and says why it has none; remove `unmeasured`"


def _absent_results(root: Path) -> Iterator[str]:
    for file in (BOARD, README):
        text = (root / file).read_text(encoding="utf-8") if (root / file).is_file() else ""
        for name in sorted(set(re.findall(r"\(\S*?results/([^)\s]+\.json)\)", text))):
            if not (root / RESULTS / name).is_file():
                yield f"{file} has a row for {RESULTS}/{name}, which does not exist; restore it: results stay"


def _changed_rows(board: Scoreboard, root: Path) -> Iterator[str]:
    for claim in board.claims:
        now = recipe_rows(claim.command, root)
        for row in sorted(now.keys() | claim.recipe_rows.keys()):
            if now.get(row) != claim.recipe_rows.get(row):
                yield (
                    f"{RESULTS}/{claim.name}.json rests on the recommender {row!r} of a recipe, which has changed or "
                    f"is gone; run and record it again, see `agentrec eval scoreboard --commands --only {claim.name}`"
                )


def _stale(board: Scoreboard, root: Path) -> Iterator[str]:
    for file, contents in sections(board).items():
        try:
            old = (root / file).read_text(encoding="utf-8")
            for section, content in contents.items():
                if replace_between(old, section, content) != old:
                    yield f"{file} is stale in {section!r}; run `agentrec eval scoreboard --write`"
        except FileNotFoundError:
            yield f"{file} does not exist; restore it"
        except AgentrecError as error:
            yield f"{file}: {error}"
