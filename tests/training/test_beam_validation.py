"""Generators stop by the lists they generate, keep their best weights, and go on as if they had not been killed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from agentrec.core.errors import ConfigError
from agentrec.metrics.ranking import ndcg, target_ranks
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes
from agentrec.testing.worlds import tiny_world
from agentrec.training import sft
from agentrec.training.beam_validation import BEST, ROUNDS, BeamNDCG, BeamValidation
from agentrec.training.sft_settings import FIRST

WORLD: Any = tiny_world()
VOCABULARY = SIDVocabulary(random_codes(200, (6, 6))[: WORLD.num_items], (6, 6), WORLD.catalogue.ids)
QUICK = {"num_train_epochs": 12, "per_device_train_batch_size": 8, "logging_steps": 5, "learning_rate": 5e-3}


class State:
    """What a trainer tells its callbacks."""

    is_world_process_zero = True

    def __init__(self, epochs: int, per_epoch: int) -> None:
        self.global_step, self.max_steps, self.num_train_epochs = 0, epochs * per_epoch, epochs
        self.epoch = 0.0


class Control:
    """What callbacks tell the trainer."""

    should_training_stop = False


def drive(watch: BeamValidation, model: torch.nn.Linear, *, epochs: int = 8, first: int = 0) -> tuple[State, Control]:
    """A trainer of two steps per epoch that adds 1 to a weight at each."""
    state, control = State(epochs, 2), Control()
    state.global_step = first
    watch.on_train_begin(None, state, control)
    while state.global_step < state.max_steps and not control.should_training_stop:
        with torch.no_grad():
            model.weight.add_(1.0)
        state.global_step += 1
        state.epoch = state.global_step / 2
        watch.on_step_end(None, state, control, model=model)
    watch.on_train_end(None, state, control, model=model)
    return state, control


def zero() -> torch.nn.Linear:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    return model


def test_it_stops_after_its_patience_and_puts_the_best_weights_back(tmp_path: Path) -> None:
    model = zero()
    watch = BeamValidation(lambda it: -abs(it.weight.item() - 6), tmp_path, patience=2)
    state, control = drive(watch, model)
    assert [row["epoch"] for row in watch.rounds] == [1, 2, 3, 4, 5]
    assert control.should_training_stop
    assert state.global_step == 10
    assert model.weight.item() == 6


def test_without_a_worse_round_it_trains_to_the_end(tmp_path: Path) -> None:
    model = zero()
    watch = BeamValidation(lambda it: it.weight.item(), tmp_path, every=0.5)
    drive(watch, model)
    assert len(watch.rounds) == 16
    assert model.weight.item() == 16


def test_a_resumed_run_knows_the_rounds_before_its_checkpoint(tmp_path: Path) -> None:
    def measure(it: Any) -> float:
        return -abs(float(it.weight.item()) - 4)

    whole = BeamValidation(measure, tmp_path / "whole", patience=2)
    drive(whole, zero())
    killed = BeamValidation(measure, tmp_path / "killed", patience=2)
    drive(killed, zero(), epochs=3)
    again, model = BeamValidation(measure, tmp_path / "killed", patience=2), zero()
    with torch.no_grad():
        model.weight.fill_(4.0)  # as the checkpoint of step 4 holds it
    drive(again, model, first=4)
    assert again.rounds == whole.rounds
    assert model.weight.item() == 4


def test_what_is_measured_is_the_ndcg_of_the_recommender(tmp_path: Path) -> None:
    settings = {**QUICK, "num_train_epochs": 3}
    sft.train_sft(WORLD, VOCABULARY, WORLD.catalogue, tmp_path / "g", config=sft.Config(dropout=0.1), training=settings)
    model = GenerativeRecommender.load(tmp_path / "g", catalogue=WORLD.catalogue)
    held = WORLD.reveal("validation")
    ranked = model.recommend(held.histories, 10).items
    expected = float(ndcg(target_ranks(ranked, held.targets), 10).mean())
    found = BeamNDCG(held, model.form, model.tokenizer, VOCABULARY)(model.model)
    assert found == pytest.approx(expected, abs=1e-6)
    assert 0 < found < 1


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_generator_stops_early_and_has_learned_the_order(tmp_path: Path, optimizer: str) -> None:
    config = sft.Config(dropout=0.1, optimizer=optimizer, validation_users=200, validate_every=2, patience=2)
    training = {**QUICK, "num_train_epochs": 30}
    log = sft.train_sft(WORLD, VOCABULARY, WORLD.catalogue, tmp_path / "g", config=config, training=training)
    written = (tmp_path / "g" / "training_log.json").read_text()
    assert "ndcg@10" in written
    assert max(row["epoch"] for row in log) < 29
    held = WORLD.reveal("test")
    model = GenerativeRecommender.load(tmp_path / "g", catalogue=WORLD.catalogue)
    assert float((model.recommend(held.histories, 1).items[:, 0] == held.targets).mean()) > 0.85
    assert not (tmp_path / "g.checkpoints").exists()


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    for bad in ({"every": 0.0}, {"patience": 0}):
        with pytest.raises(ConfigError, match="expected above 0, and 1 or more"):
            BeamValidation(lambda _: 0.0, tmp_path, **bad)
    with pytest.raises(ConfigError, match="expected adamw or muon"):
        sft.Config(optimizer="sgd")


def test_a_setting_at_its_default_does_not_change_what_a_model_is_known_by() -> None:
    assert set(sft.Config().chosen()) == set(FIRST)
    assert sft.Config(optimizer="muon").chosen()["optimizer"] == "muon"


def test_files_of_the_callback_lie_beside_the_checkpoints(tmp_path: Path) -> None:
    drive(BeamValidation(lambda it: it.weight.item(), tmp_path), zero())
    assert {path.name for path in tmp_path.iterdir()} == {ROUNDS, BEST}
