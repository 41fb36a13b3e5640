"""``agentrec sids`` end to end on a small data folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from agentrec.cli.sids import app
from agentrec.core.errors import ArtefactError, ConfigError, DataError
from agentrec.semantic_ids.vocabulary import SIDVocabulary

KINDS = ["hat", "shoe", "scarf", "hammer", "drill", "lamp"]
COLOURS = ["red", "blue", "green", "black", "white"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sixty items in twin pairs (the same title twice), three users."""
    titles = [f"{colour} {kind}" for kind in KINDS for colour in COLOURS for _ in range(2)]
    folder = tmp_path / "data"
    folder.mkdir()
    items = "\n".join(f"i{item},{title}" for item, title in enumerate(titles))
    (folder / "items.csv").write_text(f"item_id,title\n{items}\n", encoding="utf-8")
    rows = "\n".join(f"u{user},i{(7 * user + 5 * order) % 60},{order}" for user in range(3) for order in range(40))
    (folder / "interactions.csv").write_text(f"user_id,item_id,timestamp\n{rows}\n", encoding="utf-8")
    return folder


def run(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return content


def fit(data: Path, out: Path, *more: object) -> dict[str, Any]:
    return run("fit", "--data", data, "--out", out, "--levels", 2, "--codebook-size", 8, *more)


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_fit_report_export_and_import_agree(data: Path, tmp_path: Path) -> None:
    fitted = fit(data, tmp_path / "sids")
    assert fitted["collision_rate"] >= 0.5  # every title occurs twice
    assert sorted(file.name for file in (tmp_path / "sids").iterdir()) == [
        "README.md",
        "agentrec.json",
        "arrays.safetensors",
        "health.json",
        "index.json",
        "quantiser",
        "vectors",
    ]
    vocabulary = SIDVocabulary.from_pretrained(tmp_path / "sids")
    assert vocabulary.num_levels == 3
    assert vocabulary.provenance["quantiser"] == "rq_kmeans"
    for key, value in json.loads((tmp_path / "sids" / "health.json").read_text()).items():
        assert fitted[key] == value
    report = run("report", "--sids", tmp_path / "sids", "--data", data)
    page = tmp_path / "sids" / "report" / "report.html"
    assert report == {**fitted, "report": str(page)}  # the data has no categories
    assert "hammer" in page.read_text(encoding="utf-8")
    saved = json.loads(page.with_name("health.json").read_text())
    assert {key: report[key] for key in saved} == saved
    blind = run("report", "--sids", tmp_path / "sids", "--out", tmp_path / "blind")
    assert blind["neighbours"] is None
    assert sorted(file.name for file in (tmp_path / "blind").iterdir()) == ["health.json", "report.html"]

    run("export", "--sids", tmp_path / "sids", "--out", tmp_path / "index.json")
    assert (tmp_path / "index.json").read_bytes() == (tmp_path / "sids" / "index.json").read_bytes()
    run("import", "--data", data, "--index", tmp_path / "index.json", "--out", tmp_path / "imported")
    imported = SIDVocabulary.from_pretrained(tmp_path / "imported")
    assert np.array_equal(imported.codes, vocabulary.codes)
    assert imported.item_ids == vocabulary.item_ids
    assert imported.provenance["data"] == vocabulary.provenance["data"]


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_a_seed_decides_the_ids(data: Path, tmp_path: Path) -> None:
    indexes = []
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        fit(data, tmp_path / name, "--seed", seed)
        indexes.append((tmp_path / name / "index.json").read_text())
    assert indexes[0] == indexes[1] != indexes[2]


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_people_get_a_table(data: Path, tmp_path: Path) -> None:
    arguments = ["fit", "--data", str(data), "--out", str(tmp_path / "sids"), "--codebook-size", "8"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "perplexity" in result.stdout
    assert "by chance" in result.stdout
    assert "<a_" in result.stdout


def test_an_index_of_other_items_names_the_item(data: Path, tmp_path: Path) -> None:
    index = {f"i{item}": [f"<a_{item // 2}>", "<b_0>"] for item in range(60)}
    text = json.dumps(index)
    for content, message in (
        (json.dumps({item: tokens for item, tokens in index.items() if item != "i7"}), "no entry, for example 'i7'"),
        (json.dumps({**index, "i60": ["<a_0>", "<b_0>"]}), "no item in the catalogue, for example 'i60'"),
        (text[:-1] + ', "i7": ["<a_40>", "<b_0>"]}', "holds item 'i7' twice"),
        (text, "for example 'i1' with 'i0'"),
        (text[:200], "not valid JSON"),
    ):
        file = tmp_path / "index.json"
        file.write_text(content)
        with pytest.raises(DataError, match=message):
            run("import", "--data", data, "--index", file, "--out", tmp_path / "x", "--collisions", "error")
    assert not (tmp_path / "x").exists()


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_new_items_that_collide_are_named_by_extend(data: Path, tmp_path: Path) -> None:
    fit(data, tmp_path / "sids", "--collisions", "next_best")
    with (data / "items.csv").open("a", encoding="utf-8") as file:
        file.write("i60,red hat\n")
    with pytest.raises(ArtefactError, match="60 items against 61, where 'i60' has another row or none"):
        run("report", "--sids", tmp_path / "sids", "--data", data)
    extend = ["extend", "--sids", tmp_path / "sids", "--data", data, "--out", tmp_path / "x"]
    with pytest.raises(DataError, match="1 new items collide, item 'i60' for example"):
        run(*extend, "--collisions", "append")
    assert run(*extend)["new"] == 1


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_what_a_user_can_fix_is_one_of_our_errors(data: Path, tmp_path: Path) -> None:
    fit(data, tmp_path / "sids")
    entries = json.loads((tmp_path / "sids" / "index.json").read_text())
    short = tmp_path / "short.json"
    short.write_text(json.dumps({key: tokens[:2] for key, tokens in entries.items()}))
    assert run("import", "--data", data, "--index", short, "--out", tmp_path / "short")["collision_rate"] >= 0.5
    for error, arguments in (
        (DataError, ["import", "--data", data, "--index", short, "--out", tmp_path / "x", "--collisions", "error"]),
        (ConfigError, ["import", "--data", data, "--index", short, "--out", tmp_path / "x", "--collisions", "keep"]),
        (ConfigError, ["fit", "--data", data, "--out", tmp_path / "x", "--levels", 0]),
        (ConfigError, ["fit", "--data", data, "--out", tmp_path / "x", "--collision-set", "size"]),
        (ConfigError, ["fit", "--data", data, "--out", tmp_path / "x", "--collisions", "keep"]),
        (ArtefactError, ["extend", "--sids", tmp_path / "short", "--data", data, "--out", tmp_path / "x"]),
        (ArtefactError, ["export", "--sids", data, "--out", tmp_path / "x.json"]),
    ):
        with pytest.raises(error):
            run(*arguments)
    assert not (tmp_path / "x").exists()


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_items_come_and_go_and_the_others_keep_their_ids(data: Path, tmp_path: Path) -> None:
    fit(data, tmp_path / "sids", "--collisions", "zero_collision", "--collision-set", "moves=prefix")
    old = SIDVocabulary.from_pretrained(tmp_path / "sids")
    table = (data / "items.csv").read_text().splitlines()
    (data / "items.csv").write_text("\n".join([*table, "n1,red hat", "n2,white lamp shoe"]) + "\n")
    extended = run("extend", "--sids", tmp_path / "sids", "--data", data, "--out", tmp_path / "more")
    assert (extended["new"], extended["removed"]) == (2, 0)
    new = SIDVocabulary.from_pretrained(tmp_path / "more")
    assert new.level_sizes == old.level_sizes == (8, 8)
    assert {item: old.text(row) for row, item in enumerate(old.item_ids or ())}.items() <= {
        item: new.text(row) for row, item in enumerate(new.item_ids or ())
    }.items()
    (data / "items.csv").write_text("\n".join(line for line in table if not line.startswith("i59,")) + "\n")
    rows = (data / "interactions.csv").read_text().splitlines()
    (data / "interactions.csv").write_text("\n".join(row for row in rows if ",i59," not in row) + "\n")
    with pytest.raises(DataError, match=r"lacks 3 of 62 items .* for example 'i59'; expected all of them"):
        run("extend", "--sids", tmp_path / "more", "--data", data, "--out", tmp_path / "less")
    shrunk = run("extend", "--sids", tmp_path / "more", "--data", data, "--out", tmp_path / "less", "--remove")
    assert (shrunk["new"], shrunk["removed"], shrunk["num_items"]) == (0, 3, 59)


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_ids_are_compared_and_what_cannot_be_read_is_told(data: Path, tmp_path: Path) -> None:
    fit(data, tmp_path / "sids")
    published = tmp_path / "published"
    published.mkdir()
    entries = json.loads((tmp_path / "sids" / "index.json").read_text())
    (published / "good.json").write_text(json.dumps(entries))
    (published / "short.json").write_text(json.dumps({key: entries[key] for key in list(entries)[1:]}))
    options = (
        "--data",
        data,
        "--sids",
        f"mine={tmp_path / 'sids'}",
        "--published",
        published,
        "--out",
        tmp_path / "out",
    )
    found = run("compare", *options, "--quantisers", "rq_kmeans", "--collisions", "append,next_best")
    rows = {row["name"]: row for row in found["rows"]}
    assert set(rows) == {"mine", "good", "short", "rq_kmeans-append", "rq_kmeans-next_best"}
    assert "1 of 60 items have no entry, for example 'i0'" in rows["short"]["error"]
    assert found["budget"]["num_levels"] == 2
    assert rows["rq_kmeans-next_best"]["health"]["collision_rate"] == 0 < rows["mine"]["health"]["collision_rate"]
    files = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert files == ["compare.csv", "compare.html", "compare.json", "sids"]
    kept = tmp_path / "out" / "sids" / "rq_kmeans-next_best"
    assert run("report", "--sids", kept, "--data", data)["neighbours"] is not None
    table = CliRunner().invoke(app, ["compare", *map(str, options)], catch_exceptions=False)
    assert "mean rank" in table.stdout
    assert "not measured: short: " in table.stdout
    for wrong in (["--data", data], ["--data", data, "--sids", "x=a.json,x=b.json"]):
        with pytest.raises(ConfigError):
            run("compare", *wrong, "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()
