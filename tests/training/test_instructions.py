"""Tasks inside fine-tuning: the table of rows, a run from end to end, weights that matter, and settings that clash."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from trl import SFTConfig

from agentrec.core.config import from_mapping
from agentrec.core.errors import ArtefactError, ConfigError, TrainingWarning
from agentrec.core.resources import resource_folder
from agentrec.models.presets import build_tokenizer
from agentrec.pipeline.recipe import read_recipe
from agentrec.prompts.mixture import Context, build_rows, parse_tasks
from agentrec.prompts.questions import Material
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.testing.worlds import TinyWorld, tiny_world
from agentrec.training import sft
from agentrec.training.flags import read_flags
from agentrec.training.instructions import prepare_tasks, to_table
from agentrec.training.sft_settings import Config

WORLD = tiny_world()
VOCABULARY = SIDVocabulary(random_codes(200, (6, 6))[: WORLD.num_items], (6, 6), WORLD.catalogue.ids)
SIDS = [VOCABULARY.text(item) for item in range(WORLD.num_items)]
TASKS = "next_item=1, title_to_sid=0.2"
QUICK = {"per_device_train_batch_size": 8, "logging_steps": 5, "learning_rate": 5e-3}
WORDS = Config(form="instruction", tasks=TASKS, max_items=3, targets_per_user=2, dropout=0.1)


class WorldWithUsers(TinyWorld):
    """A tiny world whose users have names, as those of a split have."""

    @property
    def user_ids(self) -> tuple[str, ...]:
        return tuple(f"user-{user}" for user in range(len(self.sequences)))


def test_the_table_holds_tokens_and_labels() -> None:
    tokenizer = build_tokenizer(VOCABULARY.all_tokens, WORLD.catalogue.texts())
    rows = build_rows(Material(WORLD.train, WORLD.catalogue, SIDS), tokenizer, parse_tasks(TASKS), context=Context(999))
    table = to_table(rows)
    assert table["input_ids"][:] == rows.tokens.rows()
    assert table["labels"][:] == rows.labels.rows()
    assert table.column_names == ["input_ids", "labels"]


def test_a_mixture_trains_a_recommender(tmp_path: Path) -> None:
    training = {**QUICK, "max_steps": 20}
    log = sft.train_sft(WORLD, VOCABULARY, WORLD.catalogue, tmp_path / "out", config=WORDS, training=training)
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]
    made_from = json.loads((tmp_path / "out/agentrec.json").read_text())["provenance"]
    assert made_from["tasks"] == {"next_item": 1.0, "title_to_sid": 0.2}
    assert [len(hashes) for hashes in made_from["task_prompts"].values()] == [2, 2]
    trained = GenerativeRecommender.load(tmp_path / "out", catalogue=WORLD.catalogue)
    assert trained.form.settings()["form"] == "instruction"
    found = trained.recommend(WORLD.reveal("test").histories, 3).items
    assert all(len(set(row)) == 3 for row in found.tolist())


def losses(out: Path, weights: dict[str, float] | None) -> list[float]:
    """Of four steps, each over two batches of four rows."""
    world = WorldWithUsers(WORLD.catalogue, WORLD.sequences, WORLD.next_item)
    config = replace(WORDS, tasks="next_item=1", dropout=0.0)
    if weights is not None:
        file = out.with_suffix(".csv")
        file.write_text("\n".join(["user_id,weight", *(f"{name},{value}" for name, value in weights.items())]))
        config = replace(config, sample_weights=str(file))
    steps = {"max_steps": 4, "logging_steps": 1, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}
    log = sft.train_sft(world, VOCABULARY, WORLD.catalogue, out, config=config, training={**QUICK, **steps})
    return [entry["loss"] for entry in log]


def test_weights_enter_the_loss(tmp_path: Path) -> None:
    """Equal weights of any size are plain cross entropy, step for step; others are not."""
    plain = losses(tmp_path / "plain", None)
    users = WorldWithUsers(WORLD.catalogue, WORLD.sequences, WORLD.next_item).user_ids
    assert losses(tmp_path / "equal", dict.fromkeys(users, 3.0)) == pytest.approx(plain, rel=1e-4)
    assert losses(tmp_path / "other", dict.fromkeys(users[::2], 0.0)) != pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("family", ["qwen3", "llama"])  # tied and untied
def test_new_tokens_start_at_the_words_of_their_items(tmp_path: Path, family: Literal["qwen3", "llama"]) -> None:
    tokenizer = build_tokenizer([], list(WORLD.catalogue.titles))
    base = tiny_generator(VOCABULARY, family=family).model
    base.resize_token_embeddings(len(tokenizer))
    base.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = replace(WORDS, model=str(tmp_path))
    model, extended = sft.prepare_generator(config, VOCABULARY, WORLD.catalogue, seed=0)
    first = np.flatnonzero(VOCABULARY.codes[:, 0] == VOCABULARY.codes[0, 0])
    words = [token for item in first for token in tokenizer(WORLD.catalogue.titles[item])["input_ids"]]
    code = VOCABULARY.token_ids(extended)[0][VOCABULARY.codes[0, 0]]
    for table, old in zip(
        (model.get_input_embeddings(), model.get_output_embeddings()),
        (base.get_input_embeddings(), base.get_output_embeddings()),
        strict=True,
    ):
        towards = torch.cosine_similarity(table.weight[code], old.weight[words].mean(dim=0), dim=0)
        assert towards > 0.9
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == (family == "qwen3")


def test_semantic_ids_that_the_tokenizer_does_not_know_are_named() -> None:
    stranger = build_tokenizer(VOCABULARY.all_tokens[:-1], WORLD.catalogue.texts())
    with pytest.raises(ArtefactError, match=f"the tokenizer has no token '{VOCABULARY.all_tokens[-1]}'"):
        sft.make_form(WORDS, stranger, VOCABULARY, WORLD.catalogue)


@pytest.mark.parametrize("name", ["qwen3_laptop", "qwen3_8gpu"])
def test_recipes_with_tasks_are_usable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting exists, and the commands of the comments say what the recipe says."""
    monkeypatch.setenv("AGENTREC_DATA", "somewhere")
    method = read_recipe(name).recommenders["generator"]
    config = from_mapping(Config, method.config)
    parse_tasks(config.tasks)
    SFTConfig(output_dir="unused", report_to="none", use_cpu=True, **{**method.training, "bf16": False})
    text = (resource_folder("recipes") / f"{name}.yaml").read_text()
    for number, command in enumerate(launches(text)):
        flags = command.partition("-m agentrec.training.sft")[2]
        paths, told, args, *_ = read_flags([*shlex.split(flags), "--bf16", "False", "--use_cpu", "True"])
        assert paths.out == "runs/qwen3/generator"
        assert told.tasks == config.tasks
        assert number or told == config
        assert number or all(getattr(args, key) == value for key, value in method.training.items() if key != "bf16")
    assert len(launches(text)) == (2 if name == "qwen3_8gpu" else 0)


