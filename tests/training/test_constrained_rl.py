"""GRPO under a constraint: fresh completions have importance ratio 1, and a planted reward is learned."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

from agentrec.core.errors import ConfigError, DataError
from agentrec.decoding.grammar import ItemGrammar, Outline
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.sequences import SequenceGrammar, SequenceTrie
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.training.constrained_rl import ConstrainedGRPOTrainer

SIZES = (16, 16, 16, 16)
VOCABULARY = SIDVocabulary(random_codes(200, SIZES), SIZES)
WANTED = 8  # items whose first code is smaller are rewarded

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def reward(completions: list[str], **_: Any) -> list[float]:
    """1 for an item of the wanted half; nothing for text that is no item."""
    found = [VOCABULARY.parse(text) for text in completions]
    return [float(bool(items) and VOCABULARY.codes[items[0], 0] < WANTED) for items in found]


def build(
    folder: Path, *, family: str = "qwen3", outline: Any = None, adapters: Any = None, **settings: Any
) -> tuple[ConstrainedGRPOTrainer, Any]:
    model, tokenizer = tiny_generator(VOCABULARY, family=family)
    model.save_pretrained(folder / "start")  # TRL reads the reference from where the model came from
    model = type(model).from_pretrained(folder / "start")
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, VOCABULARY.num_items, rng.integers(1, 4)) for _ in range(16)]
    rows = Dataset.from_dict({"prompt": ["".join(VOCABULARY.text(item) for item in row) for row in histories]})
    defaults = {
        "per_device_train_batch_size": 32,
        "num_generations": 8,
        "max_completion_length": 5,
        "max_steps": 1,
        "disable_dropout": True,
        "learning_rate": 2e-2,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "beta": 0.0,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
    }
    args = GRPOConfig(output_dir=str(folder), **{**defaults, **settings})
    trainer = ConstrainedGRPOTrainer(
        model, reward, args=args, train_dataset=rows, processing_class=tokenizer, peft_config=adapters
    )
    return trainer, (items(tokenizer) if outline is None else outline(tokenizer))


def items(tokenizer: Any, **options: Any) -> ItemGrammar:
    index = StaticIndex.build(VOCABULARY.codes, SIZES)
    return ItemGrammar(
        index, [torch.from_numpy(ids) for ids in VOCABULARY.token_ids(tokenizer)], tokenizer.eos_token_id, **options
    )


def fresh_batch(trainer: ConstrainedGRPOTrainer) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Scored rollouts, and what scoring them again asks for."""
    trainer.model.train()
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    return batch, (trainer.model, ids, mask, batch["completion_ids"].shape[1])


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_importance_ratio_is_one_with_the_mask_and_vanishes_without(
    tmp_path: Path, family: str, temperature: float
) -> None:
    trainer, grammar = build(tmp_path, family=family, temperature=temperature)
    batch, ask = fresh_batch(trainer.constrain(grammar))
    assert all(VOCABULARY.item(row) is not None for row in codes(grammar, batch["completion_ids"]))
    drawn, counts = batch["sampling_per_token_logps"], batch["completion_mask"]
    with torch.no_grad():
        masked, entropies, _ = trainer._get_per_token_logps_and_entropies(*ask, compute_entropy=True)
        plain, _, _ = GRPOTrainer._get_per_token_logps_and_entropies(trainer, *ask)
    assert ((masked - drawn) * counts).sum(dim=1).abs().max() < 1e-3
    assert (entropies[:, 0] > 1).all()
    collapsed = ((plain - drawn) * counts).sum(dim=1)
    assert collapsed.max() < -10  # TRL's own scores: another policy
    assert collapsed.exp().mean() < 1e-4


def codes(grammar: ItemGrammar, completions: torch.Tensor) -> list[list[int]]:
    rows = [grammar.codes(level, completions[:, level]) for level in range(grammar.num_levels)]
    return torch.stack(rows, dim=1).tolist()


