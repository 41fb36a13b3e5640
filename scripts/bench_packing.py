"""Tokens per second of the sequence form against TRL's SFTTrainer with packing; see bench_training.py.

The same histories, model and optimiser. Ours: one history per row, rows of similar length in a batch, padded to the
longest. TRL's: histories joined end to end and cut into blocks (``packing_strategy="wrapped"``, the one that needs no
flash attention, in which a history may see the one before it in its block), as many blocks per step as hold the tokens
of one of our batches. Real tokens over seconds of all steps but the first two, runs in turns, the median over turns.
TRL's trainer also counts entropy and accuracy of tokens, as it does for everybody.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset as Rows
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from agentrec.core.types import Histories
from agentrec.models.presets import build_generator
from agentrec.prompts.forms import SequenceForm
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.training.sft import training_rows
from agentrec.training.sid_trainer import SIDTrainer

BLOCK, BATCH = 256, 64


class Stopwatch(TrainerCallback):  # type: ignore[misc]
    """Seconds and tokens of every step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.tokens: list[int] = []
        self._begun = 0.0

    def counting(self, collate: Any) -> Any:
        """A collator whose tokens are counted, padding left out."""

        def counted(rows: Any) -> Any:
            self.tokens.append(sum(len(row["input_ids"]) for row in rows))
            return collate(rows)

        return counted

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append(time.perf_counter() - self._begun)


def measure(histories: Histories, num_items: int, *, steps: int, turns: int) -> dict[str, Any]:
    """Tokens per second of both, and their ratio."""
    rng = np.random.default_rng(1)
    codes = np.stack(np.unravel_index(rng.choice(256**3, num_items, replace=False), (256,) * 3), 1).astype(np.int64)
    vocabulary = SIDVocabulary(codes)
    found: dict[str, list[float]] = {"ours": [], "trl": []}
    for _ in range(turns):
        for name, speeds in found.items():
            speeds.append(_speed(name, vocabulary, histories, steps))
    ours, trl = (statistics.median(found[name]) for name in ("ours", "trl"))
    return {
        "sequence_tokens_per_s": round(ours),
        "trl_packing_tokens_per_s": round(trl),
        "sequence_vs_trl_packing": round(ours / trl, 3),
    }


def _speed(name: str, vocabulary: SIDVocabulary, histories: Histories, steps: int) -> float:
    generator = build_generator("qwen3-tiny", vocabulary.all_tokens)
    form = SequenceForm(vocabulary.item_token_ids(generator.tokenizer), generator.tokenizer.bos_token_id)
    rows = training_rows(form.examples(histories))
    mean = float(np.mean([len(ids) for ids in rows["input_ids"]]))
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "output_dir": str(Path(folder) / "out"),
            "max_steps": steps,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": not torch.accelerator.is_available(),
            "bf16": False,
            "gradient_checkpointing": False,
            "logging_steps": 10**6,
        }
        if name == "ours":
            args = SFTConfig(
                per_device_train_batch_size=BATCH,
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
                **common,
            )
            trainer = SIDTrainer(
                model=generator.model, args=args, train_dataset=rows, processing_class=generator.tokenizer
            )
        else:
            blocks = max(1, round(BATCH * mean / BLOCK))
            args = SFTConfig(
                per_device_train_batch_size=blocks, packing=True, packing_strategy="wrapped", max_length=BLOCK, **common
            )
            plain = Rows.from_dict({"input_ids": rows["input_ids"]})
            trainer = SFTTrainer(
                model=generator.model, args=args, train_dataset=plain, processing_class=generator.tokenizer
            )
        trainer.data_collator = watch.counting(trainer.data_collator)
        trainer.add_callback(watch)
        trainer.train()
    return sum(watch.tokens[2 : len(watch.seconds)]) / sum(watch.seconds[2:])
