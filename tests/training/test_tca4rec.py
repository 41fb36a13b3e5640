"""TCA4Rec: plain SFT at alpha 0, whose truth it learns and whose errors it pays for, LoRA, flags, and mistakes."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from agentrec.core.errors import ArtefactError, ConfigError
from agentrec.core.types import Histories
from agentrec.models.presets import build_tokenizer
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.testing.worlds import TinyWorld, tiny_world
from agentrec.training import cf, sft, tca4rec
from agentrec.training.tca4rec import Alignment, train_tca4rec

QUICK = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "logging_steps": 1, "learning_rate": 5e-3}
CLEAN = tiny_world()
VOCABULARY = SIDVocabulary(random_codes(200, (6, 6))[: CLEAN.num_items], (6, 6), CLEAN.catalogue.ids)


def train(out: Path, world: TinyWorld = CLEAN, teacher: object = "transitions", **how: object) -> list:
    alignment = how.pop("alignment", Alignment())
    config = how.pop("config", sft.Config(dropout=0.1))
    kwargs = {"alignment": alignment, "config": config, "training": {**QUICK, **how}}
    return train_tca4rec(world, VOCABULARY, world.catalogue, out, teacher=teacher, **kwargs)


@pytest.mark.parametrize("form", ["sequence", "instruction"])
def test_alpha_zero_trains_as_sft_does(tmp_path: Path, form: str) -> None:
    config = sft.Config(form=form, dropout=0.1, targets_per_user=1)
    settings = {**QUICK, "num_train_epochs": 1}
    plain = sft.train_sft(CLEAN, VOCABULARY, CLEAN.catalogue, tmp_path / "sft", config=config, training=settings)
    ours = train(tmp_path / "tca", alignment=Alignment(alpha=0.0), config=config, num_train_epochs=1)
    assert len(plain) == len(ours) > 3
    assert [row["loss"] for row in ours] == pytest.approx([row["loss"] for row in plain], rel=1e-3)


def test_accumulated_steps_average_over_all_their_tokens(tmp_path: Path) -> None:
    """Two batches of 4 in one step weigh as one batch of 8."""
    still = sft.Config(dropout=0.0)
    one = train(tmp_path / "one", config=still, max_steps=4, alignment=Alignment(alpha=0.3))
    halves = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    two = train(tmp_path / "two", config=still, max_steps=4, alignment=Alignment(alpha=0.3), **halves)
    assert two[0]["loss"] > 0
    mean = [np.mean([row["loss"] for row in log]) for log in (one, two)]
    assert mean[0] == pytest.approx(mean[1], rel=0.1)


def test_the_log_and_the_folder_tell_what_was_done(tmp_path: Path) -> None:
    train(tmp_path / "out", alignment=Alignment(alpha=0.2, masked=True, tau=2.0, objective="kl", top_m=5))
    manifest = json.loads((tmp_path / "out" / "agentrec.json").read_text())["provenance"]
    assert manifest["tca4rec"]["alpha"] == 0.2
    assert manifest["teacher"]["method"] == "transitions"
    assert manifest["split"] == CLEAN.fingerprint
    assert not (tmp_path / "out.checkpoints").exists()


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
def test_lora_trains_adapters_and_new_tokens_only(tmp_path: Path) -> None:
    tokenizer = build_tokenizer([], list(CLEAN.catalogue.titles))
    base = tiny_generator(VOCABULARY).model
    base.resize_token_embeddings(len(tokenizer))
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    config = sft.Config(model=str(tmp_path / "base"), form="instruction", lora_rank=4, targets_per_user=1)
    log = train(tmp_path / "out", config=config, learning_rate=1e-2)
    trained = GenerativeRecommender.load(tmp_path / "out", catalogue=CLEAN.catalogue)
    old = base.get_input_embeddings().weight
    assert torch.equal(old, trained.model.get_input_embeddings().weight[: len(tokenizer)])
    assert log[-1]["loss"] < log[0]["loss"]


def test_alpha_rises_and_falls() -> None:
    up, down = (Alignment(alpha=0.4, alpha_schedule=name) for name in ("rise", "fall"))
    for step in range(11):
        assert up.alpha_at(step, 10) + down.alpha_at(step, 10) == pytest.approx(0.4)
    assert up.alpha_at(0, 10) == 0
    assert up.alpha_at(10, 10) == 0.4
    early = Alignment(alpha=0.4, alpha_schedule="rise", alpha_span=0.2)
    assert early.alpha_at(1, 10) == pytest.approx(0.2)
    assert early.alpha_at(2, 10) == early.alpha_at(9, 10) == 0.4


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no teacher is named"):
        train(tmp_path / "out", teacher=None)
    with pytest.raises(ArtefactError, match="may have seen what is held out"):
        train(tmp_path / "out", teacher=cf.train_cf("popularity", tiny_world(seed=1)))
    for settings, words in (
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"alpha_schedule": "wave"}, "alpha_schedule is 'wave'"),
        ({"table": "int8"}, "table is 'int8'"),
        ({"beta": 0.0}, "beta 0.0"),
        ({"objective": "js"}, "objective is 'js'"),
    ):
        with pytest.raises(ConfigError, match=words):
            Alignment(**settings)
    assert not (tmp_path / "out").exists()


def test_flags_of_both_kinds_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(tca4rec, "load_dataset", lambda path: CLEAN)
    monkeypatch.setattr(tca4rec.SIDVocabulary, "from_pretrained", lambda path: VOCABULARY)
    monkeypatch.setattr(tca4rec, "leave_one_out", lambda dataset: dataset)
    monkeypatch.setattr(tca4rec, "run_trainer", lambda *_, **found: seen.update(found))
    where = ["--data", "d", "--sids", "s", "--out", "o"]
    tca4rec.main([*where, "--teacher", "popularity", "--alpha", "0.3", "--masked", "--top_m", "7", "--max_items", "9"])
    alignment = seen["prepare"].keywords["alignment"]
    assert (alignment.alpha, alignment.masked, alignment.top_m) == (0.3, True, 7)
    assert seen["config"].max_items == 9
    assert seen["prepare"].keywords["teacher"].identity["method"] == "popularity"
    with pytest.raises(ConfigError, match="no teacher is named"):
        tca4rec.main(where)


@dataclass
class Table:
    """A teacher that knows what follows each item: (N, N) probabilities; ``mixed`` gives users each other's scores."""

    follows: np.ndarray
    provenance: dict
    mixed: bool = False

    def score(self, histories: Histories) -> np.ndarray:
        last = histories.items[histories.offsets[1:] - 1]
        if self.mixed:
            last = np.random.default_rng(0).permutation(last)
        return np.log(self.follows[last]).astype(np.float32)