def launches(text: str) -> list[str]:
    """The `accelerate launch` commands of a recipe's comments, each on one line."""
    comments = "\n".join(line[1:] for line in text.splitlines() if line.startswith("#"))
    return re.findall(r"accelerate launch .*", re.sub(r"\\\n\s*", "", comments))


def test_a_longer_context_is_not_used_than_asked(tmp_path: Path) -> None:
    rows = prepare_tasks(WORDS, SFTConfig(output_dir=str(tmp_path), max_length=230, report_to="none", use_cpu=True))
    tokenizer = build_tokenizer(VOCABULARY.all_tokens)
    with pytest.raises(ConfigError, match="spells the answer"):
        rows(sft.make_form(WORDS, tokenizer, VOCABULARY, WORLD.catalogue), WORLD, tokenizer)
    tokenizer = build_tokenizer(VOCABULARY.all_tokens, WORLD.catalogue.texts())
    form = sft.make_form(WORDS, tokenizer, VOCABULARY, WORLD.catalogue)
    longest = len(form.prompt(np.arange(3)))
    short = SFTConfig(output_dir=str(tmp_path), max_length=longest, report_to="none", use_cpu=True)
    with pytest.warns(TrainingWarning, match="oldest history items are left out"):
        table = prepare_tasks(WORDS, short)(form, WORLD, tokenizer).rows
    assert max(map(len, table["input_ids"][:])) <= longest
