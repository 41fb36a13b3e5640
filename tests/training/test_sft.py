"""SFT: the planted order is learned, seeds repeat, a kill loses nothing, two processes equal one of twice the batch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.utils import DistributedType

from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError
from agentrec.core.types import Histories
from agentrec.data.dataset import Dataset, Interactions
from agentrec.models.presets import build_tokenizer
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.testing.worlds import TinyWorld, tiny_world
from agentrec.training import sft
from agentrec.training.checkpoints import last_complete_checkpoint
from agentrec.training.sft_settings import PRETRAINED, SCRATCH

QUICK = {"num_train_epochs": 12, "per_device_train_batch_size": 8, "logging_steps": 5, "learning_rate": 5e-3}
WORLD = tiny_world()
VOCABULARY = SIDVocabulary(random_codes(200, (6, 6))[: WORLD.num_items], (6, 6), WORLD.catalogue.ids)


def train(out: Path, world: TinyWorld = WORLD, config: sft.Config | None = None, **training: object) -> list:
    config = config or sft.Config(dropout=0.1)
    return sft.train_sft(world, VOCABULARY, world.catalogue, out, config=config, training={**QUICK, **training})


def recall_at_1(folder: Path) -> float:
    held = WORLD.reveal("test")
    model = GenerativeRecommender.load(folder, catalogue=WORLD.catalogue)
    return float((model.recommend(held.histories, 1).items[:, 0] == held.targets).mean())


def test_the_planted_order_is_learned_and_its_ablation_loses(tmp_path: Path) -> None:
    log = train(tmp_path / "ordered")
    rng = np.random.default_rng(0)
    walks = [rng.permutation(row).tolist() for row in WORLD.sequences]
    shuffled = TinyWorld(WORLD.catalogue, Histories.from_lists(walks), WORLD.next_item)
    train(tmp_path / "shuffled", shuffled)
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert recall_at_1(tmp_path / "ordered") > 0.9
    assert recall_at_1(tmp_path / "shuffled") < 0.6
    assert not (tmp_path / "ordered.checkpoints").exists()


def test_one_seed_one_model(tmp_path: Path) -> None:
    logs = [train(tmp_path / name, num_train_epochs=2, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_lora_trains_adapters_and_new_tokens_only(tmp_path: Path, family: str) -> None:
    tokenizer = build_tokenizer([], list(WORLD.catalogue.titles))
    base = tiny_generator(VOCABULARY, family=family).model
    base.resize_token_embeddings(len(tokenizer))
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    config = sft.Config(model=str(tmp_path / "base"), form="instruction", lora_rank=4, max_items=4)
    log = train(tmp_path / "out", config=config, num_train_epochs=3, learning_rate=1e-2)
    trained = GenerativeRecommender.load(tmp_path / "out", catalogue=WORLD.catalogue)
    old = len(tokenizer)
    for before, after in zip(
        (base.get_input_embeddings(), base.get_output_embeddings()),
        (trained.model.get_input_embeddings(), trained.model.get_output_embeddings()),
        strict=True,
    ):
        assert torch.equal(before.weight, after.weight[:old])
    assert log[-1]["loss"] < log[0]["loss"]
    settings = trained.form.settings()
    assert {name: settings[name] for name in ("form", "max_items")} == {"form": "instruction", "max_items": 4}
    assert len(settings["prompts"]) == 2


def test_mistakes_are_named(tmp_path: Path) -> None:
    other = SIDVocabulary(VOCABULARY.codes[:5], (6, 6))
    with pytest.raises(ArtefactError, match="belong to another catalogue"):
        sft.train_sft(WORLD, other, WORLD.catalogue, tmp_path / "out")
    with pytest.raises(ConfigError, match="form is 'poem'"):
        train(tmp_path / "out", config=sft.Config(form="poem"))
    with pytest.raises(ConfigError, match="learning_rat"):
        train(tmp_path / "out", learning_rat=3)
    lonely = TinyWorld(WORLD.catalogue, Histories.from_lists([[1, 2, 3]]), WORLD.next_item)
    with pytest.raises(AgentrecError, match="has two items"):
        train(tmp_path / "out", lonely)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Flags of a training run on a saved data set, 60 steps with a checkpoint every 10."""
    rows = WORLD.sequences
    users = np.repeat(np.arange(len(rows)), rows.lengths)
    order = np.concatenate([np.arange(length) for length in rows.lengths])
    interactions = Interactions(users, rows.items, order, None, False)
    names = [f"user-{user}" for user in range(len(rows))]
    Dataset("tiny", names, WORLD.catalogue, interactions).save_pretrained(tmp_path / "data")
    VOCABULARY.save_pretrained(tmp_path / "sids")
    where = ["--data", str(tmp_path / "data"), "--sids", str(tmp_path / "sids")]
    size = ["--max_steps", "60", "--save_strategy", "steps", "--save_steps", "10", "--logging_steps", "1"]
    return [*where, *size]


