"""``agentrec eval``: list evaluation tasks, run one, compare results, and write reports again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrec.evaluation.result import Comparison, Result

app = typer.Typer(no_args_is_help=True, help="Evaluate recommenders on held-out data, with intervals and comparisons.")

RUN_EXAMPLES = """Run an evaluation task and print its metrics.

Recommenders are given as a comma-separated list of: the folder of a saved recommender; the name of a method that is
fitted on the spot (popularity, transitions); a predictions file (.csv or .parquet with user, item, and rank or score);
'oracle' on the simulated shop. Each may get a label as label=...

Examples:

    agentrec eval run next_item --data shop --recommenders popularity,transitions,oracle --out runs/eval

    agentrec eval run next_item --data DATA --recommenders popularity,mine=runs/model --limit 2000 --json
"""

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


@app.command("run", help=RUN_EXAMPLES)
def run_task(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    task: Annotated[str, typer.Argument(help="A task of `agentrec eval list`, or the path of its .py file.")],
    data: Annotated[str, typer.Option(help="Data set: a folder or file, or the name of a preset.")],
    recommenders: Annotated[str, typer.Option(help="What to evaluate, comma-separated; see above.")],
    out: Annotated[Path | None, typer.Option(help="Folder for result.json, the report and ranks per user.")] = None,
    items: Annotated[str | None, typer.Option(help="Items table, if the data set holds none.")] = None,
    part: Annotated[str, typer.Option(help="Held-out part: test or validation.")] = "test",
    exclude_seen: Annotated[bool, typer.Option("--exclude-seen", help="Leave the user's own items out.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and of --limit.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Evaluate at most so many users.")] = None,
    bootstrap: Annotated[int, typer.Option(help="How many times users are resampled.")] = 1000,
    missing: Annotated[str, typer.Option(help="Users absent from a predictions file: error or miss.")] = "error",
    json_: JsonFlag = False,
) -> None:
    """Run an evaluation task; the help text is `RUN_EXAMPLES`."""
    from agentrec.core.config import from_mapping
    from agentrec.evaluation.tasks import load_task

    values = {
        "data": data,
        "recommenders": recommenders,
        "items": items,
        "part": part,
        "exclude_seen": exclude_seen,
        "seed": seed,
        "limit": limit,
        "bootstrap": bootstrap,
        "missing": missing,
    }
    module = load_task(task)
    result: Result = module.run(from_mapping(module.Config, values), progress=True)
    if out is not None:
        result.save(out)
    if json_:
        typer.echo(json.dumps(result.to_json(), sort_keys=True, ensure_ascii=False))
        return
    _print_result(result)
    if out is not None:
        typer.echo(f"report: {out / 'report.html'}")


@app.command("compare")
def compare_folders(
    first: Annotated[Path, typer.Argument(help="Folder of a result.")],
    second: Annotated[Path, typer.Argument(help="Folder of another result on the same data.")],
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    json_: JsonFlag = False,
) -> None:
    """Compare two results user by user: same names with each other, or all pairs.

    Example:

        agentrec eval compare runs/before runs/after
    """
    from dataclasses import asdict

    from agentrec.evaluation.compare import compare_results
    from agentrec.evaluation.result import Result

    found = compare_results(Result.load(first), Result.load(second), labels=(str(first), str(second)), seed=seed)
    if json_:
        content = {"num_users": found.num_users, "comparisons": [asdict(row) for row in found.comparisons]}
        typer.echo(json.dumps(content, sort_keys=True, ensure_ascii=False))
        return
    _print_comparisons(found.comparisons, f"{found.num_users:,} shared users")


@app.command("report")
def write_report(folder: Annotated[Path, typer.Argument(help="Folder of a result.")], json_: JsonFlag = False) -> None:
    """Write report.md and report.html of a result again, and print the Markdown.

    Example:

        agentrec eval report runs/eval > report.md
    """
    from agentrec.evaluation.report import to_markdown
    from agentrec.evaluation.result import Result

    result = Result.load(folder)
    result.save(folder)
    typer.echo(json.dumps(result.to_json(), sort_keys=True, ensure_ascii=False) if json_ else to_markdown(result))


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
    _print_table(["recommender", *view.headline], rows)
    if result.comparisons:
        _print_comparisons(result.comparisons, "pairwise, same users")


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
