"""``agentrec data``: prepare a data set from files, simulate a shop, look at data, list public data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agentrec.data.dataset import Dataset

app = typer.Typer(no_args_is_help=True, help="Data sets: prepare your own, simulate a shop, show, list public ones.")

PREPARE_HELP = """Read interactions and items, check them, and write a data set.

SOURCE is a folder with interactions.csv and items.csv, a RecBole or MovieLens folder, a CSV, Parquet, .inter or Amazon
JSON-lines file, a name of `agentrec data names`, or shop. Columns with usual names (user_id, item_id, timestamp, order,
rating, title, ...) are recognised; options name others.

Examples:

    agentrec data prepare --interactions clicks.csv --items products.csv --out data/mine

    agentrec data prepare clicks.parquet --user-column who --item-column what --order-column step --out data/mine

    agentrec data prepare reviews_Toys_5.json.gz --items meta_Toys.json.gz --min-user 5 --min-item 5 --out data/toys

    agentrec data prepare movielens-100k --out data/ml-100k
"""

Out = Annotated[Path, typer.Option(help="Folder to write; one of that name is replaced.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON, on the last line of stdout.")]


@app.command("prepare", help=PREPARE_HELP)
def prepare(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    out: Out,
    source: Annotated[str | None, typer.Argument(help="What to read; see above.")] = None,
    interactions: Annotated[str | None, typer.Option(help="The same as SOURCE.")] = None,
    items: Annotated[Path | None, typer.Option(help="Items table or metadata.")] = None,
    format: Annotated[str, typer.Option(help="auto, table, recbole, movielens, amazon, saved or named.")] = "auto",
    user_column: Annotated[str | None, typer.Option(help="Column of user ids.")] = None,
    item_column: Annotated[str | None, typer.Option(help="Column of item ids, in both tables.")] = None,
    timestamp_column: Annotated[str | None, typer.Option(help="Column of times: numbers or ISO dates.")] = None,
    order_column: Annotated[str | None, typer.Option(help="Column of whole numbers that order a user's rows.")] = None,
    rating_column: Annotated[str | None, typer.Option(help="Column of ratings; '' ignores ratings.")] = None,
    title_column: Annotated[str | None, typer.Option(help="Column of titles in the items table.")] = None,
    text_columns: Annotated[str | None, typer.Option(help="Item columns to keep, comma-separated.")] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of text tables, for example latin-1.")] = "utf-8",
    duplicates: Annotated[str, typer.Option(help="Rows that repeat user, item and time: error or drop.")] = "error",
    min_user: Annotated[int, typer.Option(help="Drop users with fewer interactions, repeatedly.")] = 0,
    min_item: Annotated[int, typer.Option(help="Drop items with fewer interactions, repeatedly.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the data set in reports.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Read, check and write a data set; the help text is `PREPARE_HELP`."""
    from agentrec.core.provenance import versions
    from agentrec.data.kcore import k_core
    from agentrec.data.load import load_dataset

    chosen = _one_source(source, interactions)
    named = {
        "user": user_column, "item": item_column, "timestamp": timestamp_column, "order": order_column,
        "rating": rating_column, "title": title_column, "texts": text_columns,
    }  # fmt: skip
    columns = {role: column for role, column in named.items() if column is not None}
    dataset = load_dataset(
        chosen,
        items=items,
        format=format,  # type: ignore[arg-type]  # load_dataset answers with those that exist
        columns=columns or None,
        duplicates=duplicates,  # type: ignore[arg-type]
        name=name,
        encoding=encoding,
        progress=not json_,
    )
    if min_user or min_item:
        dataset = k_core(dataset, min_user=min_user, min_item=min_item)
    dataset.stamp({**dataset.provenance, "source": chosen, "versions": versions()})
    dataset.save_pretrained(out)
    _print_summary({**dataset.summary(), "out": str(out)}, json_)


@app.command("shop")
def simulate(
    out: Out,
    users: Annotated[int, typer.Option(help="How many users.")] = 2000,
    items: Annotated[int, typer.Option(help="How many items.")] = 600,
    seed: Annotated[int, typer.Option(help="Another seed is another shop.")] = 0,
    json_: JsonFlag = False,
) -> None:
    """Simulate a shop with a known truth, and write its data set.

    The summary ends with the scores that nobody can beat on the held-out test items: those of an oracle that knows
    every user's taste.

    Example:

        agentrec data shop --users 2000 --items 600 --out data/shop
    """
    from agentrec.data.shop import Shop, ShopConfig
    from agentrec.data.split import leave_one_out

    shop = Shop.generate(ShopConfig(num_users=users, num_items=items, seed=seed))
    best = shop.best_scores(leave_one_out(shop.dataset).reveal("test"), (10,))
    shop.dataset.save_pretrained(out)
    _print_summary(
        {**shop.dataset.summary(), **{f"best_{key}": value for key, value in best.items()}, "out": str(out)}, json_
    )


@app.command("show")
def show(
    data: Annotated[str, typer.Argument(help="Data set: a folder or file, a public name, or shop.")],
    users: Annotated[int, typer.Option(min=0, help="Example histories to show.")] = 3,
    length: Annotated[int, typer.Option(min=1, help="Items per history, the latest ones.")] = 8,
    json_: JsonFlag = False,
) -> None:
    """Show what a data set holds: counts, and some histories with titles.

    Examples:

        agentrec data show data/mine

        agentrec data show shop --users 5 --json
    """
    from agentrec.data.load import load_dataset

    dataset = load_dataset(data, progress=not json_)
    examples = [_example(dataset, user, length) for user in range(min(users, dataset.num_users))]
    if json_:
        typer.echo(json.dumps({"summary": dataset.summary(), "examples": examples}, sort_keys=True, ensure_ascii=False))
        return
    _print_summary(dataset.summary(), json_)
    from agentrec.cli.tables import print_table

    for example in examples:
        rows = [(item["id"], item["title"]) for item in example["items"]]
        of = f"user {example['user']}: latest {len(rows)} of {example['length']} items, oldest first"
        print_table(["item", "title"], rows, of)


@app.command("names")
def names(json_: JsonFlag = False) -> None:
    """List the public data sets that can be fetched by name, and the simulated shop.

    Copies are kept under $AGENTREC_CACHE, or ~/.cache/agentrec.

    Example:

        agentrec data names
    """
    from agentrec.data.download import SOURCES

    found = {name: source.summary for name, source in SOURCES.items()} | {
        "shop": "the simulated shop; nothing to fetch"
    }
    if json_:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    from agentrec.cli.tables import print_table

    print_table(["name", "what it is"], found.items())


def _one_source(source: str | None, interactions: str | None) -> str:
    from agentrec.core.errors import ConfigError

    given = [value for value in (source, interactions) if value]
    if len(given) != 1:
        raise ConfigError(
            f"{len(given)} sources are given; expected exactly one, as SOURCE or as --interactions (see `agentrec data "
            "prepare --help`)"
        )
    return given[0]


def _example(dataset: Dataset, user: int, length: int) -> dict[str, Any]:
    history = dataset.histories()[user].tolist()
    titles = dataset.catalogue.titles
    items = [{"id": dataset.catalogue.ids[item], "title": titles[item]} for item in history[-length:]]
    return {"user": dataset.user_ids[user], "length": len(history), "items": items}


def _print_summary(summary: dict[str, Any], json_: bool) -> None:
    if json_:
        typer.echo(json.dumps(summary, sort_keys=True, ensure_ascii=False))
        return
    from agentrec.cli.tables import print_table

    print_table(["property", "value"], [(key.replace("_", " "), _shown(value)) for key, value in summary.items()])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
