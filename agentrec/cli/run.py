"""``agentrec run``: a whole recipe, from data to report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agentrec.cli.recommend import print_recommendations
from agentrec.cli.tables import print_table

METRICS = ("recall@10", "ndcg@10")


def run(  # noqa: PLR0917 - one parameter per option; typer passes them by name
    recipe: Annotated[str, typer.Argument(help="A recipe of `agentrec list`, or the path of a .yaml file.")],
    interactions: Annotated[str | None, typer.Option(help="Your interactions instead of the recipe's data.")] = None,
    items: Annotated[str | None, typer.Option(help="Your items table.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of everything; default: runs/<recipe>.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON, on the last line.")] = False,
) -> None:
    """Run a recipe: load data, make semantic IDs, train, evaluate, report, recommend.

    Steps that are done are kept; a killed run goes on when the same command is given again.

    Examples:

        agentrec run quickstart

        agentrec run quickstart --interactions ratings.csv --items movies.csv --out runs/movies
    """
    from dataclasses import replace

    from agentrec.core.errors import ConfigError
    from agentrec.pipeline.recipe import read_recipe
    from agentrec.pipeline.run import run_recipe

    chosen = read_recipe(recipe)
    if interactions is not None:
        chosen = chosen.on(interactions, items)
    elif items is not None:
        raise ConfigError(
            "--items was given without --interactions; expected both, or neither for the recipe's own data"
        )
    if seed is not None:
        chosen = replace(chosen, seed=seed)
    folder = out or Path("runs") / Path(recipe).stem
    outcome = run_recipe(chosen, folder, progress=True, say=lambda line: typer.echo(line, err=True))
    if json_:
        typer.echo(json.dumps(outcome.result.to_json(), sort_keys=True, ensure_ascii=False))
        return
    rows = []
    for name, metrics in outcome.result.systems.items():
        cells = [f"{metrics[m].mean:.4f}  [{metrics[m].low:.4f}, {metrics[m].high:.4f}]" for m in METRICS]
        rows.append([name, *cells])
    print_table(["recommender", *METRICS], rows, title="full catalogue, 95 % intervals over users")
    if outcome.shown is not None:
        typer.echo(f"{chosen.show.recommender} recommends to user {outcome.shown.user}:")
        print_recommendations(outcome.shown.history, outcome.shown.recommended)
    typer.echo(f"report: {outcome.report}")
