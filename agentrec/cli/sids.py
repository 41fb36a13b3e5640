"""``agentrec sids``: fit semantic IDs by item texts, extend, import, export, report and compare them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from agentrec.cli import sids_compare

app = typer.Typer(
    no_args_is_help=True, help="Semantic IDs: fit them by item texts, extend, import, export, report, compare."
)

Data = Annotated[str, typer.Option(help="Data set: a folder or a file, or 'shop'.")]
Out = Annotated[Path, typer.Option(help="Folder to write; one of that name is replaced.")]
Sids = Annotated[Path, typer.Option(help="Folder of semantic IDs, as written by fit or import.")]
Settings = Annotated[
    list[str] | None, typer.Option(help="A setting of the collision policy, as name=value; repeat it.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON, on the last line of stdout.")]


@app.command("fit")
def fit_ids(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    data: Data,
    out: Out,
    vectors: Annotated[
        str, typer.Option(help="tfidf_svd, or the hub name or folder of a sentence-transformers model.")
    ] = "tfidf_svd",
    quantiser: Annotated[str, typer.Option(help="Method that turns vectors into codes.")] = "rq_kmeans",
    levels: Annotated[int, typer.Option(help="Codes per item, before colliding items are told apart.")] = 3,
    codebook_size: Annotated[
        int | None, typer.Option(help="Codes per level; default: by size of the catalogue.")
    ] = None,
    text_column: Annotated[list[str] | None, typer.Option(help="Text column to read; repeat it; default: all.")] = None,
    collisions: Annotated[
        str, typer.Option(help="Items that share all codes: append, next_best, zero_collision, sinkhorn or hash.")
    ] = "append",
    collision_set: Settings = None,
    collaborative: Annotated[
        str,
        typer.Option(
            help="Fuse texts with who buys what with what, by every user's items but the last two: none, concat, "
            "aligned or smooth."
        ),
    ] = "none",
    seed: Annotated[int, typer.Option(help="Seed of vectors and quantiser.")] = 0,
    json_: JsonFlag = False,
) -> None:
    """Give every item of a data set a semantic ID, by its text, and by training histories where they are asked for.

    Writes the vocabulary, the quantiser, what made the item vectors, health.json and index.json.

    Example:

        agentrec sids fit --data DATA --out runs/sids
    """
    from agentrec.data.load import load_dataset
    from agentrec.data.split import leave_one_out
    from agentrec.pipeline.semantic_ids import fit_semantic_ids

    dataset = load_dataset(data)
    found = fit_semantic_ids(
        dataset,
        vectors=vectors,
        quantiser=quantiser,
        num_levels=levels,
        codebook_size=codebook_size,
        text_columns=text_column,
        collisions=collisions,
        collaborative=collaborative,
        split=None if collaborative == "none" else leave_one_out(dataset),
        seed=seed,
        progress=not json_,
        settings={"collisions": _pairs(collision_set)},
    )
    found.save(out)
    _print(_summary(found.vocabulary, found.health, out), json_)


@app.command("extend")
def extend_ids(  # noqa: PLR0917 - one parameter per option; typer passes them by name
    sids: Sids,
    data: Data,
    out: Out,
    collisions: Annotated[
        str | None, typer.Option(help="Policy for new items that collide; default: the one of fit.")
    ] = None,
    collision_set: Settings = None,
    remove: Annotated[bool, typer.Option("--remove", help="Free the IDs of items that the data lacks.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Give the new items of a data set semantic IDs; no other item's ID changes.

    Example:

        agentrec sids extend --sids runs/sids --data DATA --out runs/sids2
    """
    from agentrec.data.load import load_dataset
    from agentrec.pipeline.extend import extend_semantic_ids

    found = extend_semantic_ids(
        sids,
        load_dataset(data),
        collisions=collisions,
        settings=_pairs(collision_set) if collision_set else None,
        missing="remove" if remove else "error",
    )
    found.save(out)
    step = found.vocabulary.provenance["extended"][-1]
    _print({**_summary(found.vocabulary, found.health, out), "new": step["new"], "removed": step["removed"]}, json_)


@app.command("import")
def import_ids(
    data: Data,
    index: Annotated[Path, typer.Option(help="index.json of LETTER, LC-Rec, MiniOneRec or this tool.")],
    out: Out,
    collisions: Annotated[str, typer.Option(help="Items that share all codes: append a level, or error.")] = "append",
    json_: JsonFlag = False,
) -> None:
    """Take over semantic IDs from an index.json, for the items of a data set.

    Example:

        agentrec sids import --data DATA --index index.json --out runs/sids
    """
    from agentrec.core.errors import ConfigError
    from agentrec.data.load import load_dataset
    from agentrec.pipeline.semantic_ids import import_semantic_ids, report_semantic_ids

    if collisions not in ("append", "error"):
        raise ConfigError(f"option --collisions is {collisions!r}; expected append or error")
    dataset = load_dataset(data)
    vocabulary = import_semantic_ids(dataset, index, collisions="append" if collisions == "append" else "error")
    vocabulary.save_pretrained(out)
    _print(_summary(vocabulary, report_semantic_ids(vocabulary), out), json_)


