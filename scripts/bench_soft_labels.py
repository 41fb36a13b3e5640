"""What soft labels cost per training step beside plain fine-tuning; prints one JSON object as the last line.

    python scripts/bench_soft_labels.py                 64 rows, 12,101 items, qwen3-tiny
    python scripts/bench_soft_labels.py --steps 4       fewer steps

Both trainers step through the same batches in turn, with an optimiser each, forward, backward and update included, in
seconds of the one thread's processor time. `soft_label_overhead` is the median ratio of a pair less one;
`soft_label_memory` compares the largest memory of the process after the steps of both with that after the plain ones.
The table of soft labels is made from a SASRec with drawn weights, before; its time per target is given apart.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from agentrec.core.provenance import machine, versions
from agentrec.core.types import Catalogue, Histories

ITEMS, BATCH = 12_101, 64


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def world(rows: int) -> tuple[Any, Any, Catalogue]:
    """A split as training knows it, its semantic IDs of three levels of 256 codes, and its items."""
    from agentrec.semantic_ids.vocabulary import SIDVocabulary

    rng = np.random.default_rng(0)
    codes = np.stack(np.unravel_index(rng.choice(256**3, ITEMS, replace=False), (256,) * 3), 1).astype(np.int64)
    catalogue = Catalogue(tuple(str(item) for item in range(ITEMS)))
    lengths = np.minimum(3 + rng.geometric(0.2, rows), 50)  # about 8 items, as in amazon_beauty
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    train = Histories(np.arange(rows), offsets, rng.integers(0, ITEMS, int(offsets[-1])))
    split = SimpleNamespace(train=train, num_items=ITEMS, fingerprint="bench", catalogue=catalogue)
    return split, SIDVocabulary(codes, (256,) * 3, catalogue.ids), catalogue


def trainer_of(prepare: Any, parts: tuple[Any, Any, Catalogue], folder: str) -> Any:
    """A trainer with its optimiser, as `run_trainer` builds it."""
    from agentrec.training import sft
    from agentrec.training.dropout import add_residual_dropout
    from agentrec.training.sft_settings import training_arguments

    split, vocabulary, catalogue = parts
    config = sft.Config()
    args = training_arguments(config, {"output_dir": folder, "per_device_train_batch_size": BATCH}, progress=False)
    args.dataset_kwargs = {"skip_prepare_dataset": True}
    generator = sft.prepare_generator(config, vocabulary, catalogue, seed=0)
    form = sft.make_form(config, generator.tokenizer, vocabulary, catalogue)
    prepared = prepare(form, split, generator.tokenizer)
    add_residual_dropout(generator.model, config.dropout)
    trainer = prepared.trainer(
        model=generator.model, args=args, train_dataset=prepared.rows, processing_class=generator.tokenizer
    )
    trainer.create_optimizer_and_scheduler(num_training_steps=10_000)
    return trainer


def step(trainer: Any, batch: dict[str, torch.Tensor]) -> float:
    """Processor seconds of one step."""
    start = time.process_time()
    trainer.training_step(trainer.model, dict(batch), num_items_in_batch=(batch["labels"] != -100).sum())
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    return time.process_time() - start


def batches(trainer: Any, steps: int) -> list[dict[str, torch.Tensor]]:
    loader = iter(trainer.get_train_dataloader())
    return [next(loader) for _ in range(steps)]


def measure(steps: int) -> dict[str, Any]:
    from functools import partial

    from agentrec.models.sasrec import SASRec
    from agentrec.training.sft import prepare_sft
    from agentrec.training.tca4rec import Alignment, prepare_soft_labels
    from agentrec.training.teachers import open_teacher

    parts = world(rows=steps * BATCH)
    teacher = open_teacher(SASRec.build(ITEMS).stamp({"split": "bench"}), parts[0])
    with tempfile.TemporaryDirectory() as folder:
        plain = trainer_of(prepare_sft, parts, folder)
        plain_batches = batches(plain, steps)
        for batch in plain_batches:
            step(plain, batch)
        before = peak()
        prepare = partial(prepare_soft_labels, vocabulary=parts[1], teacher=teacher, alignment=Alignment(alpha=0.1))
        start = time.process_time()
        soft = trainer_of(prepare, parts, folder)
        made = time.process_time() - start
        soft_batches = batches(soft, steps)
        step(soft, soft_batches[0])
        pairs = [(step(plain, one), step(soft, two)) for one, two in zip(plain_batches, soft_batches, strict=True)]
    targets = len(parts[0].train.items) - len(parts[0].train)
    return {
        "soft_label_overhead": round(statistics.median(two / one for one, two in pairs) - 1, 4),
        "soft_label_memory": round(peak() / before, 3),
        "plain_step_seconds": round(statistics.median(one for one, _ in pairs), 4),
        "soft_step_seconds": round(statistics.median(two for _, two in pairs), 4),
        "soft_label_bytes_per_target": round(soft.table.nbytes / targets),
        "soft_label_targets": targets,
        "soft_label_preparation_seconds": round(made, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    torch.set_num_threads(1)
    found = measure(parser.parse_args().steps)
    print(json.dumps({**found, "machine": machine(), "versions": versions()}))


if __name__ == "__main__":
    main()
