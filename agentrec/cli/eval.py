"""``agentrec eval``: list evaluation tasks, run one, compare results, and write reports again."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentrec.cli import scoreboard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrec.evaluation.result import Comparison, Result

app = typer.Typer(no_args_is_help=True, help="Evaluate recommenders on held-out data, with intervals and comparisons.")

RUN_HELP = """Run an evaluation task and print what it found.

Options of the task itself follow its name: `agentrec eval run next_item --help` lists them. Every system is measured
once per seed and kept in the store, so the same command again, or one with another system beside it, measures only
what is new; a killed run goes on where it stopped. Systems are given by --recommender, comma-separated: a method fitted
on the spot (popularity, transitions, sasrec), a folder of a saved recommender, hf:org/name, a predictions file (.csv or
.parquet with user, item, and rank or score), http://... of a service, python:module:name, or oracle (simulated shop).
Each may be labelled as label=...

Examples:

    agentrec eval run next_item --data shop --recommender popularity,transitions,oracle

    agentrec eval run next_item --data interactions.csv --recommender popularity,mine=predictions.csv --limit 2000

    agentrec eval run next_item --data DATA --recommender transitions,sasrec --seeds 3 --jobs 2 --json

    agentrec eval run inventory --policy or,adaptive --data families

Several machines: give the same command on each of them with a --store that all can reach. Several devices of one:
`accelerate launch --multi_gpu --num_processes 2 --no_python agentrec eval run ...`; on Ray, one
`ray job submit -- agentrec eval run ...` per worker. Work is divided by locks, and whoever comes last merges.
"""

Format = Literal["markdown", "html", "latex", "json"]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON, on the last line of stdout.")]


@app.command("list")
def list_tasks(json_: JsonFlag = False) -> None:
    """List the evaluation tasks.

    Example:

        agentrec eval list
    """
    from agentrec.evaluation.tasks import task_summaries

    summaries = task_summaries()
    if json_:
        typer.echo(json.dumps(summaries, sort_keys=True))
        return
    _print_table(["task", "what it asks"], [[name, summary] for name, summary in summaries.items()])


@app.command(
    "run",
    help=RUN_HELP,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def run_a_task(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(help="A task of `agentrec eval list`, or the path of its file.")] = None,
    seeds: Annotated[str, typer.Option(help="How many seeds (3), or which (0,1,5).")] = "1",
    store: Annotated[Path, typer.Option(help="Folder of everything measured.")] = Path("runs/evals"),
    out: Annotated[Path | None, typer.Option(help="Folder of the result; by default one inside the store.")] = None,
    jobs: Annotated[int, typer.Option(help="How many processes measure at once.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Also take earlier answers of services, which may have changed since.")
    ] = False,
    bootstrap: Annotated[int, typer.Option(help="How many times units are resampled for the intervals.")] = 1000,
    json_: JsonFlag = False,
    help_: Annotated[bool, typer.Option("--help", help="Show this message, or the options of the task.")] = False,
) -> None:
    """Run an evaluation task; the help text is `RUN_HELP`."""
    if task is None or help_:
        _print_help(context, task)
        return
    from agentrec.cli.options import parse_settings
    from agentrec.core.errors import ConfigError
    from agentrec.evaluation.merge import Resampling
    from agentrec.evaluation.run import Order, parse_seeds, run_task
    from agentrec.evaluation.tasks import load_task

    if task.startswith("-"):
        raise ConfigError(f"{task} stands before the task's name; expected `agentrec eval run <task> {task} ...`")
    command = f"agentrec eval run {task}"
    values = parse_settings(load_task(task).config, context.args, command=command, taken=_own_options(context))
    nonce = "" if resume else uuid.uuid4().hex
    order = Order(task, values, parse_seeds(seeds), store, nonce)
    result, folder = run_task(order, jobs=jobs, resampling=Resampling(bootstrap), out=out, progress=not json_, say=_say)
    if json_:
        content = {**result.to_json(), "folder": str(folder)}
        typer.echo(json.dumps(content, sort_keys=True, ensure_ascii=False))
    else:
        _print_result(result)
        typer.echo(f"report: {folder / 'report.html'}")
    if result.problems:
        raise typer.Exit(1)


def _own_options(context: typer.Context) -> set[str]:
    """Names of the options of the command itself, as settings would be called."""
    flags = (flag for parameter in context.command.params for flag in parameter.opts if flag.startswith("--"))
    return {flag.strip("-").replace("-", "_") for flag in flags}


def _print_help(context: typer.Context, task: str | None) -> None:
    typer.echo(context.get_help())
    if task is not None:
        from agentrec.cli.options import parser_of
        from agentrec.evaluation.tasks import load_task

        text = parser_of(load_task(task).config, command=f"agentrec eval run {task}").format_help()
        typer.echo(f"Options of {task}:\n\n{text.partition('options:')[2].strip(chr(10))}")


def _say(line: str) -> None:
    typer.echo(line, err=True)


@app.command("compare")
def compare_folders(
    first: Annotated[Path, typer.Argument(help="Folder of a result.")],
    second: Annotated[Path, typer.Argument(help="Folder of another result on the same data.")],
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    json_: JsonFlag = False,
) -> None:
    """Compare two results unit by unit: same names with each other, or all pairs.

    Example:

        agentrec eval compare runs/before runs/after
    """
    from dataclasses import asdict

    from agentrec.evaluation.compare import compare_results
    from agentrec.evaluation.merge import Resampling
    from agentrec.evaluation.result import Result

    labels = (str(first), str(second))
    found = compare_results(Result.load(first), Result.load(second), labels=labels, resampling=Resampling(seed=seed))
    if json_:
        content = {"num_units": found.num_units, "comparisons": [asdict(row) for row in found.comparisons]}
        typer.echo(json.dumps(content, sort_keys=True, ensure_ascii=False))
        return
    _print_comparisons(found.comparisons, f"{found.num_units:,} shared units")


@app.command("report")
def write_report(
    folder: Annotated[Path, typer.Argument(help="Folder of a result.")],
    format: Annotated[Format, typer.Option(help="What is printed.")] = "markdown",
    json_: JsonFlag = False,
) -> None:
    """Write the reports of a result again, and print one of them.

    Examples:

        agentrec eval report runs/evals/next_item-1a2b3c4d > report.md

        agentrec eval report runs/evals/next_item-1a2b3c4d --format latex
    """
    from agentrec.evaluation.report import to_html, to_latex, to_markdown, write_reports
    from agentrec.evaluation.result import Result

    result = Result.load(folder)
    write_reports(result, folder)
    if json_ or format == "json":
        typer.echo(json.dumps(result.to_json(), sort_keys=True, ensure_ascii=False))
        return
    typer.echo({"markdown": to_markdown, "latex": to_latex, "html": to_html}[format](result))


def _print_result(result: Result) -> None:
    from agentrec.evaluation.report import view_of

    view = view_of(result)
    typer.echo(view.purpose)
    rows = []
    for name in view.names:
        cells = [view.cells[name][metric] for metric in view.headline]
        shown = [_text(cell.mean, "bold green" if cell.best else "") for cell in cells]
        for text, cell in zip(shown, cells, strict=True):
            text.append(f"\n{cell.interval}" if cell.interval else "", "dim")
        rows.append([name, *shown])
    _print_table(["system", *view.headline], rows)
    if view.slices:
        table = view.slices[0]
        by_slice = [
            [part.value, *(found[name].mean if name in found else "" for name in view.names)]
            for part, found in table.rows
        ]
        _print_table([table.column, *view.names], by_slice, f"{table.metric} by {table.column}")
    if result.comparisons:
        _print_comparisons(result.comparisons, "pairwise, same units")
    for problem in result.problems:
        typer.echo(f"problem: {problem}", err=True)


def _print_comparisons(comparisons: Sequence[Comparison], title: str) -> None:
    from agentrec.evaluation.report import describe_comparison

    rows = [describe_comparison(row) for row in comparisons]
    columns = ("metric", "pair", "difference", "interval", "p", "verdict")
    _print_table(columns, [[row[column] for column in columns] for row in rows], title)


def _text(content: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(content, style)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title or None, title_justify="left")
    for row in rows:
        table.add_row(*(_text(cell) if isinstance(cell, str) else cell for cell in row))
    Console().print(table)


scoreboard.register(app)
