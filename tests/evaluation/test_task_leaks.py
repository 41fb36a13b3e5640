"""The task `leaks` from its settings to its result, on data and models as they lie on disk."""

import json

import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.types import Histories
from agentrec.data.dataset import Dataset
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import PARTS, Split, leave_one_out
from agentrec.evaluation.run import Order, run_task
from agentrec.evaluation.tasks import load_task
from agentrec.models.transitions import Transitions
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.training import cf

NETWORK = {"embedding_dim": 32, "num_heads": 1, "num_layers": 1, "max_length": 12, "dropout": 0.0}
TRAINING = cf.Config(epochs=15, patience=15, batch_size=32, learning_rate=5e-3, weight_decay=0.01, warmup_steps=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data with many rare items, and models that saw too much beside models that did not."""
    folder = tmp_path_factory.mktemp("leaks")
    dataset = Shop.generate(ShopConfig(num_users=150, num_items=500, mean_length=7)).dataset
    dataset.save_pretrained(folder / "data")
    split = leave_one_out(dataset)
    leaky = Split(dataset, "all", dataset.histories(), {part: split.reveal(part) for part in PARTS}, {})
    records = {"split": split.fingerprint}
    cf.train_cf("transitions", split).save_pretrained(folder / "clean")
    Transitions.fit(leaky.train, leaky.num_items).stamp(records).save_pretrained(folder / "liar")
    cf.train_cf("transitions", leaky).save_pretrained(folder / "honest_leak")
    Transitions.fit(split.train, split.num_items).save_pretrained(folder / "silent")
    cf.train_cf("sasrec", split, model=NETWORK, config=TRAINING).save_pretrained(folder / "network")
    return folder


def run(folder, recommender, tmp_path, **values):
    values = {"data": str(folder / "data"), "recommender": recommender, **values}
    return run_task(Order("leaks", values, store=tmp_path / "store"), out=tmp_path / "out").result


def violations(result, name):
    rows = result.per_unit[result.per_unit["system"] == name].set_index("unit")
    return rows["violations"]


def test_methods_fitted_on_a_clean_split_have_no_leak(folder, tmp_path):
    result = run(folder, "popularity,transitions", tmp_path)
    assert list(result.systems) == ["split", "popularity", "transitions"]
    assert not result.problems
    for name in result.systems:
        assert result[name]["leaks"] == 0
        assert result[name]["checks"] > 0
        assert result[name]["rows_checked"] > 0
    made = violations(result, "popularity")
    assert made["held_out_invariance"] == 0
    assert np.isnan(made["held_out_in_train"])  # that is the split's
    assert (tmp_path / "out" / "report.md").is_file()
    samples = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert any(sample["unit"] == "later_training_rows" for sample in samples)


def test_saved_models_that_saw_too_much_are_problems(folder, tmp_path):
    names = ",".join(str(folder / name) for name in ("clean", "liar", "honest_leak", "silent"))
    result = run(folder, names, tmp_path)
    assert result["clean"]["leaks"] == 0
    assert result["clean"]["checks"] == 3
    assert violations(result, "liar")[["cold_targets", "against_clean_fits"]].gt(0).all()
    assert violations(result, "liar")["recorded_split"] == 0  # it says otherwise
    assert result["liar"]["leaks"] == 2
    assert violations(result, "honest_leak")["recorded_split"] == 1
    assert (result["silent"]["leaks"], result["silent"]["warnings"]) == (0, 1)
    assert {problem.partition(":")[0] for problem in result.problems} == {"liar", "honest_leak"}
    assert any("recorded_split: 1 of 1 records" in problem for problem in result.problems)


def test_a_saved_network_is_compared_with_refits_when_asked(folder, tmp_path):
    result = run(folder, str(folder / "network"), tmp_path, refits=2, limit=100)
    assert result["network"]["leaks"] == 0
    assert violations(result, "network")["against_clean_fits"] == 0
    (finding,) = [
        one for one in result.provenance["systems"]["network"]["findings"] if one["check"] == "against_clean_fits"
    ]
    assert finding["checked"] == 100
    assert len(set(finding["facts"]["clean_mean_log_ranks"])) == 2  # other seeds


def test_the_prompts_of_a_generator_are_searched(folder, tmp_path):
    dataset = Dataset.from_pretrained(folder / "data")
    vocabulary = SIDVocabulary(random_codes(4000, (16, 16, 16))[: dataset.num_items], (16, 16, 16))
    model, tokenizer = tiny_generator(vocabulary)
    sids = [vocabulary.text(item) for item in range(dataset.num_items)]
    tokens = vocabulary.item_token_ids(tokenizer)
    form = build_form({"form": "instruction"}, tokenizer, tokens, sids, dataset.catalogue.titles)
    recommender = GenerativeRecommender(model, tokenizer, vocabulary, form, num_beams=4)
    recommender.stamp({"split": leave_one_out(dataset).fingerprint}).save_pretrained(tmp_path / "generator")
    result = run(folder, str(tmp_path / "generator"), tmp_path, limit=40)
    assert not result.problems
    found = result.per_unit[result.per_unit["system"] == "generator"].set_index("unit")["checked"]
    assert found["target_semantic_id_in_prompt"] == found["target_title_in_prompt"] == 40


def test_lists_of_unknown_origin_are_a_warning_and_perfect_ones_a_second(folder, tmp_path):
    dataset = Dataset.from_pretrained(folder / "data")
    held = leave_one_out(dataset).reveal("test")
    users = [dataset.user_ids[user] for user in held.histories.users]
    items = [dataset.catalogue.ids[item] for item in held.targets]
    table = pd.DataFrame({"user": users, "item": items, "rank": 1})
    table[:-20].to_csv(tmp_path / "perfect.csv", index=False)  # a user it lacks is no reason to stop
    result = run(folder, str(tmp_path / "perfect.csv"), tmp_path)
    assert (result["perfect"]["leaks"], result["perfect"]["warnings"]) == (0, 2)
    assert violations(result, "perfect")["cold_targets"] > 0


def test_a_split_that_leaks_is_a_problem(folder, tmp_path, monkeypatch):
    def careless(dataset):
        split = leave_one_out(dataset)
        held = {part: split.reveal(part) for part in PARTS}
        rows = [row.tolist() for row in dataset.histories()]
        return Split(dataset, "leave_one_out", Histories.from_lists(rows, range(len(rows))), held, {})

    task = load_task("leaks")
    monkeypatch.setitem(task.build.__globals__["SPLITS"], "leave_one_out", careless)
    built = task(task.config(data=str(folder / "data"), recommender="popularity"))
    measured = built.measure(built.systems["split"].make(0))
    assert measured.totals["leaks"] == 1
    assert measured.totals["worst_leak_share"] == 1.0
    assert "held_out_in_train: 150 of 150 users" in measured.problems[0]
    fitted = built.measure(built.systems["popularity"].make(0))
    assert any("held_out_invariance" in problem for problem in fitted.problems)


def test_every_check_has_a_row():
    task = load_task("leaks")
    built = task(task.config(recommender=""))
    assert list(built.systems) == ["split"]
    found = [finding["check"] for finding in built.measure(built.systems["split"].make(0)).facts["findings"]]
    assert found == list(built.units["unit"][: len(found)])


@pytest.mark.parametrize(("values", "message"), [({"limit": 0}, "limit is 0"), ({"refits": 1}, "at least 2 refits")])
def test_settings_out_of_range_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        load_task("leaks").config(**values)


def test_a_recommender_may_not_be_called_split():
    task = load_task("leaks")
    with pytest.raises(ConfigError, match="'split'; expected another label"):
        task(task.config(recommender="split=popularity"))