def noisy_world(seed: int) -> tuple[TinyWorld, np.ndarray]:
    """Few short histories in which half of the steps go astray, and the true probabilities of the next item."""
    rng = np.random.default_rng(seed)
    clean = tiny_world(seed=seed)
    count = clean.num_items
    walks = []
    for _ in range(24):
        walk = [int(rng.integers(count))]
        for _ in range(7):
            walk.append(int(clean.next_item[walk[-1]] if rng.random() < 0.5 else rng.integers(count)))
        walks.append(walk)
    follows = np.full((count, count), 0.5 / count)
    follows[np.arange(count), clean.next_item] += 0.5
    return TinyWorld(clean.catalogue, Histories.from_lists(walks, list(range(24))), clean.next_item), follows


@pytest.mark.slow
def test_a_teacher_that_knows_helps_and_one_that_does_not_costs(tmp_path: Path) -> None:
    """Data too sparse to tell truth from noise; the share of histories whose true successor is ranked first."""
    world, follows = noisy_world(seed=0)
    rng = np.random.default_rng(0)
    count, made_from = world.num_items, {"split": world.fingerprint}
    noise = rng.random(follows.shape) ** 4
    wrong = Table(np.roll(follows, 7, axis=1), made_from)
    teachers = {
        "sft": (Table(follows, made_from), 0.0),
        "knows": (Table(follows, made_from), 0.6),
        "wrong, large alpha": (wrong, 0.9),
        "wrong, small alpha": (wrong, 0.05),
        "mixed": (Table(follows, made_from, mixed=True), 0.6),
        "random": (Table(noise / noise.sum(1, keepdims=True), made_from), 0.6),
    }
    walks = [[*rng.integers(count, size=before).tolist(), item] for item in range(count) for before in (0, 1, 2, 4)]
    histories, truth = Histories.from_lists(walks), world.next_item[[walk[-1] for walk in walks]]
    hits = {}
    for name, (teacher, alpha) in teachers.items():
        settings = {"num_train_epochs": 80, "logging_steps": 100, "save_strategy": "no"}
        train(tmp_path / name, world, teacher, alignment=Alignment(alpha=alpha), **settings)
        ranked = GenerativeRecommender.load(tmp_path / name, catalogue=world.catalogue).recommend(histories, 1)
        hits[name] = float((ranked.items[:, 0] == truth).mean())
    assert hits["knows"] > hits["sft"] + 0.1, hits
    assert hits["wrong, large alpha"] < hits["sft"] - 0.1, hits
    assert hits["wrong, small alpha"] > hits["wrong, large alpha"] + 0.05, hits
    assert hits["mixed"] < hits["sft"] + 0.05, hits
    assert hits["random"] < hits["sft"] + 0.05, hits
