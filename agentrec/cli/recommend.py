"""``agentrec recommend``: a history goes in, real items come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentrec.cli.recommend_all import BatchOptions, check_all, only_with_all, recommend_to_all
from agentrec.cli.tables import print_table

if TYPE_CHECKING:
    from agentrec.core.types import Catalogue, Histories
    from agentrec.data.dataset import Dataset


def recommend(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    model: Annotated[Path, typer.Option(help="Folder of a trained recommender.")],
    data: Annotated[str, typer.Option(help="The data set it was trained on.")],
    user: Annotated[str | None, typer.Option(help="A user id of the data set.")] = None,
    title: Annotated[list[str] | None, typer.Option(help="An item title, oldest first; repeat it.")] = None,
    n: Annotated[int, typer.Option("-n", help="How many items.", min=1)] = 10,
    exclude_seen: Annotated[bool, typer.Option("--exclude-seen", help="Leave the history's items out.")] = False,
    items: Annotated[str | None, typer.Option(help="Items table, if the data set holds none.")] = None,
    users: Annotated[str | None, typer.Option(help="`all`: lists of every user, as Parquet files in --out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for --users all; a killed run goes on in it.")] = None,
    shard: Annotated[str, typer.Option(help="i/k: what the i-th of k processes writes, from 0.")] = "0/1",
    shard_size: Annotated[int, typer.Option(help="Users per file.", min=1)] = 2048,
    engine: Annotated[str | None, typer.Option(help="For --users all: tree, vllm or vllm-http.")] = None,
    vllm_url: Annotated[str | None, typer.Option(help="The vLLM server of --engine vllm-http, without /v1.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, on the last line.")] = False,
) -> None:
    """Recommend items to a user of the data set, for titles that you type, or to all users into Parquet files.

    Examples:

        agentrec recommend --model runs/generator --data runs/data --user user-7

        agentrec recommend --model runs/sasrec --data runs/data --title "tent" --title "boots" -n 5

        agentrec recommend --model runs/generator --data runs/data --users all --out runs/lists

        agentrec recommend --model runs/generator --data runs/data --users all --out runs/lists --shard 1/4
    """
    if users is not None or out is not None:
        single = user is not None or bool(title)
        check_all(users, out, single)
        options = BatchOptions(str(out), n, exclude_seen, shard, shard_size, engine, vllm_url)
        recommend_to_all(model, data, items, options, json_=json_)
        return
    if engine is not None or vllm_url is not None or shard != "0/1":
        only_with_all(engine=engine, vllm_url=vllm_url, shard=shard)
    from agentrec.data.load import load_dataset
    from agentrec.pipeline.run import in_words
    from agentrec.serving.load import load_recommender

    dataset = load_dataset(data, items=items)
    histories = _history(dataset, user, title or [])
    ranked = load_recommender(model, catalogue=dataset.catalogue).recommend(histories, n, exclude_seen=exclude_seen)
    found = in_words(dataset.catalogue, ranked.items[0], ranked.scores[0])
    history = [dataset.catalogue.titles[item] for item in histories[0]]
    if json_:
        ids = [dataset.catalogue.ids[item] for item in ranked.items[0] if item >= 0]
        rows = [{"item": item, "title": name, "score": score} for item, (name, score) in zip(ids, found, strict=True)]
        typer.echo(json.dumps({"user": user, "history": history, "recommendations": rows}, ensure_ascii=False))
        return
    print_recommendations(history, found)


def print_recommendations(history: list[str], found: list[tuple[str, float]], last: int = 10) -> None:
    """Show the latest titles of a history, then what is recommended."""
    shown = history[-last:]
    older = f" (the last {last} of {len(history)})" if len(history) > last else ""
    print_table(["", f"history{older}"], [[str(place), title] for place, title in enumerate(shown, 1)])
    print_table(
        ["", "recommended", "score"], [[str(k), title, f"{score:.3f}"] for k, (title, score) in enumerate(found, 1)]
    )


def _history(dataset: Dataset, user: str | None, titles: list[str]) -> Histories:
    """The history of a known user, or of typed titles."""
    from agentrec.core.errors import ConfigError, DataError
    from agentrec.core.types import Histories

    if (user is None) == (not titles):
        raise ConfigError("neither a user nor a title was given, or both were; expected either --user or --title")
    if user is None:
        return Histories.from_lists([[find_title(dataset.catalogue, title) for title in titles]])
    if user not in dataset.user_ids:
        raise DataError(
            f"user {user!r} is not in the data set; expected one of its {len(dataset.user_ids)} users, such as "
            f"{dataset.user_ids[0]!r}"
        )
    place = dataset.user_ids.index(user)
    histories = dataset.histories()
    return histories.take(histories.users == place)


def find_title(catalogue: Catalogue, typed: str) -> int:
    """The item that a typed title means: the same, else the only one, or the shortest, that contains it.

    Raises:
        DataError: nothing fits; the nearest titles are named.
    """
    import difflib

    from agentrec.core.errors import DataError

    wanted = typed.casefold().strip()
    titles = [title.casefold() for title in catalogue.titles]
    fitting = [item for item, title in enumerate(titles) if wanted and wanted in title]
    if fitting:
        return min(fitting, key=lambda item: (titles[item] != wanted, len(titles[item]), item))
    near = difflib.get_close_matches(wanted, titles, n=3, cutoff=0.3)
    names = ", ".join(repr(catalogue.titles[titles.index(title)]) for title in near) or repr(catalogue.titles[0])
    raise DataError(f"no item's title contains {typed!r}; expected a part of a title, the nearest being {names}")
