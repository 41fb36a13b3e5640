"""``agentrec eval record`` and ``agentrec eval scoreboard``: claims with their evidence, and their tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

RECORD_HELP = """Record a claim of a saved result in evals/results, with its figures and the verdict by rule.

The claim is that one system of the result is ahead of another (--against), or that a metric keeps to a bar (--bar).
It holds, fails or is flat; whichever it is, it is recorded.

Examples:

    agentrec eval record runs/claims/shop --system sasrec --against transitions --metric ndcg@10 --command 'agentrec
    eval run next_item --data shop --recommender transitions,sasrec --seeds 3 --out runs/claims/shop'

    agentrec eval record runs/claims/ids --system beam_search --label generator --metric valid --bar '= 1'
    --command '...'
"""

Root = Annotated[Path | None, typer.Option(help="Checkout of the repository; default: the one that runs.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, on the last line of stdout.")]


def record_claim(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    folder: Annotated[Path, typer.Argument(help="Folder of a result, inside the repository.")],
    system: Annotated[str, typer.Option(help="Key in evals/systems.yaml.")],
    metric: Annotated[str, typer.Option(help="Metric that decides.")],
    command: Annotated[str, typer.Option(help="What gives the result again; data as $AGENTREC_DATA/...")],
    against: Annotated[str | None, typer.Option(help="System of the result to be ahead of.")] = None,
    bar: Annotated[str | None, typer.Option(help="Or a fixed value: '>= 0.99', '<= 0.1' or '= 1'.")] = None,
    label: Annotated[str, typer.Option(help="What the result calls the system; default: its key.")] = "",
    claim: Annotated[str, typer.Option(help="In words; default: that it is ahead.")] = "",
    name: Annotated[str, typer.Option(help="End of the file's name; default: from label, opponent and metric.")] = "",
    root: Root = None,
    json_: JsonFlag = False,
) -> None:
    """Record a claim; the help text is `RECORD_HELP`."""
    from agentrec.evaluation.scoreboard.claim import Claim
    from agentrec.evaluation.scoreboard.record import Wanted, record
    from agentrec.evaluation.scoreboard.verdict import Bar

    parsed = None if bar is None else Bar.parse(bar)
    wanted = Wanted(system, metric, command, against=against, bar=parsed, label=label, claim=claim, name=name)
    path = record(folder, wanted, root or checkout())
    made = Claim.read(path)
    if json_:
        typer.echo(json.dumps({**made.to_json(), "file": str(path)}, sort_keys=True, ensure_ascii=False))
        return
    typer.echo(f"{made.claim}: {made.verdict}; written to {path}")


def show_scoreboard(
    check: Annotated[bool, typer.Option("--check", help="Say what does not fit together; exit code 1 if any.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Bring evals/README.md and README.md up to date.")] = False,
    commands: Annotated[bool, typer.Option("--commands", help="Print what makes every claim again.")] = False,
    only: Annotated[str, typer.Option(help="With --commands: claims whose file name contains this.")] = "",
    root: Root = None,
) -> None:
    """Print the scoreboard, or check it, write it, or list the commands behind it.

    Examples:

        agentrec eval scoreboard

        agentrec eval scoreboard --check

        agentrec eval scoreboard --commands --only shop
    """
    from agentrec.core.errors import ConfigError
    from agentrec.evaluation.scoreboard.board import (
        Scoreboard,
        problems,
        rerun_lines,
        scoreboard_markdown,
        write_scoreboard,
    )

    if check + write + commands > 1:
        raise ConfigError("--check, --write and --commands exclude each other; expected one of them, or none to print")
    root = root or checkout()
    if check:
        found = problems(root)
        for problem in found:
            typer.echo(f"problem: {problem}", err=True)
        typer.echo("the scoreboard is complete and fresh" if not found else f"{len(found)} problems")
        raise typer.Exit(1 if found else 0)
    if write:
        changed = write_scoreboard(root)
        typer.echo(f"written: {', '.join(changed)}" if changed else "nothing to do, the scoreboard is fresh")
    elif commands:
        for line in rerun_lines(Scoreboard.read(root), only):
            typer.echo(line)
    else:
        typer.echo(scoreboard_markdown(root), nl=False)


def register(app: typer.Typer) -> None:
    """Add both verbs to ``agentrec eval``."""
    app.command("record", help=RECORD_HELP)(record_claim)
    app.command("scoreboard")(show_scoreboard)


def checkout() -> Path:
    """The repository that this package lies in.

    Raises:
        ConfigError: it was installed without one.
    """
    from agentrec.core.errors import ConfigError
    from agentrec.core.resources import resource_folder
    from agentrec.evaluation.scoreboard.systems import SYSTEMS

    root = resource_folder("evals").parent
    if not (root / SYSTEMS).is_file() or not (root / "pyproject.toml").is_file():
        raise ConfigError(
            f"{root} is no checkout of the repository; the scoreboard lives in one, so clone it or name it by --root"
        )
    return root
