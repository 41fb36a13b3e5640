"""A few steps of GRPO whose rollouts come from vLLM in the same process; run by `test_rollouts.py`, prints JSON.

A process of its own, because vLLM binds the threads of the one that it runs in, and one engine is all it bears.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from trl import GRPOConfig
from trl.generation import vllm_generation

from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.models.presets import build_generator
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes
from agentrec.training.constrained_rl import ConstrainedGRPOTrainer
from agentrec.training.rollouts import ItemRollouts

SIZES = (16, 16, 16)
VOCABULARY = SIDVocabulary(random_codes(200, SIZES), SIZES)
ALLOWED = range(0, VOCABULARY.num_items, 3)
STEPS = 4
OPTIONS: dict[str, Any] = {
    "use_vllm": True,
    "vllm_mode": "colocate",
    "vllm_max_model_length": 64,
    "per_device_train_batch_size": 16,
    "num_generations": 8,
    "max_completion_length": 7,
    "max_steps": STEPS,
    "disable_dropout": True,
    "learning_rate": 1e-2,
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


def main(folder: Path) -> dict[str, Any]:
    """Train; returns what was sampled and what was logged."""
    model, tokenizer = build_generator("qwen3-tiny", VOCABULARY.all_tokens)
    for part in (model, tokenizer):
        part.save_pretrained(folder / "start")  # vLLM and TRL read the model from where it came from
    model = type(model).from_pretrained(folder / "start")
    sets = ConstraintSets(StaticIndex.build(VOCABULARY.codes, SIZES))
    sets.put("in_stock", list(ALLOWED))
    sets.put("recalled", [0, 3])
    rollouts = ItemRollouts(VOCABULARY, tokenizer, constraint="in_stock - recalled", sets=sets, num_items=2)
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, VOCABULARY.num_items, rng.integers(1, 4)) for _ in range(8)]
    sampled: list[list[int]] = []

    def reward(completions: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        sampled.extend([int(token) for token in row] for row in completion_ids)
        found = [VOCABULARY.parse(text) for text in completions]
        return [float(np.mean([VOCABULARY.codes[item, 0] < 8 for item in items])) for items in found]

    options = {**OPTIONS, "output_dir": str(folder), "generation_kwargs": rollouts.colocate}
    rows = Dataset.from_dict({"prompt": ["".join(VOCABULARY.text(item) for item in row) for row in histories]})
    given = {"train_dataset": rows, "processing_class": tokenizer}
    before, asleep = vllm_generation.LLM, ""
    small = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 26, "block_size": 32}
    if not torch.cuda.is_available():
        try:
            with rollouts.engine(small):
                args = GRPOConfig(**options, vllm_enable_sleep_mode=True)
                ConstrainedGRPOTrainer(str(folder / "start"), reward, args=args, **given)
        except ValueError as error:
            asleep = str(error)
    with rollouts.engine(small):
        trainer = ConstrainedGRPOTrainer(model, reward, args=GRPOConfig(**options), **given)
    start = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    trainer.constrain(rollouts.outline(trainer.accelerator.device)).train()
    moved = max(float((one - two).abs().max()) for one, two in zip(start, trainer.model.parameters(), strict=True))
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    return {
        "sampled": sampled,
        "ratios": [entry["constrained/importance_ratio"] for entry in log],
        "drifts": [entry["sampling/sampling_logp_difference/max"] for entry in log],
        "rewards": [entry["reward"] for entry in log],
        "moved": moved,
        "asleep": asleep,
        "restored": vllm_generation.LLM is before,
        "token_ids": [ids.tolist() for ids in VOCABULARY.token_ids(tokenizer)],
        "eos": tokenizer.eos_token_id,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(json.dumps(main(Path(sys.argv[1]))))
