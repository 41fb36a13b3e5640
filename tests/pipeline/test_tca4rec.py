"""A recipe may name another of its rows as a generator's teacher: it is made first and its changes reach the pupil."""

import json
from pathlib import Path

import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.files import read_json
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import leave_one_out
from agentrec.pipeline.recipe import Recipe, read_recommender
from agentrec.pipeline.recommenders import named_recommenders
from agentrec.pipeline.run import run_recipe

PUPIL = {
    "method": "generative",
    "config": {"max_items": 10},
    "training": {"num_train_epochs": 1, "per_device_train_batch_size": 16},
    "tca4rec": {"teacher": "transitions", "alpha": 0.2},
}


def recipe(source: Path, pupil: dict = PUPIL, window: int = 2) -> Recipe:
    rows = {"pupil": pupil, "transitions": {"model": {"window": window}}}
    content = {"data": {"source": str(source)}, "sids": {"num_levels": 2, "codebook_size": 8}, "recommenders": rows}
    return Recipe.from_dict({**content, "evaluate": {"bootstrap": 50}})


@pytest.mark.filterwarnings("ignore:tfidf_svd:agentrec.core.errors.DataWarning")
def test_a_teacher_is_trained_first_and_its_changes_reach_the_pupil(tmp_path: Path) -> None:
    Shop.generate(ShopConfig(num_users=80, num_items=40)).dataset.save_pretrained(tmp_path / "data")
    said: list[str] = []

    def run(**changes: object) -> list[str]:
        said.clear()
        run_recipe(recipe(tmp_path / "data", **changes), tmp_path / "out", say=said.append)
        return [line.partition(":")[0] for line in said if "working" in line]

    assert run() == ["data", "sids", "transitions", "pupil", "evaluation"]
    made_from = read_json(tmp_path / "out" / "pupil" / "agentrec.json")["provenance"]
    assert made_from["tca4rec"]["alpha"] == 0.2
    assert run() == ["evaluation"]
    assert run(window=1) == ["transitions", "pupil", "evaluation"]
    more = {**PUPIL, "tca4rec": {"teacher": "transitions", "alpha": 0.3}}
    assert run(window=1, pupil=more) == ["pupil", "evaluation"]
    crossed = {**PUPIL, "tca4rec": {"teacher": "transitions", "alpha": 0.3, "folds": 2}}
    assert run(window=1, pupil=crossed) == ["pupil", "evaluation"]
    teacher = read_json(tmp_path / "out" / "pupil" / "agentrec.json")["provenance"]["teacher"]
    assert run(window=1, pupil=crossed) == ["evaluation"]
    assert run(window=2, pupil=crossed) == ["pupil", "transitions", "evaluation"]  # no need of the row itself
    assert read_json(tmp_path / "out" / "pupil" / "agentrec.json")["provenance"]["teacher"] != teacher


@pytest.mark.filterwarnings("ignore:tfidf_svd:agentrec.core.errors.DataWarning")
def test_several_rows_teach_together_and_those_that_count_are_cross_fitted(tmp_path: Path) -> None:
    Shop.generate(ShopConfig(num_users=80, num_items=40)).dataset.save_pretrained(tmp_path / "data")
    small = {"method": "sasrec", "model": {"embedding_dim": 8, "num_layers": 1}, "training": {"epochs": 1}}
    both = {"teacher": "small+transitions", "alpha": 0.2, "folds": 2}
    rows = {"pupil": {**PUPIL, "tca4rec": both}, "transitions": {}, "small": small}
    content = {"data": {"source": str(tmp_path / "data")}, "sids": {"num_levels": 2, "codebook_size": 8}}
    said: list[str] = []

    def run(epochs: int) -> list[str]:
        said.clear()
        asked = {**rows, "small": {**small, "training": {"epochs": epochs}}}
        chosen = Recipe.from_dict({**content, "recommenders": asked, "evaluate": {"bootstrap": 50}})
        run_recipe(chosen, tmp_path / "out", say=said.append)
        return [line.partition(":")[0] for line in said if "working" in line]

    assert run(1) == ["data", "sids", "small", "pupil", "transitions", "evaluation"]
    taught = read_json(tmp_path / "out" / "pupil" / "agentrec.json")["provenance"]["teacher"]
    assert [teacher["method"] for teacher in taught["teachers"]] == ["sasrec", "transitions"]
    assert run(1) == ["evaluation"]
    assert run(2) == ["small", "pupil", "evaluation"]


@pytest.mark.filterwarnings("ignore:tfidf_svd:agentrec.core.errors.DataWarning")
def test_in_an_evaluation_a_teacher_and_its_own_row_are_one_model(tmp_path: Path) -> None:
    dataset = Shop.generate(ShopConfig(num_users=80, num_items=40)).dataset
    rows = {"pupil": PUPIL, "other": PUPIL, "transitions": {}}
    content = {"sids": {"num_levels": 2, "codebook_size": 8}, "recommenders": rows}
    (tmp_path / "recipe.yaml").write_text(json.dumps(content))
    asked = ",".join(f"recipe:{tmp_path / 'recipe.yaml'}:{label}" for label in rows)
    named = named_recommenders(asked, dataset, leave_one_out(dataset), trained=tmp_path / "kept")
    named["pupil"].make(0)
    (teacher,) = tmp_path.rglob("transitions")
    assert teacher.parent.parent.name.startswith("transitions-")
    made_at = teacher.stat().st_mtime_ns
    for label in ("transitions", "other", "pupil"):
        named[label].make(0)
    assert [found.stat().st_mtime_ns for found in tmp_path.rglob("transitions")] == [made_at]
    taught = [read_json(found / "agentrec.json")["provenance"]["teacher"] for found in tmp_path.rglob("seed-0/pupil")]
    assert len(taught) == 1
    assert taught[0]["method"] == "transitions"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"g": {**PUPIL, "tca4rec": {"teacher": "sasrec"}}}, "teacher 'sasrec'; expected .* none"),
        ({"g": {**PUPIL, "tca4rec": {"alpha": 0.1}}, "popularity": {}}, "teacher ''; expected .* popularity"),
        ({"g": PUPIL, "transitions": {"method": "generative"}}, "teacher 'transitions'"),
        ({"popularity": {"tca4rec": {"teacher": "popularity"}}}, "no use for 'tca4rec'"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(rows: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.from_dict({"recommenders": rows})


def test_a_recommender_of_a_recipe_is_known_with_its_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTREC_DATA", str(Path(__file__).parent))
    found = Recipe.from_dict({"recommenders": {"pupil": PUPIL, "transitions": {}}})
    monkeypatch.setattr("agentrec.pipeline.recipe.read_recipe", lambda _: found)
    with_teacher = read_recommender("any:pupil").identity
    assert with_teacher["teacher"]["method"] == "transitions"
    assert "tca4rec" not in read_recommender("any:transitions").identity
