"""The task `constrained_validity` from its settings to its result, with a tiny generator."""

import json

import numpy as np
import pytest

from agentrec.core.errors import ConfigError
from agentrec.data.dataset import Dataset
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import leave_one_out
from agentrec.decoding.index.traced import Traced
from agentrec.evaluation.run import Order, run_task
from agentrec.evaluation.tasks import load_task
from agentrec.models.transitions import Transitions
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (8, 8, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validity")
    dataset = Shop.generate(ShopConfig(num_users=40, num_items=60)).dataset
    dataset.save_pretrained(folder / "data")
    vocabulary = SIDVocabulary(random_codes(400, SIZES)[: dataset.num_items], SIZES)
    model, tokenizer = tiny_generator(vocabulary)
    sids = [vocabulary.text(item) for item in range(dataset.num_items)]
    form = build_form(
        {"form": "sequence"}, tokenizer, vocabulary.item_token_ids(tokenizer), sids, dataset.catalogue.titles
    )
    made = GenerativeRecommender(model, tokenizer, vocabulary, form, num_beams=10)
    made.stamp({"split": leave_one_out(dataset).fingerprint}).save_pretrained(folder / "generator")
    split = leave_one_out(dataset)
    Transitions.fit(split.train, split.num_items).save_pretrained(folder / "counted")
    return folder


def settings(folder, **values):
    return {"data": str(folder / "data"), "recommender": str(folder / "generator"), "limit": 25, **values}


def test_the_constrained_way_is_valid_and_the_controls_are_not(folder, tmp_path):
    result = run_task(
        Order("constrained_validity", settings(folder), store=tmp_path / "store"), out=tmp_path / "out"
    ).result
    assert list(result.systems) == ["constrained", "unconstrained", "free", "greedy"]
    assert not result.problems
    for name in ("valid", "distinct", "full", "seen_left_out", "in_subset"):
        assert result["constrained"][name] == 1.0
    for way in ("unconstrained", "free", "greedy"):
        assert result[way]["valid"] < 0.8
    assert result["unconstrained"]["seen_left_out"] < 1.0
    assert any(row.metric == "valid" and row.winner == "constrained" for row in result.comparisons)
    samples = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert len(samples) == 20
    assert len(samples[0]["answers"]["constrained"]) == 10
    assert any(text.startswith("no item: ") for text in samples[0]["answers"]["unconstrained"])


def test_only_the_ways_that_are_named_are_measured_for_every_generator(folder):
    task = load_task("constrained_validity")
    twice = f"a={folder / 'generator'},b={folder / 'generator'}"
    built = task(task.config(**settings(folder, recommender=twice, ways="constrained, greedy")))
    assert list(built.systems) == ["a constrained", "a greedy", "b constrained", "b greedy"]
    first, second = (built.systems[f"a {way}"].make(0) for way in ("constrained", "greedy"))
    assert first.model is second.model  # opened once


def test_a_broken_promise_is_a_problem(folder):
    task = load_task("constrained_validity")
    built = task(task.config(**settings(folder, ways="constrained")))
    system = built.systems["constrained"].make(0)

    class Careless(type(system.model)):
        """Forgets what it is asked."""

        def recommend(self, histories, n, *, exclude_seen=False, num_beams=None, constraint=None):
            kept = constraint if isinstance(constraint, Traced) else None
            return super().recommend(histories, n, num_beams=num_beams, constraint=kept)

    system.model.__class__ = Careless
    measured = built.measure(system)
    assert {problem.split("'")[1] for problem in measured.problems} == {"seen_left_out", "in_subset"}
    assert "of 25 users; expected none" in measured.problems[0]


def test_users_and_subset_are_drawn_by_the_seed(folder):
    task = load_task("constrained_validity")
    draws = [task(task.config(**settings(folder, seed=seed))) for seed in (0, 0, 1)]
    subsets = [one.measure.asked.subset.tolist() for one in draws]
    assert subsets[0] == subsets[1] != subsets[2]
    assert len(subsets[0]) == 30
    assert draws[0].units["unit"].tolist() == draws[1].units["unit"].tolist() != draws[2].units["unit"].tolist()
    dataset = Dataset.from_pretrained(folder / "data")
    assert np.isin(draws[0].units["target"], dataset.catalogue.ids).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ways": "constrained,magic"}, "ways are 'constrained,magic'"),
        ({"ways": ""}, "expected one or more of constrained"),
        ({"ways": "free,free"}, "each once"),
        ({"subset": 0.0}, "subset is 0.0"),
        ({"n": 0}, "n 0"),
        ({"recommender": "popularity"}, "'popularity' is no saved generator"),
        ({"recommender": "counted"}, "is no saved generator"),
        ({"recommender": ""}, "expected at least one name or path"),
    ],
)
def test_what_cannot_be_asked_is_refused(folder, values, message):
    task = load_task("constrained_validity")
    if values.get("recommender") == "counted":
        values = {"recommender": str(folder / "counted")}
    with pytest.raises(ConfigError, match=message):
        task(task.config(**settings(folder, **values)))
