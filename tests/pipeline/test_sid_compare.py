"""Several semantic IDs beside each other: entries, ranks, files, the generator."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentrec.core.config import read_yaml
from agentrec.core.errors import ConfigError, DataError, UnknownNameError
from agentrec.core.files import read_json
from agentrec.core.types import Catalogue
from agentrec.evaluation.result import Comparison
from agentrec.pipeline.semantic_ids import REGISTRY
from agentrec.pipeline.sid_compare.compare import Comparing, compare_sids
from agentrec.pipeline.sid_compare.downstream import Training, choose_reference, measure, reverse, write_recipe
from agentrec.pipeline.sid_compare.entries import Budget, Entry, budget, fitted, imported, named_sources
from agentrec.pipeline.sid_compare.page import differences, to_html
from agentrec.pipeline.sid_compare.scores import ASPECTS, aspects, mean_ranks, numbers
from agentrec.pipeline.sid_compare.view import details, ranking
from agentrec.semantic_ids.health import health
from agentrec.semantic_ids.index_json import write_index
from agentrec.semantic_ids.vocabulary import SIDVocabulary

SIZE = 240


class Items:
    """What a comparison needs of a data set."""

    fingerprint = "abc"

    def __init__(self) -> None:
        self.catalogue = Catalogue(tuple(f"i{item}" for item in range(SIZE)))

    def require_texts(self, columns: Any = None) -> list[str]:
        return list(self.catalogue.ids)


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, list[str], SIDVocabulary]:
    """Vectors in twelve clusters of two halves each, the clusters as categories, and the codes that say just that."""
    rng = np.random.default_rng(0)
    cluster, half = np.arange(SIZE) % 12, np.arange(SIZE) // 12 % 2
    centres = rng.normal(size=(12, 1, 16)) * 6 + rng.normal(size=(12, 2, 16)) * 2
    vectors = (centres[cluster, half] + rng.normal(size=(SIZE, 16)) * 0.3).astype(np.float32)
    last = np.arange(SIZE) // 24
    planted = SIDVocabulary(np.stack([cluster, half, last], axis=1), item_ids=Items().catalogue.ids)
    return vectors, [f"kind {value}" for value in cluster], planted


def shuffled(vocabulary: SIDVocabulary, seed: int) -> SIDVocabulary:
    rows = np.random.default_rng(seed).permutation(vocabulary.num_items)
    return SIDVocabulary(vocabulary.codes[rows], vocabulary.level_sizes, vocabulary.item_ids)


@pytest.fixture(scope="module")
def found(world: tuple[np.ndarray, list[str], SIDVocabulary]) -> Comparing:
    vectors, categories, planted = world
    entries = [
        Entry("random", "imported", shuffled(planted, 1)),
        Entry("broken", "imported", error="<b>item 'i7' is missing</b>"),
        Entry("planted", "fitted", planted, seconds=1.5),
    ]
    return compare_sids(entries, vectors, categories, about={"data": {"name": "<toys>"}, "vectors": "given"})


def test_sources_are_named_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    for name in ("letter zcr", "other"):
        (tmp_path / "published" / f"{name}.json").touch()
    sources = named_sources(f"mine={tmp_path}, a/b/index.json", tmp_path / "published")
    assert list(sources) == ["mine", "index", "letter-zcr", "other"]
    assert sources["mine"] == tmp_path
    assert named_sources("") == {}
    for text, folder, message in (
        ("a=x.json,a=y.json", None, "two semantic IDs are called 'a'"),
        ("a/b=x.json", None, "expected name=path"),
        ("a=", None, "expected name=path"),
        ("", tmp_path, "holds no .json file"),
    ):
        with pytest.raises(ConfigError, match=message):
            named_sources(text, folder)


def test_what_cannot_be_opened_has_its_error_and_the_others_go_on(
    world: tuple[np.ndarray, list[str], SIDVocabulary], tmp_path: Path
) -> None:
    planted = world[2]
    write_index(planted, tmp_path / "good.json")
    planted.save_pretrained(tmp_path / "folder")
    SIDVocabulary(planted.codes[:5], item_ids=list("abcde")).save_pretrained(tmp_path / "strange")
    rows = json.loads((tmp_path / "good.json").read_text())
    (tmp_path / "short.json").write_text(json.dumps({key: rows[key] for key in list(rows)[2:]}))
    text = (tmp_path / "good.json").read_text()
    (tmp_path / "twice.json").write_text(text.replace('"i1":', '"i0":', 1))
    names = ["good.json", "folder", "strange", "short.json", "twice.json", "absent.json"]
    entries = imported({name.partition(".")[0]: tmp_path / name for name in names}, Items())
    assert [entry.vocabulary is not None for entry in entries] == [True, True, False, False, False, False]
    assert np.array_equal(entries[0].codes, planted.codes)
    assert np.array_equal(entries[1].codes, planted.codes)
    for entry, message in zip(
        entries[2:],
        ("another catalogue", "2 of 240 items have no entry", "holds item 'i0' twice", "does not exist"),
        strict=True,
    ):
        assert message in entry.error


def test_the_budget_is_that_of_the_imported(world: tuple[np.ndarray, list[str], SIDVocabulary]) -> None:
    others = [Entry("a", "imported", world[2]), Entry("b", "imported", error="no")]
    assert budget(others, SIZE) == Budget(3, 12)
    assert budget(others, SIZE, num_levels=2, codebook_size=5, seed=4) == Budget(2, 5, seed=4)
    assert budget([], 4344) == Budget(3, 256)
    with pytest.raises(ConfigError, match="an ID of its own"):
        budget([], SIZE, collisions=("append", "keep"))
    with pytest.raises(UnknownNameError, match="nothing"):
        budget([], SIZE, collisions=("nothing",))


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_quantisers_are_fitted_once_and_kept(
    world: tuple[np.ndarray, list[str], SIDVocabulary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    options: Any = {"keep": tmp_path, "say": said.append}
    wanted = Budget(2, 24, ("append", "next_best"), seed=1)
    first = fitted(["rq_kmeans"], world[0], Items(), wanted, **options)
    assert [entry.name for entry in first] == ["rq_kmeans-append", "rq_kmeans-next_best"]
    quantiser = REGISTRY.module("rq_kmeans")
    config = quantiser.Config(num_levels=2, codebook_size=24, seed=1)
    codes = quantiser.METHOD(config).fit(world[0]).encode(world[0])
    assert np.array_equal(first[0].codes, codes)
    assert first[1].codes.shape == (SIZE, 2)
    again = fitted(["rq_kmeans"], world[0], Items(), wanted, **options)
    assert said == ["rq_kmeans: fitting", "rq_kmeans: kept from before"]
    assert all(np.array_equal(old.codes, new.codes) for old, new in zip(first, again, strict=True))
    tight = fitted(["rq_kmeans"], world[0], Items(), Budget(2, 12, ("append", "next_best"), seed=1), **options)
    assert said[-1] == "rq_kmeans: fitting"
    assert tight[0].vocabulary is not None
    assert "240 items do not fit into 144 codes" in tight[1].error

    def failing(self: Any, vectors: Any) -> Any:
        raise DataError("no")

    monkeypatch.setattr(quantiser.METHOD, "fit", failing)
    broken = fitted(["rq_kmeans"], world[0], Items(), Budget(2, 4), **options)
    assert broken == [Entry("rq_kmeans", "fitted", error="no")]


def test_planted_codes_win_and_random_ones_are_at_chance(found: Comparing) -> None:
    assert [row.entry.name for row in found.rows] == ["planted", "random", "broken"]
    planted, random, broken = found.rows
    assert planted.aspects is not None
    assert random.aspects is not None
    assert planted.aspects["neighbours"] is not None
    assert planted.aspects["neighbours"] > 0.5
    assert abs(random.aspects["neighbours"] or 0) < 0.05
    assert abs(random.aspects["categories"] or 0) < 0.05
    assert random.aspects["error"] == pytest.approx(1, abs=0.05)
    assert (planted.aspects["error"] or 1) < 0.1
    assert (broken.health, broken.mean_rank) == (None, None)
    assert planted.mean_rank == pytest.approx(1.2)  # ties in two aspects of five
    assert random.mean_rank == pytest.approx(1.8)


def test_ranks_are_means_over_the_aspects_that_all_have() -> None:
    names = [aspect.name for aspect in ASPECTS]
    rows: list[dict[str, float | None]] = [
        dict(zip(names, (0.1, 0.0, 0.9, 0.5, None), strict=True)),
        dict(zip(names, (0.2, 0.0, 0.5, 0.9, 0.3), strict=True)),
        dict(zip(names, (0.3, 0.4, 0.9, 0.1, 0.5), strict=True)),
    ]
    assert mean_ranks(rows) == [
        pytest.approx(np.mean(ranks)) for ranks in ((1, 1.5, 1.5, 2), (2, 1.5, 3, 1), (3, 3, 1.5, 3))
    ]
    assert mean_ranks([]) == []


def test_ids_of_one_level_share_three_codes_where_they_share_one() -> None:
    rng = np.random.default_rng(0)
    found = health(
        rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 4, size=(50, 1)), categories=["a", "b"] * 25
    )
    row = numbers(found)
    assert row["neighbours_1"] == row["neighbours_3"]
    assert row["mutual_information_1"] == row["mutual_information_3"]
    assert aspects(found)["categories"] == pytest.approx(row["mutual_information_1"])
    constant = health(rng.normal(size=(9, 3)).astype(np.float32), np.zeros((9, 1), np.int64))
    assert aspects(constant)["neighbours"] == 0
    assert aspects(constant)["categories"] is None


def test_files_say_the_same_and_the_page_stands_alone(found: Comparing, tmp_path: Path) -> None:
    page = found.write(tmp_path / "out")
    content = read_json(tmp_path / "out" / "compare.json")
    assert [row["name"] for row in content["rows"]] == ["planted", "random", "broken"]
    assert content["rows"][2]["error"] == "<b>item 'i7' is missing</b>"
    with (tmp_path / "out" / "compare.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == ["planted", "random", "broken"]
    assert float(table[0]["neighbours_1"]) == content["rows"][0]["health"]["neighbours"]["shared"]
    assert table[2]["relative_error"] == ""
    text = page.read_text(encoding="utf-8")
    assert "<b>item" not in text
    assert "<toys>" not in text
    assert re.findall(r"(?:src|href)=[\"'](?!#)[^\"']*", text) == []
    assert "planted stands first by the mean of its ranks" in text
    assert to_html(found) == text


def test_those_that_share_the_first_place_are_all_named(world: tuple[np.ndarray, list[str], SIDVocabulary]) -> None:
    entries = [Entry(name, "imported", world[2]) for name in ("first", "same", "too")]
    text = to_html(compare_sids([*entries, Entry("last", "imported", shuffled(world[2], 1))], world[0], world[1]))
    assert "first, same and too share the best mean of ranks" in text


def test_details_are_shown_in_two_tables(found: Comparing) -> None:
    table = details(found)
    codes, shared = table.split("items per first code")
    assert codes.heads[-1] == "items per first code"
    assert shared.heads[0] == "neighbours, 1"
    assert codes.heads + shared.heads == table.heads
    for (name, cells), (_, left), (_, right) in zip(table.rows, codes.rows, shared.rows, strict=True):
        assert left + right == cells, name


def test_tables_mark_the_best(found: Comparing) -> None:
    table = ranking(found)
    assert table.heads == ("mean rank", "error", "collisions", "evenness", "neighbours", "categories")
    assert [cell.best for cell in dict(table.rows)["planted"]] == [True, True, False, False, True, True]
    behind = dict(zip(details(found).heads, dict(details(found).rows)["random"], strict=True))
    assert behind["neighbours, 1"].below.endswith("by chance")
    assert behind["items per first code"].below == "20 to 20"


def test_when_nothing_could_be_measured_the_page_says_so() -> None:
    entries = [Entry("broken", "imported", error="no")]
    text = to_html(compare_sids(entries, np.zeros((2, 2), np.float32), None))
    assert "None of the semantic IDs could be measured." in text


def test_the_recipe_trains_the_same_generator_on_every_index(
    world: tuple[np.ndarray, list[str], SIDVocabulary], tmp_path: Path
) -> None:
    entries = [Entry("one", "imported", world[2]), Entry("broken", "imported", error="no")]
    training = Training(epochs=2.0, more={"learning_rate": 1e-3})
    path, names = write_recipe(entries, data="shop", items=None, out=tmp_path, training=training)
    assert names == ["one"]
    row = read_yaml(path)["recommenders"]["one"]
    assert row["training"] == {"num_train_epochs": 2.0, "learning_rate": 1e-3}
    assert json.loads(Path(row["sids"]["index"]).read_text())["i3"] == list(world[2].tokens(3))
    assert choose_reference(entries, None) == "one"
    with pytest.raises(ConfigError, match="the reference is 'broken'; expected one of one"):
        choose_reference(entries, "broken")
    with pytest.raises(ConfigError, match="comma"):
        write_recipe(entries, data="shop", items=None, out=tmp_path / "a,b", training=training)


def test_a_comparison_can_be_read_from_the_other_side() -> None:
    row = Comparison("ndcg@10", "a", "b", 0.2, -0.1, 0.3, 0.01, 0.02, 100, 50, 2, 3)
    other = reverse(row)
    assert (other.first, other.second, other.difference, other.low, other.high) == ("b", "a", -0.2, -0.3, 0.1)
    assert other.seeds_ahead == 1
    assert reverse(other) == row


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::agentrec.core.errors.AgentrecWarning")
def test_a_generator_learns_from_planted_ids_and_is_kept(tmp_path: Path) -> None:
    """On a small simulated shop: IDs by text against the same shuffled among the items, two seeds, then once more."""
    from agentrec.data.shop import Shop, ShopConfig
    from agentrec.pipeline.semantic_ids import fit_semantic_ids

    dataset = Shop.generate(ShopConfig(num_users=300, num_items=120)).dataset
    dataset.save_pretrained(tmp_path / "shop")
    good = fit_semantic_ids(dataset, num_levels=2).vocabulary
    entries = [Entry("random", "imported", shuffled(good, 0)), Entry("text", "fitted", good)]
    training = Training(epochs=6.0, seeds=(0, 1))
    said: list[str] = []
    options: Any = {"data": tmp_path / "shop", "items": None, "out": tmp_path / "out", "reference": "random"}
    options["training"] = training
    first = measure(entries, **options, say=said.append)
    assert sum("measuring" in line for line in said) == 4
    difference = first.difference("text")
    assert difference is not None
    assert (difference.first, difference.second, difference.num_seeds) == ("text", "random", 2)
    assert difference.low <= difference.difference <= difference.high
    assert difference.difference > 0
    assert first.difference("random") is None
    said.clear()
    again = measure(entries, **options, say=said.append)
    assert sum("measuring" in line for line in said) == 0
    assert again.estimate("text") == first.estimate("text")
    vectors = np.random.default_rng(0).normal(size=(good.num_items, 4)).astype(np.float32)
    shown = compare_sids(entries, vectors, None).with_downstream(first)
    assert [row.entry.name for row in shown.rows] == ["text", "random"]
    assert len(differences(shown)) == 1
    assert "NDCG@10 of the same generator, less that on random" in to_html(shown)
    assert ranking(shown).heads[0] == "NDCG@10"
