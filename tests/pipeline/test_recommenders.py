"""What a user's text means as a recommender."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError, DataError, UnknownNameError
from agentrec.core.files import MANIFEST
from agentrec.data.dataset import Dataset
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import leave_one_out
from agentrec.evaluation.adapters.endpoint import Endpoint
from agentrec.evaluation.contract import checked_recommend
from agentrec.evaluation.ranking import evaluate
from agentrec.models.popularity import Popularity
from agentrec.models.transitions import Transitions
from agentrec.pipeline.recommenders import labelled, named_recommenders
from agentrec.testing.worlds import tiny_dataset


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="module")
def split(dataset):
    return leave_one_out(dataset)


@pytest.fixture(scope="module")
def held(split):
    return split.reveal("test")


@pytest.fixture(scope="module")
def files(dataset, split, held, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recommenders")
    fitted = Transitions.fit(split.train, split.num_items).stamp({"split": split.fingerprint})
    fitted.save_pretrained(folder / "model")
    Popularity(np.arange(24, dtype=np.float32)).save_pretrained(folder / "unstamped")
    targets = [dataset.catalogue.ids[item] for item in held.targets]
    users = [dataset.user_ids[user] for user in held.histories.users]
    pd.DataFrame({"user": users, "item": targets, "rank": 1}).to_csv(folder / "perfect.csv", index=False)
    (folder / "mine.py").write_text(
        "def always(histories, n):\n    return [['item-03'] for _ in histories]\n\n"
        "def seeded(seed=0):\n    return lambda histories, n: [[f'item-{seed:02d}'] for _ in histories]\n"
    )
    return folder


def make(text, dataset, split, seed=0, **options):
    (named,) = named_recommenders(text, dataset, split, **options).values()
    return named.make(seed)


def test_every_kind_is_made_and_evaluated_alike(files, dataset, split, held):
    text = (
        f"popularity, transitions,again={files / 'model'},{files / 'perfect.csv'},python:{files / 'mine.py'}:always, "
        f"unstamped={files / 'unstamped'}"
    )
    named = named_recommenders(text, dataset, split, users=held.histories.users)
    assert list(named) == ["popularity", "transitions", "again", "perfect", "always", "unstamped"]
    assert not any(one.seeded for one in named.values())
    assert all(one.reusable for one in named.values())
    made = {label: one.make(0) for label, one in named.items()}
    result = evaluate(made, split, ["recall@1", "ndcg@10"])
    means = {label: result.systems[label]["recall@1"].mean for label in made}
    assert means["perfect"] == 1.0
    assert means["again"] == means["transitions"] > means["popularity"]
    expected = Transitions.fit(split.train, split.num_items).recommend(held.histories, 20)
    np.testing.assert_array_equal(made["transitions"].recommend(held.histories, 20).items, expected.items)


def test_identities_name_contents(files, dataset, split, tmp_path):
    def identity(text, **options):
        (named,) = named_recommenders(text, dataset, split, **options).values()
        json.dumps(named.identity)
        return named.identity

    assert identity("popularity") == {"kind": "method", "method": "popularity", "model": {}}
    copies = {}
    for name in ("model", "perfect.csv", "mine.py"):
        (shutil.copytree if (files / name).is_dir() else shutil.copy)(files / name, tmp_path / name)
        form = "python:{}:always" if name == "mine.py" else "{}"
        copies[name] = form.format(tmp_path / name)
        first, second = identity(form.format(files / name)), identity(copies[name])
        assert first == second or name == "mine.py"  # a function is named by its path too
    before = {name: identity(text) for name, text in copies.items()}
    assert before["mine.py"]["function"] == copies["mine.py"].removeprefix("python:")
    (tmp_path / "perfect.csv").write_text((tmp_path / "perfect.csv").read_text() + "u0,item-03,2\n")
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "# changed\n")
    card = tmp_path / "model" / MANIFEST
    card.write_text(card.read_text() + "\n")
    assert all(identity(text) != before[name] for name, text in copies.items())
    strict, lenient = (identity(copies["perfect.csv"], missing=missing) for missing in ("error", "miss"))
    assert strict != lenient


def test_gradient_models_are_trained_with_the_seed(dataset, split, held):
    settings = {"model": {"embedding_dim": 8, "num_layers": 1, "num_heads": 1}, "training": {"epochs": 1}}
    (named,) = named_recommenders("net=sasrec", dataset, split, models={"net": settings}).values()
    assert named.seeded
    assert named.identity["model"]["embedding_dim"] == 8
    assert named.identity["training"]["epochs"] == 1
    assert "seed" not in named.identity["training"]
    first, again, other = (named.make(seed).recommend(held.histories, 5).items for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert named.make(3).provenance["seed"] == 3
    by_method = named_recommenders("sasrec", dataset, split, models={"sasrec": settings})["sasrec"]
    assert by_method.identity == named.identity


def test_functions_that_take_a_seed_are_seeded(files, dataset, split, held):
    (named,) = named_recommenders(f"python:{files / 'mine.py'}:seeded", dataset, split).values()
    assert named.seeded
    assert named.make(7).recommend(held.histories, 1).items[0].tolist() == [7]


def test_predictions_are_checked_without_being_scored(files, dataset, split, held, tmp_path):
    table = pd.read_csv(files / "perfect.csv")
    table.iloc[:-1].to_csv(tmp_path / "few.csv", index=False)
    (named,) = named_recommenders(str(tmp_path / "few.csv"), dataset, split, users=held.histories).values()
    assert named.check is not None
    assert [found.kind for found in named.check().errors] == ["missing_users"]
    with pytest.raises(DataError, match="no predictions for 1 of 60 users"):
        named.make(0)
    (named,) = named_recommenders(
        str(tmp_path / "few.csv"), dataset, split, users=held.histories, missing="miss"
    ).values()
    checked_recommend(named.make(0), held.histories, 3)
    table.assign(item="zz").to_csv(tmp_path / "unknown.csv", index=False)
    assert make(str(tmp_path / "unknown.csv"), dataset, split, unknown_items="drop", missing="miss").num_items == 24


def test_services(dataset, split):
    text = (
        "svc=http://me:secret@localhost:8000/v1/recommendations?key=k=1#parallel=2&timeout=5,https://example.org/x?a=b"
    )
    named = named_recommenders(text, dataset, split)
    assert list(named) == ["svc", "example.org"]
    assert not any(one.reusable for one in named.values())
    identity = named["svc"].identity
    assert (identity["url"], identity["parallel"], identity["timeout"]) == (
        "http://localhost:8000/v1/recommendations",
        2,
        5.0,
    )
    assert "secret" not in json.dumps(identity)
    made = named["svc"].make(0)
    assert isinstance(made, Endpoint)
    assert made.num_items == 24
    with pytest.raises(ConfigError, match="has no setting 'speed'; those that exist are backoff, longest_wait"):
        named_recommenders("http://localhost/#speed=3", dataset, split)
    with pytest.raises(ConfigError, match="the setting 'parallel' behind # has no value"):
        named_recommenders("http://localhost/#parallel", dataset, split)
    with pytest.raises(ConfigError, match="no URL"):
        named_recommenders("x=http:///path", dataset, split)
    with pytest.raises(ConfigError) as got:
        named_recommenders("=http://me:secret@localhost/?key=hidden", dataset, split)
    assert "is incomplete" in str(got.value)
    assert not any(word in str(got.value) for word in ("secret", "hidden"))


def test_repositories_of_the_hub(files, dataset, split, tmp_path, monkeypatch):
    """From the local cache, laid out as huggingface_hub lays it out; the network is off in tests."""
    repository = tmp_path / "models--somebody--mine"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    (repository / "refs" / "v1").write_text("b" * 40)
    shutil.copytree(files / "model", repository / "snapshots" / ("a" * 40))
    shutil.copytree(files / "unstamped", repository / "snapshots" / ("b" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    named = named_recommenders(f"hf:somebody/mine,old=hf:somebody/mine@v1,{files / 'model'}", dataset, split)
    assert list(named) == ["mine", "old", "model"]
    assert named["mine"].identity == named["model"].identity != named["old"].identity
    assert isinstance(named["mine"].make(0), Transitions)
    assert isinstance(named["old"].make(0), Popularity)
    with pytest.raises(ArtefactError, match="somebody/else is neither a folder nor a hub repository"):
        named_recommenders("hf:somebody/else", dataset, split)


def test_the_oracle_of_the_shop():
    shop = Shop.generate(ShopConfig(num_users=50, num_items=100))
    named = named_recommenders("oracle", shop.dataset, leave_one_out(shop.dataset))["oracle"]
    assert named.identity == {"kind": "oracle"}
    assert named.make(0).num_items == 100


def test_another_split_or_catalogue_is_refused(files, dataset, split, tmp_path):
    rows = dataset.interactions
    fewer = Dataset("fewer", dataset.user_ids, dataset.catalogue, rows.take(np.arange(len(rows) - 1)))
    with pytest.raises(ArtefactError, match=r"was trained on the split .*, and this data gives .*; expected the same"):
        named_recommenders(str(files / "model"), fewer, leave_one_out(fewer))
    Popularity(np.ones(5, np.float32)).save_pretrained(tmp_path / "small")
    with pytest.raises(ArtefactError, match="knows 5 items and the catalogue has 24"):
        make(str(tmp_path / "small"), dataset, split)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ArtefactError, match=r"holds no agentrec\.json"):
        named_recommenders(str(tmp_path / "nothing"), dataset, split)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ConfigError, "expected at least one"),
        (" , ", ConfigError, "expected at least one"),
        ("popularity,popularity", ConfigError, "two recommenders are called 'popularity'"),
        ("=popularity", ConfigError, "'=popularity' is incomplete; expected a name, a path or label=path"),
        ("a=", ConfigError, "'a=' is incomplete"),
        (
            "nothing",
            UnknownNameError,
            "neither a saved recommender's folder nor a known method; .*transitions.*python",
        ),
        ("nothing/there", UnknownNameError, "so check the path or the name"),
        ("nothing.csv", DataError, "nothing.csv does not exist; expected a file of predictions"),
        ("mine=nothing.parquet", DataError, "nothing.parquet does not exist"),
        ("python:nothing_at_all:f", ConfigError, "there is no module 'nothing_at_all'"),
        ("python:mine.py", ConfigError, "names no function; expected module:name"),
    ],
)
def test_texts_that_mean_nothing_are_refused(dataset, split, text, error, message):
    with pytest.raises(error, match=message):
        named_recommenders(text, dataset, split)


@pytest.mark.parametrize(
    ("text", "models", "message"),
    [
        ("popularity", {"sasrec": {}}, "there are settings for 'sasrec'; expected one of popularity"),
        ("popularity", {"popularity": {"epochs": 3}}, "have the key 'epochs'; expected 'model' and 'training'"),
        ("popularity", {"popularity": {"training": {"epochs": 3}}}, "expected none, because it is counted"),
        ("popularity", {"popularity": {"model": {"x": 3}}}, "has no settings, and x was given"),
        ("sasrec", {"sasrec": {"training": {"seed": 3}}}, "expected no seed, which the evaluation gives"),
        ("sasrec", {"sasrec": {"training": {"epoch": 3}}}, "has no setting 'epoch'"),
        ("sasrec", {"sasrec": {"model": {"width": 3}}}, "has no setting 'width'"),
    ],
)
def test_settings_are_checked(dataset, split, text, models, message):
    with pytest.raises(AgentrecError, match=message):
        make(text, dataset, split, models=models)


def test_the_oracle_needs_the_shop(dataset, split):
    with pytest.raises(AgentrecError, match="shop"):
        make("oracle", dataset, split)


def test_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.csv").touch()
    (tmp_path / "runs").mkdir()
    found = labelled(
        "a=b.csv, my best=runs, runs, python:pkg.mod:fn, hf:org/name@main, x=http://h/?q=1, http://h:80/y=1"
    )
    assert found == {
        "a=b": "a=b.csv",
        "my best": "runs",
        "runs": "runs",
        "fn": "python:pkg.mod:fn",
        "name": "hf:org/name@main",
        "x": "http://h/?q=1",
        "h": "http://h:80/y=1",
    }


RECIPE = """
recommenders:
  transitions: {}
  small:
    method: sasrec
    model: {embedding_dim: 8}
    training: {epochs: 1}
"""


def test_a_recipe_trains_here_with_the_seed_of_the_evaluation_and_is_kept(dataset, split, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    text = f"recipe:{tmp_path / 'recipe.yaml'}:small"
    one = named_recommenders(text, dataset, split, trained=tmp_path / "kept")["small"]
    assert one.seeded
    assert one.identity["kind"] == "recipe"
    made = [one.make(seed) for seed in (0, 1)]
    assert [model.provenance["seed"] for model in made] == [0, 1]
    folders = sorted(tmp_path.glob("kept/small-*/seed-*/small"))
    assert len(folders) == 2
    before = [folder.stat().st_mtime_ns for folder in folders]
    one.make(1)
    assert [folder.stat().st_mtime_ns for folder in folders] == before
    with pytest.raises(UnknownNameError, match="has no recommender 'none'; those that exist are transitions, small"):
        named_recommenders(f"recipe:{tmp_path / 'recipe.yaml'}:none", dataset, split)
