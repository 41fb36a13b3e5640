"""The comparison of optimisers: as many rates for both, curves in steps, and what was trained is kept."""

import json
import math

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from agentrec.cli.app import app
from agentrec.core.errors import ConfigError
from agentrec.pipeline.optimizer_grid import ADAMW, MUON, Curve, Grid, tuned
from agentrec.pipeline.recipe import Method, read_recommender

SMALL = {"embedding_dim": 16, "num_layers": 1, "num_heads": 1, "max_length": 10}
RATES = {ADAMW: (1e-5, 5e-3), MUON: (1e-5, 2e-2)}


@pytest.fixture
def recipe(tmp_path):
    rows = {
        "sasrec": {"model": SMALL, "training": {"epochs": 2, "validation_users": 200}},
        "popularity": {},
        "generator": {"method": "generative", "config": {"model": "qwen3-tiny"}},
        "watched": {
            "method": "generative",
            "config": {"model": "qwen3-tiny", "validation_users": 50, "num_beams": 10},
            "training": {"max_steps": 4, "per_device_train_batch_size": 4},
        },
    }
    content = {"data": {"source": "shop"}, "sids": {"num_levels": 2, "codebook_size": 8}, "recommenders": rows}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_curve_knows_when_it_is_good_enough():
    curve = Curve((10, 20, 30), (0.1, 0.3, 0.2))
    assert curve.best == 0.3
    assert [curve.steps_to(goal) for goal in (0.05, 0.2, 0.3)] == [10, 20, 20]
    assert math.isinf(curve.steps_to(0.4))


def test_rates_go_where_they_belong():
    generator = tuned(Method("generative", config={"model": "m"}, training={"seed": 1}), MUON, 0.5)
    assert generator.config == {"model": "m", "optimizer": "muon", "muon_learning_rate": 0.5}
    assert generator.training == {"seed": 1}
    assert tuned(Method("generative"), ADAMW, 0.5).training == {"learning_rate": 0.5}
    assert tuned(Method("sasrec"), ADAMW, 0.5).training == {"optimizer": "adamw", "learning_rate": 0.5}
    assert tuned(Method("sasrec"), MUON, 0.5).training == {"optimizer": "muon", "muon_learning_rate": 0.5}


def test_both_are_tuned_measured_and_kept(recipe, tmp_path):
    found = json.loads(CliRunner().invoke(app, _command(recipe, tmp_path, "sasrec")).stdout.splitlines()[-1])
    assert found["chosen"] == {ADAMW: 5e-3, MUON: 2e-2}  # a rate of 1e-5 learns nothing
    assert [len(found["curves"][name]) for name in (ADAMW, MUON)] == [2, 2]
    gap = np.mean(found["test"][MUON]) - np.mean(found["test"][ADAMW])
    assert found["difference"]["difference"] == pytest.approx(gap)
    assert (tmp_path / "out" / "optimizers.png").read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(app, _command(recipe, tmp_path, "sasrec"))
    assert "working" not in again.stderr
    assert json.loads(again.stdout.splitlines()[-1]) == found


def _command(recipe, tmp_path, label):
    rates = ["--adamw", ",".join(map(str, RATES[ADAMW])), "--muon", ",".join(map(str, RATES[MUON]))]
    return [
        "train",
        "optimizers",
        f"{recipe}:{label}",
        "--out",
        str(tmp_path / "out"),
        "--seeds",
        "2",
        *rates,
        "--json",
    ]


def test_a_generator_is_read_by_its_beam_validation(recipe, tmp_path):
    found = Grid(read_recommender(f"{recipe}:watched"), tmp_path, {ADAMW: (1e-3,), MUON: (1e-2,)}).compare([0])
    assert found["curves"][ADAMW][0]["steps"][-1] == 4


def test_what_cannot_be_compared_is_named(recipe, tmp_path):
    with pytest.raises(ConfigError, match="has no validation_users"):
        Grid(read_recommender(f"{recipe}:generator"), tmp_path, RATES)
    with pytest.raises(ConfigError, match="'popularity' is popularity; expected sasrec"):
        Grid(read_recommender(f"{recipe}:popularity"), tmp_path, RATES)
    with pytest.raises(ConfigError, match="as many learning rates"):
        Grid(read_recommender(f"{recipe}:sasrec"), tmp_path, {ADAMW: (1e-3,), MUON: (1e-2, 2e-2)})
    refused = CliRunner().invoke(app, ["train", "optimizers", f"{recipe}:sasrec", "--out", "x", "--adamw", "0.1,fast"])
    assert isinstance(refused.exception, ConfigError) or refused.exit_code == 2
