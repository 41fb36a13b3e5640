"""A whole recipe on a small simulated shop: every step once, the same result twice, mistakes named."""

import json
from pathlib import Path

import pytest

from agentrec.core.errors import ConfigError, DataError, UnknownNameError
from agentrec.data.shop import Shop, ShopConfig
from agentrec.pipeline.recipe import Recipe, read_recipe, recipe_names
from agentrec.pipeline.row_settings import check_rows
from agentrec.pipeline.run import run_recipe


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop") / "data"
    Shop.generate(ShopConfig(num_users=150, num_items=60)).dataset.save_pretrained(folder)
    return folder


def small(source: Path, **changes: object) -> Recipe:
    content = {
        "data": {"source": str(source)},
        "sids": {"num_levels": 2, "codebook_size": 8},
        "recommenders": {
            "popularity": {},
            "transitions": {"model": {"window": 2}},
            "sasrec": {"model": {"embedding_dim": 16, "num_layers": 1}, "training": {"epochs": 2}},
            "generator": {
                "method": "generative",
                "config": {"max_items": 10},
                "training": {"num_train_epochs": 1, "per_device_train_batch_size": 16},
            },
            "oracle": {},
        },
        "evaluate": {"bootstrap": 50},
        **changes,
    }
    return Recipe.from_dict(content)


def without_time(folder: Path) -> dict:
    content = json.loads((folder / "evaluation" / "result.json").read_text())
    content.pop("created_at")
    return content


@pytest.mark.filterwarnings("ignore:tfidf_svd:agentrec.core.errors.DataWarning")
def test_the_whole_path_twice_gives_the_same_result_and_keeps_its_steps(shop: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = run_recipe(small(shop), tmp_path / "a", say=said.append)
    assert [line for line in said if "kept" in line] == []
    assert list(first.result.systems) == ["popularity", "transitions", "sasrec", "generator", "oracle"]
    best = first.result.systems["oracle"]["ndcg@10"].mean
    assert all(metrics["ndcg@10"].mean < best for name, metrics in first.result.systems.items() if name != "oracle")
    assert first.report.is_file()
    assert first.shown is not None
    assert len(first.shown.recommended) == 5
    run_recipe(small(shop), tmp_path / "b")
    assert without_time(tmp_path / "a") == without_time(tmp_path / "b")
    said.clear()
    run_recipe(small(shop), tmp_path / "a", say=said.append)
    kept = [line.partition(":")[0] for line in said if "kept" in line]
    assert kept == ["data", "popularity", "transitions", "sasrec", "sids", "generator"]


def test_only_what_changed_is_done_again(shop: Path, tmp_path: Path) -> None:
    rows = {"popularity": {}, "transitions": {}}
    run_recipe(small(shop, recommenders=rows), tmp_path / "a")
    said: list[str] = []
    changed = {"popularity": {}, "transitions": {"model": {"window": 1}}}
    run_recipe(small(shop, recommenders=changed), tmp_path / "a", say=said.append)
    assert [line.partition(":")[::2] for line in said if "done" not in line] == [
        ("data", " kept, nothing changed"),
        ("popularity", " kept, nothing changed"),
        ("transitions", " working"),
        ("evaluation", " working"),
    ]


def test_shipped_recipes_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTREC_DATA", "somewhere")
    assert "quickstart" in recipe_names()
    for name in recipe_names():
        rows = read_recipe(name).recommenders
        assert rows
        check_rows(rows)


def test_own_data_takes_the_place_of_the_shop_and_of_its_oracle() -> None:
    recipe = read_recipe("quickstart").on("a.csv", "b.csv")
    assert (recipe.data.source, recipe.data.items) == ("a.csv", "b.csv")
    assert "oracle" not in recipe.recommenders


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"recomenders": {}}, ConfigError, "no section 'recomenders'"),
        ({"recommenders": {"sasrek": {}}}, UnknownNameError, "method 'sasrek'"),
        ({"data": {"sorce": "shop"}}, ConfigError, "no setting 'sorce'"),
        ({"evaluate": {"part": "train"}}, ConfigError, "'part' is 'train'"),
        ({"data": "shop"}, ConfigError, "section 'data' is 'shop'"),
        ({"recommenders": ["popularity"]}, ConfigError, "section 'recommenders'"),
        ({"recommenders": {"../x": {"method": "popularity"}}}, ConfigError, "label '../x'"),
        ({"recommenders": {"data": {"method": "popularity"}}}, ConfigError, "label 'data'"),
        ({"recommenders": {"g": {"method": "generative", "model": "qwen3-small"}}}, ConfigError, "'model' is"),
        ({"recommenders": {"g": {"method": "generative", "model": {"a": 1}}}}, ConfigError, "no use for 'model'"),
        ({"recommenders": {"sasrec": {"config": {"a": 1}}}}, ConfigError, "no use for 'config'"),
        ({"seed": "x"}, ConfigError, "'seed' is 'x'"),
        ({"data": {"source": "${NO_SUCH_VARIABLE}/x.csv"}}, ConfigError, "not set"),
        ({"recommenders": {"generative": {"sids": {"levels": 3}}}}, ConfigError, "no setting 'levels'"),
    ],
)
def test_mistakes_are_named(content: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Recipe.from_dict(content)


EARLIER = {"popularity": {}, "sasrec": {}, "wide": {"method": "sasrec"}}
SCRATCH = {"method": "generative", "config": {"model": "qwen3-tiny"}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**SCRATCH, "training": {"optimizer": "muon"}}, "'last': 'optimizer' is no training setting of trl.SFTConfig"),
        ({**SCRATCH, "training": {"learning_rat": 1e-3}}, "no training setting 'learning_rat'.* such as learning_rate"),
        ({**SCRATCH, "training": {"zzz": 1}}, "no training setting 'zzz'.* those of transformers.TrainingArguments"),
        ({**SCRATCH, "config": {"layers": 9}}, "'last': Config has no setting 'layers'"),
        ({**SCRATCH, "tca4rec": {"teacher": "popularity", "alpha": 2.0}}, "'last': alpha is 2.0"),
        (
            {**SCRATCH, "tca4rec": {"teacher": "wide+sasrec", "folds": 2}},
            "'last': folds is 2 and of sasrec",
        ),
        ({"method": "sasrec", "training": {"epoch": 3}}, "'last': Config has no setting 'epoch'"),
        ({"method": "transitions", "training": {"epochs": 0}}, "'last': epochs is 0"),
        ({"method": "popularity", "model": {"decay": 1}}, "'last': model 'popularity' has no settings, and decay"),
    ],
)
def test_a_slip_in_the_last_row_is_said_before_the_first_is_trained(row: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run_recipe(small("shop", recommenders={**EARLIER, "last": row}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_run_leaves_no_half_step(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("user,item,order\nu,a,0\nu,b,1\n")
    with pytest.raises(DataError, match="at least 3"):
        run_recipe(small(table, recommenders={"popularity": {}}), tmp_path / "out")
    assert not (tmp_path / "out" / "popularity").exists()
    with pytest.raises(ConfigError, match="names no recommender"):
        run_recipe(small(table, recommenders={}), tmp_path / "out")