METHODS = {
    "sft": ["-m", "agentrec.training.sft"],
    "tca4rec": ["-m", "agentrec.training.tca4rec", "--teacher", "transitions", "--alpha_schedule", "rise"],
}


def log_of(out: Path) -> list:
    return json.loads((out / "training_log.json").read_text())


@pytest.mark.parametrize("method", ["sft", pytest.param("tca4rec", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_with_the_same_losses(tmp_path: Path, command: list[str], method: str) -> None:
    """SIGKILL in the middle of training; the same command again ends with the curve of an undisturbed run."""
    command = [*METHODS[method], *command]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    batch = ["--per_device_train_batch_size", "8"]
    subprocess.run([sys.executable, *command, *batch, "--out", str(tmp_path / "whole")], check=True, **quiet)
    cut = [sys.executable, *command, *batch, "--out", str(tmp_path / "cut")]
    running = subprocess.Popen(cut, **quiet)
    checkpoints, deadline = tmp_path / "cut.checkpoints", time.monotonic() + 120
    while last_complete_checkpoint(checkpoints) is None and time.monotonic() < deadline:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "cut").exists()
    kept = last_complete_checkpoint(checkpoints)
    assert kept is not None
    state = Path(kept) / "trainer_state.json"  # a mark that only a resumed run carries on
    content = json.loads(state.read_text())
    content["log_history"][0]["loss"] = 123.0
    state.write_text(json.dumps(content))
    half = checkpoints / "checkpoint-99999"  # what a kill while writing leaves behind
    half.mkdir()
    (half / "trainer_state.json").write_text('{"global_step": 99')
    subprocess.run(cut, check=True, **quiet)
    assert log_of(tmp_path / "cut")[0]["loss"] == 123.0
    assert log_of(tmp_path / "cut")[1:] == log_of(tmp_path / "whole")[1:]
    assert len(log_of(tmp_path / "whole")) == 60


def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path, command: list[str]) -> None:
    """`accelerate launch` on two CPU processes (gloo): the same losses as one process, without dropout."""
    common = [*METHODS["sft"], *command, "--dropout", "0", "--max_steps", "12", "--seed", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    one = [*common, "--per_device_train_batch_size", "12", "--out", str(tmp_path / "one")]
    two = [*common, "--per_device_train_batch_size", "6", "--out", str(tmp_path / "two")]
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    quiet = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    subprocess.run([sys.executable, *one], check=True, env=environment, capture_output=True)
    done = subprocess.run([sys.executable, *launch, *quiet, *two], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [np.array([entry["loss"] for entry in log_of(tmp_path / name)]) for name in ("one", "two")]
    assert len(losses[0]) == 12
    assert np.allclose(losses[0], losses[1], rtol=2e-4)


@pytest.mark.parametrize("spelling", [["--model=x/y"], ["--model", "x/y"]])
def test_pretrained_models_get_their_own_defaults(spelling: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(sft, "load_dataset", lambda path: WORLD)
    monkeypatch.setattr(sft.SIDVocabulary, "from_pretrained", lambda path: VOCABULARY)
    monkeypatch.setattr(sft, "leave_one_out", lambda dataset: dataset)
    monkeypatch.setattr(sft, "run_trainer", lambda *_, args, **__: seen.update(rate=args.learning_rate))
    where = ["--data", "d", "--sids", "s", "--out", "o"]
    sft.main([*where, *spelling])
    assert seen["rate"] == PRETRAINED["learning_rate"]
    sft.main([*where, *spelling, "--learning_rate", "3e-3"])
    assert seen["rate"] == 3e-3
    sft.main(where)
    assert seen["rate"] == SCRATCH["learning_rate"]
    with pytest.raises(ConfigError, match="no_such_flag"):
        sft.main([*where, "--no_such_flag", "1"])


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_weights_spread_over_processes_are_gathered_and_adapters_refused(kind: DistributedType) -> None:
    """The decision only: no GPU is at hand to spread anything."""
    whole = {"w": torch.ones(2)}

    def trainer(model: object, kind: DistributedType) -> object:
        parts = {"distributed_type": kind, "unwrap_model": lambda model: model, "get_state_dict": lambda model: whole}
        return SimpleNamespace(accelerator=SimpleNamespace(**parts), model=model)

    assert sft.gathered(trainer(object(), DistributedType.MULTI_GPU)) is None
    assert sft.gathered(trainer(object(), kind)) is whole
    with pytest.raises(ConfigError, match="cannot be merged; use --multi_gpu, or lora_rank 0"):
        sft.gathered(trainer(SimpleNamespace(merge_and_unload=None), kind))