def test_scores_in_pieces_are_the_same(tmp_path: Path) -> None:
    trainer, grammar = build(tmp_path)
    _, ask = fresh_batch(trainer.constrain(grammar))
    with torch.no_grad():
        whole, _, _ = trainer._get_per_token_logps_and_entropies(*ask)
        pieces, _, _ = trainer._get_per_token_logps_and_entropies(*ask, batch_size=5)
    assert torch.allclose(whole, pieces, atol=1e-5)


@pytest.mark.parametrize("adapters", [None, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")])
def test_the_reference_is_held_alike_and_old_completions_drift(tmp_path: Path, adapters: Any) -> None:
    trainer, grammar = build(tmp_path, adapters=adapters, beta=0.04, num_iterations=4, max_steps=4)
    trainer.constrain(grammar).train()
    log = [entry for entry in trainer.state.log_history if "kl" in entry]
    ratios = [entry["constrained/importance_ratio"] for entry in log]
    assert ratios[0] == pytest.approx(1.0, abs=1e-3)
    assert max(abs(ratio - 1) for ratio in ratios[1:]) > 1e-3
    assert log[0]["kl"] == pytest.approx(0.0, abs=1e-5)
    assert 0 < log[-1]["kl"] < 1


def test_a_planted_reward_is_learned(tmp_path: Path) -> None:
    trainer, grammar = build(tmp_path, max_steps=25)
    trainer.constrain(grammar).train()
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    rewards = [entry["reward"] for entry in log]
    assert np.mean(rewards[:3]) < 0.75
    assert np.mean(rewards[-3:]) > 0.9
    assert [entry["constrained/importance_ratio"] for entry in log] == pytest.approx([1.0] * 25, abs=1e-3)
    assert "generate" not in vars(trainer.model)


def test_text_before_items_and_titles_are_learned_alike(tmp_path: Path) -> None:
    marker = "t"

    def thinking(tokenizer: Any) -> Outline:
        return Outline(items(tokenizer), tokenizer.convert_tokens_to_ids(marker), max_text=3)

    def titles(tokenizer: Any) -> SequenceGrammar:
        words = [tokenizer(text)["input_ids"] for text in ("tents", "tents and boots", "coffee", "a tiny corpus")]
        return SequenceGrammar(SequenceTrie.build(words, tokenizer.eos_token_id))

    for name, outline in (("thinking", thinking), ("titles", titles)):
        trainer, held = build(tmp_path / name, outline=outline, max_completion_length=24, max_steps=1)
        trainer.constrain(held).train()
        log = next(entry for entry in trainer.state.log_history if "reward" in entry)
        assert log["constrained/importance_ratio"] == pytest.approx(1.0, abs=1e-3)
        assert log["completions/clipped_ratio"] == 0


def test_what_cannot_work_is_said_before_training(tmp_path: Path) -> None:
    trainer, grammar = build(tmp_path)
    with pytest.raises(ConfigError, match="call constrain"):
        trainer.train()
    with pytest.raises(ConfigError, match="max_completion_length is 5; expected 10 or more"):
        trainer.constrain(items(trainer.processing_class, items_per_output=2, separator=0))
    with pytest.raises(ConfigError, match="ends with token 9"):
        trainer.constrain(SequenceGrammar(SequenceTrie.build([[5]], 9)))
    with pytest.raises(ConfigError, match=r"top_p is 0\.9"):
        build(tmp_path, top_p=0.9)[0].constrain(grammar)
    other, _ = build(tmp_path)
    rare = ItemGrammar(StaticIndex.build(VOCABULARY.codes, SIZES, np.array([0])), grammar.token_ids, grammar.eos)
    _, ask = fresh_batch(other.constrain(grammar))
    with pytest.raises(DataError, match="did not allow"):
        other.constrain(rare)._get_per_token_logps_and_entropies(*ask)
    with pytest.raises(ConfigError, match="the batch holds pixel_values"):
        other._get_per_token_logps_and_entropies(*ask, pixel_values=torch.zeros(1))