@app.command("export")
def export_ids(
    sids: Sids,
    out: Annotated[Path, typer.Option(help="JSON file to write; one of that name is replaced.")],
    json_: JsonFlag = False,
) -> None:
    """Write semantic IDs as an index.json, one list of tokens per item id.

    Example:

        agentrec sids export --sids runs/sids --out index.json
    """
    from agentrec.semantic_ids.index_json import write_index
    from agentrec.semantic_ids.vocabulary import SIDVocabulary

    vocabulary = SIDVocabulary.from_pretrained(sids)
    write_index(vocabulary, out)
    _print({"items": vocabulary.num_items, "levels": vocabulary.num_levels, "out": str(out)}, json_)


@app.command("report")
def report_ids(
    sids: Sids,
    data: Annotated[str | None, typer.Option(help="Their data set, for names, neighbours and categories.")] = None,
    items: Annotated[Path | None, typer.Option(help="Items table, where the data set does not hold its own.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: report/ in that of the IDs.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Report use of codes, collisions and, with the data set, what items with the same codes have in common.

    Writes health.json and report.html, a page with a tree map that says in words what the codes mean.

    Example:

        agentrec sids report --sids runs/sids --data DATA
    """
    from agentrec.data.load import load_dataset
    from agentrec.pipeline.semantic_ids import load_quantiser, load_text_encoder
    from agentrec.pipeline.sid_report.report import describe
    from agentrec.semantic_ids.vocabulary import SIDVocabulary

    vocabulary = SIDVocabulary.from_pretrained(sids)
    dataset = None if data is None else load_dataset(data, items=items)
    report = describe(vocabulary, dataset, load_quantiser(sids), load_text_encoder(sids))
    page = report.write(sids / "report" if out is None else out)
    _print({**_summary(vocabulary, report.health, sids), "report": str(page)}, json_)


def _pairs(values: list[str] | None) -> dict[str, Any]:
    """Options ``name=value``, values as in YAML."""
    from agentrec.core.config import parse_yaml
    from agentrec.core.errors import ConfigError

    pairs = [value.partition("=") for value in values or []]
    if bad := next(("".join(pair) for pair in pairs if not (pair[0] and pair[1])), None):
        raise ConfigError(f"option --collision-set is {bad!r}; expected name=value")
    return {name: parse_yaml(value) for name, _, value in pairs}


def _summary(vocabulary: Any, health: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What is printed: the health report, the level sizes and an example."""
    shape = {"level_sizes": list(vocabulary.level_sizes), "example": vocabulary.text(0), "folder": str(folder)}
    return {**health, **shape}


def _print(content: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(content, sort_keys=True, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    for name, value in content.items():
        if not isinstance(value, dict) and name != "levels":
            console.print(f"{name.replace('_', ' ')}: {_text(value)}", markup=False, highlight=False)
    for line in _against_chance(content):
        console.print(line, markup=False, highlight=False)
    if isinstance(content.get("resolution"), dict):
        console.print(_resolution(content["resolution"]), markup=False, highlight=False)
    if isinstance(content.get("levels"), list):
        table = Table("level", *content["levels"][0])
        for number, level in enumerate(content["levels"], 1):
            table.add_row(str(number), *map(_text, level.values()))
        console.print(table)


def _against_chance(content: dict[str, Any]) -> Iterator[str]:
    """Lines about what items that share codes have in common."""
    if (error := content.get("additive_error")) is not None:
        yield f"error of means: {error['relative_error']:.3f} (by chance {error['chance']:.3f})"
    for kind, what, key in (
        ("neighbours", "neighbours with the same", "shared"),
        ("categories", "items of the majority category by", "majority"),
    ):
        for row in (content.get(kind) or {}).get("prefixes", ()):
            codes = "first code" if row["length"] == 1 else f"first {row['length']} codes"
            chance = row["chance"] if key == "shared" else row[f"{key}_chance"]
            yield f"{what} {codes}: {row[key]:.1%} (by chance {chance:.1%})"


def _resolution(found: dict[str, Any]) -> str:
    """One line about telling colliding items apart."""
    error = found["relative_error"]
    change = "" if error is None else f"; relative error {error['before']:.3f} before, {error['after']:.3f} after"
    return f"collisions by {found['policy']}: {found['moved']} of {found['colliding']} colliding items moved{change}"


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


sids_compare.register(app)
