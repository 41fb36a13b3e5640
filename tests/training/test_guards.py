"""Guards: long rows are counted and named, and a loss that is no number stops with its batch kept."""

from functools import partial

import numpy as np
import pytest
import torch
from datasets import Dataset as Rows
from safetensors.torch import load_file

from agentrec.core.errors import ConfigError, DataError, TrainingError, TrainingWarning
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.testing.worlds import tiny_world
from agentrec.training import sft
from agentrec.training.adapters import linear_modules, lora_config
from agentrec.training.guards import finite_loss, within_context
from agentrec.training.tca4rec import train_tca4rec

WORLD = tiny_world()
VOCABULARY = SIDVocabulary(random_codes(200, (6, 6))[: WORLD.num_items], (6, 6), WORLD.catalogue.ids)
QUICK = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 5e-3}


def rows(*lengths):
    return Rows.from_dict({"input_ids": [list(range(length)) for length in lengths]})


def test_rows_that_fit_are_left_alone():
    table = rows(3, 4)
    assert within_context(table, 4, "refuse", "shorten") is table


def test_long_rows_are_refused_by_number_or_dropped():
    with pytest.raises(DataError, match=r"2 of 3 training rows .* row 0 \(5 tokens\), row 2 \(9 tokens\).* too_long"):
        within_context(rows(5, 2, 9), 4, "refuse", "shorten")
    with pytest.warns(TrainingWarning, match="2 of 3 .* dropped"):
        kept = within_context(rows(5, 2, 9), 4, "drop", "shorten")
    assert [len(ids) for ids in kept["input_ids"]] == [2]
    with pytest.raises(DataError, match=r"2 of 2 .* so shorten$"):
        within_context(rows(5, 9), 4, "drop", "shorten")


def test_training_drops_long_rows_and_the_rest_keep_their_soft_labels(tmp_path):
    """Rows know their numbers, so that dropping some does not shift the labels of others."""
    config = sft.Config(dropout=0.1, too_long="drop")
    how = {"config": config, "training": {**QUICK, "max_length": 15}}
    with pytest.raises(DataError, match="longer than the model's context"):
        train_tca4rec(
            WORLD, VOCABULARY, WORLD.catalogue, tmp_path / "o", teacher="popularity", training=how["training"]
        )
    with pytest.warns(TrainingWarning, match="are dropped"):
        log = train_tca4rec(WORLD, VOCABULARY, WORLD.catalogue, tmp_path / "o", teacher="popularity", **how)
    assert np.isfinite([entry["loss"] for entry in log]).all()


def test_a_loss_that_is_no_number_keeps_its_batch(tmp_path):
    batch = {"input_ids": torch.arange(6).view(2, 3), "note": "text"}
    finite_loss(torch.tensor(1.0), batch, step=3, rate=0.1, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(TrainingError, match=r"the loss is inf after 3 steps at learning rate 0\.1"):
        finite_loss(torch.tensor(torch.inf), batch, step=3, rate=0.1, folder=tmp_path)
    assert torch.equal(load_file(tmp_path / "not_a_number.safetensors")["input_ids"], batch["input_ids"])


@pytest.mark.parametrize("method", ["sft", "tca4rec"])
def test_training_stops_at_a_loss_that_is_no_number(tmp_path, method):
    """A learning rate without bounds: the model overflows within a few steps."""
    wild = {**QUICK, "learning_rate": 1e30, "max_grad_norm": 0.0, "warmup_steps": 0, "weight_decay": 0.0}
    out = tmp_path / "out"
    train = sft.train_sft if method == "sft" else partial(train_tca4rec, teacher="popularity")
    with pytest.raises(TrainingError, match="expected a finite number, so lower learning_rate"):
        train(WORLD, VOCABULARY, WORLD.catalogue, out, training=wild)
    assert not out.exists()
    assert "labels" in load_file(tmp_path / "out.checkpoints" / "not_a_number.safetensors")


def test_adapters_go_where_they_are_asked():
    model = tiny_generator(VOCABULARY).model
    assert linear_modules(model) == ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert lora_config(4, "q_proj, v_proj", model, [3, 1]).target_modules == {"q_proj", "v_proj"}
    assert lora_config(4, "all-linear", model, [3, 1]).target_modules == "all-linear"
    with pytest.raises(ConfigError, match="no linear module query; expected all-linear or some of q_proj, k_proj"):
        lora_config(4, "query,v_proj", model, [3])
    with pytest.raises(ConfigError, match="expected all-linear"):
        lora_config(4, " , ", model, [3])
