"""``agentrec sids compare``: several semantic IDs of one catalogue beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from agentrec.pipeline.sid_compare.compare import Comparing

FILE_WIDTH = 140  # of a table that goes to a file or another program

Data = Annotated[str, typer.Option(help="Data set: a folder or a file, or 'shop'.")]
Out = Annotated[Path, typer.Option(help="Folder to write; what it holds of an earlier comparison is taken up.")]
Items = Annotated[str | None, typer.Option(help="Items table, where the data set does not hold its own.")]
Sids = Annotated[str, typer.Option(help="Comma-separated folders or index files of IDs, as name=path or path.")]
Published = Annotated[Path | None, typer.Option(help="Folder of index files: all of them.")]
All = Annotated[bool, typer.Option("--all", help="Fit every quantiser there is.")]
Quantisers = Annotated[str, typer.Option(help="Comma-separated quantisers to fit.")]
Vectors = Annotated[str, typer.Option(help="Item vectors to fit on and to judge by; as for fit.")]
Levels = Annotated[int | None, typer.Option(help="Codes per item; default: as the imported IDs have.")]
Size = Annotated[int | None, typer.Option(help="Codes per level; default: as the imported IDs have.")]
Collisions = Annotated[str, typer.Option(help="Comma-separated policies; each makes IDs of its own.")]
Near = Annotated[Literal["euclidean", "cosine"], typer.Option(help="What makes neighbours near.")]
Seed = Annotated[int, typer.Option(help="Seed of vectors, quantisers and draws.")]
Further = Annotated[bool, typer.Option("--downstream", help="Train and evaluate a generator on each: takes long.")]
Seeds = Annotated[str, typer.Option(help="Of the generator: how many (3), or which (0,1,5).")]
Reference = Annotated[str | None, typer.Option(help="IDs to compare with; default: the first imported ones.")]
Model = Annotated[str, typer.Option(help="The generator: a preset, a hub name or a folder.")]
Epochs = Annotated[float | None, typer.Option(help="Of its training; default: as of train sft.")]
Limit = Annotated[int | None, typer.Option(help="Evaluate it on at most so many users.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON, on the last line of stdout.")]


def compare_ids(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    data: Data,
    out: Out = Path("runs/sids_compare"),
    items: Items = None,
    sids: Sids = "",
    published: Published = None,
    all_: All = False,
    quantisers: Quantisers = "",
    vectors: Vectors = "tfidf_svd",
    levels: Levels = None,
    codebook_size: Size = None,
    collisions: Collisions = "append",
    metric: Near = "euclidean",
    seed: Seed = 0,
    downstream: Further = False,
    seeds: Seeds = "3",
    reference: Reference = None,
    model: Model = "qwen3-tiny",
    epochs: Epochs = None,
    limit: Limit = None,
    json_: JsonFlag = False,
) -> None:
    """Rank several semantic IDs of one catalogue, on the same vectors and, on demand, under the same generator.

    Writes compare.json, compare.csv and compare.html. IDs that cannot be read or fitted get a row with the reason.

    Examples:

        agentrec sids compare --data DATA --published PUBLISHED --all

        agentrec sids compare --data DATA --sids mine=runs/sids,other=index.json --downstream --seeds 3
    """
    from agentrec.evaluation.run import parse_seeds
    from agentrec.pipeline.semantic_ids import REGISTRY
    from agentrec.pipeline.sid_compare.downstream import Training
    from agentrec.pipeline.sid_compare.entries import named_sources
    from agentrec.pipeline.sid_compare.run import Wanted, run_compare

    wanted = Wanted(
        data=data,
        out=out,
        items=items,
        sources=named_sources(sids, published),
        quantisers=REGISTRY.names() if all_ else _words(quantisers),
        vectors=vectors,
        num_levels=levels,
        codebook_size=codebook_size,
        collisions=tuple(_words(collisions)),
        metric=metric,
        seed=seed,
        training=Training(model, epochs, parse_seeds(seeds), limit) if downstream else None,
        reference=reference,
    )
    found, page = run_compare(wanted, progress=not json_, say=lambda line: typer.echo(line, err=True))
    if json_:
        typer.echo(json.dumps({**found.to_json(), "folder": str(out)}, sort_keys=True, ensure_ascii=False))
        return
    _print(found)
    typer.echo(f"report: {page}")


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _print(found: Comparing) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from agentrec.cli.tables import print_table
    from agentrec.pipeline.sid_compare.page import differences
    from agentrec.pipeline.sid_compare.view import ranking

    ranked = ranking(found)
    heads = [Column("semantic IDs", no_wrap=True), *(Column(head, overflow="fold") for head in ranked.heads)]
    table = Table(*heads, title="best first; * the best of a column", title_justify="left")
    for name, cells in ranked.rows:
        table.add_row(name, *(cell.text + ("*" if cell.best else "") for cell in cells))
    console = Console()
    (console if console.is_terminal else Console(width=FILE_WIDTH)).print(table)
    if compared := differences(found):
        columns = ("pair", "difference", "interval", "p", "verdict")
        print_table(columns, [[row[column] for column in columns] for row in compared], "NDCG@10, same users")
    for row in found.rows:
        if row.entry.error:
            typer.echo(f"not measured: {row.entry.name}: {row.entry.error}")


def register(app: typer.Typer) -> None:
    """Add the command to ``agentrec sids``."""
    app.command("compare")(compare_ids)
