"""Speed of the main job against its peers, in one run on one machine; prints one JSON object as the last line.

    python scripts/bench_main.py                      all sections
    python scripts/bench_main.py --only beam sft      some of them
    python scripts/bench_main.py --only quickstart    wall time and peak memory of the whole quickstart

Every comparison runs both sides in turn in this process and reports the median ratio. With AGENTREC_DATA the training
section uses amazon_scientific, without it the simulated shop.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agentrec.core.provenance import machine, versions

ROOT = Path(__file__).resolve().parents[1]
BARS = {
    "help_seconds": (0.5, "at most"),
    "quickstart_seconds": (240.0, "at most"),
    "quickstart_peak_gib": (2.0, "at most"),
    "sft_histories_ratio": (5.0, "at least"),
    "beam_ratio": (3.0, "at least"),
    "beam_same_ranking": (1.0, "at least"),
    "evaluation_seconds": (30.0, "at most"),
}


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def bench_help() -> dict[str, float]:
    """Import and `agentrec --help` in a fresh interpreter."""
    command = [sys.executable, "-m", "agentrec", "--help"]
    run = lambda: subprocess.run(command, check=True, capture_output=True, cwd=ROOT)  # noqa: E731
    run()
    return {"help_seconds": statistics.median(seconds(run) for _ in range(7))}


def bench_quickstart() -> dict[str, float]:
    """The quickstart recipe on the simulated shop, installation excluded."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "agentrec", "run", "quickstart", "--out", f"{folder}/run"]
        wall = seconds(lambda: subprocess.run(command, check=True, capture_output=True, cwd=ROOT))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return {"quickstart_seconds": wall, "quickstart_peak_gib": peak}


def bench_sft(users: int = 512, repeats: int = 3) -> dict[str, float]:
    """User histories per second: sequence form here, one sample per prefix through plain TRL there."""
    from agentrec.data.load import load_dataset
    from agentrec.data.split import leave_one_out
    from agentrec.semantic_ids.vocabulary import SIDVocabulary

    folder = os.environ.get("AGENTREC_DATA")
    source = Path(folder) / "amazon_scientific" / "interactions.csv" if folder else "shop"
    items = Path(folder) / "amazon_scientific" / "items.csv" if folder else None
    dataset = load_dataset(source, items=items)
    rng = np.random.default_rng(0)
    train = leave_one_out(dataset).train
    train = train.take(np.flatnonzero(train.lengths >= 2))
    train = train.take(np.sort(rng.choice(len(train), users, replace=False)))
    codes = np.stack(np.unravel_index(rng.choice(256**3, dataset.num_items, replace=False), (256, 256, 256)), axis=1)
    vocabulary = SIDVocabulary(np.c_[codes, np.zeros(len(codes), int)], (256, 256, 256, 1))
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(users / seconds(_sequence_trainer(vocabulary, train).train))
        theirs.append(users / seconds(_prefix_trainer(vocabulary, train).train))
    ratios = [own / peer for own, peer in zip(ours, theirs, strict=True)]
    return {
        "sft_histories_per_second": statistics.median(ours),
        "sft_histories_per_second_per_prefix_trl": statistics.median(theirs),
        "sft_prefixes_per_history": float((train.lengths - 1).mean()),
        "sft_histories_ratio": statistics.median(ratios),
    }


def _arguments(out: str, **more: Any) -> dict[str, Any]:
    quiet = {"report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    same = {"num_train_epochs": 1, "per_device_train_batch_size": 32, "gradient_checkpointing": False}
    return {**quiet, **same, "bf16": False, "dataloader_pin_memory": False, "output_dir": out, **more}


def _sequence_trainer(vocabulary: Any, train: Any) -> Any:
    from trl import SFTConfig

    from agentrec.models.presets import build_generator
    from agentrec.prompts.forms import SequenceForm
    from agentrec.training.sft import training_rows
    from agentrec.training.sid_trainer import SIDTrainer

    model, tokenizer = build_generator("qwen3-tiny", vocabulary.all_tokens)
    form = SequenceForm(vocabulary.item_token_ids(tokenizer), tokenizer.bos_token_id)
    args = SFTConfig(**_arguments(tempfile.mkdtemp(), max_length=None, dataset_kwargs={"skip_prepare_dataset": True}))
    rows = training_rows(form.examples(train))
    return SIDTrainer(model=model, args=args, train_dataset=rows, processing_class=tokenizer)


def _prefix_trainer(vocabulary: Any, train: Any) -> Any:
    """What a user of TRL writes: a row per prefix, loss on the next item's tokens only."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from agentrec.models.presets import build_generator
    from agentrec.prompts.forms import SequenceForm

    model, tokenizer = build_generator("qwen3-tiny", vocabulary.all_tokens)
    form = SequenceForm(vocabulary.item_token_ids(tokenizer), tokenizer.bos_token_id)
    rows = []
    for history in train:
        for target in range(1, len(history)):
            prompt, answer = form.prompt(history[:target]), form.item_tokens[history[target]].tolist()
            rows.append({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer})
    args = SFTConfig(**_arguments(tempfile.mkdtemp(), max_length=None))
    return SFTTrainer(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)


def bench_beam(repeats: int = 3) -> dict[str, float]:
    """16 prompts of 100 tokens, 20 beams, 4 levels, 2,000 items: tree beams against Hugging Face generate."""
    import torch

    from agentrec.decoding.index.trie import Trie
    from agentrec.decoding.search.beam import beam_search
    from agentrec.models.presets import build_generator
    from agentrec.semantic_ids.vocabulary import SIDVocabulary

    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 256, (2000, 4)), axis=0)
    vocabulary = SIDVocabulary(codes, (256,) * 4)
    model, tokenizer = build_generator("qwen3-small", vocabulary.all_tokens)
    model.eval()
    tokens = vocabulary.item_token_ids(tokenizer)
    prompts = torch.from_numpy(rng.integers(5, len(tokenizer), (16, 100)))
    mask = torch.ones_like(prompts)
    trie, ids = Trie.build(codes, (256,) * 4), [torch.from_numpy(row) for row in vocabulary.token_ids(tokenizer)]
    allowed = _prefix_function(tokens, prompts.shape[1])

    def ours() -> Any:
        return beam_search(model, prompts, mask, trie, ids, num_beams=20).items

    def theirs() -> Any:
        return model.generate(
            prompts,
            attention_mask=mask,
            max_new_tokens=4,
            num_beams=20,
            num_return_sequences=20,
            do_sample=False,
            length_penalty=0.0,
            eos_token_id=None,
            prefix_allowed_tokens_fn=allowed,
        )

    item_of = {tuple(row): item for item, row in enumerate(tokens.tolist())}
    expected = np.array([item_of[tuple(row)] for row in theirs()[:, prompts.shape[1] :].tolist()]).reshape(16, 20)
    same = float((ours().numpy() == expected).mean())
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    return {
        "beam_seconds": statistics.median(own for own, _ in pairs),
        "beam_seconds_hf_generate": statistics.median(peer for _, peer in pairs),
        "beam_ratio": statistics.median(peer / own for own, peer in pairs),
        "beam_same_ranking": same,
    }


def _prefix_function(tokens: np.ndarray, prompt_length: int) -> Callable[[int, Any], list[int]]:
    tree: dict[int, Any] = {}
    for row in tokens.tolist():
        node = tree
        for token in row:
            node = node.setdefault(token, {})

    def allowed(_: int, sequence: Any) -> list[int]:
        node = tree
        for token in sequence[prompt_length:].tolist():
            node = node[token]
        return list(node)

    return allowed


def bench_evaluation(users: int = 22_363, items: int = 12_101) -> dict[str, float]:
    """Full-catalogue evaluation of SASRec on as many users and items as Amazon Beauty has."""
    from agentrec.core.types import HeldOut, Histories
    from agentrec.evaluation.ranking import evaluate
    from agentrec.models.sasrec import SASRec

    rng = np.random.default_rng(0)
    lengths = np.minimum(4 + rng.geometric(0.2, users), 50)
    histories = Histories.from_lists([rng.integers(0, items, length) for length in lengths], list(range(users)))
    held = HeldOut("test", histories, rng.integers(0, items, users))

    class Split:
        num_items, fingerprint, train = items, "bench", histories

        def reveal(self, part: str) -> HeldOut:
            return held

    model = SASRec.build(items)
    return {"evaluation_seconds": seconds(lambda: evaluate({"sasrec": model}, Split()))}


SECTIONS: dict[str, Callable[[], dict[str, float]]] = {
    "help": bench_help,
    "beam": bench_beam,
    "sft": bench_sft,
    "evaluation": bench_evaluation,
    "quickstart": bench_quickstart,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    chosen = parser.parse_args().only
    figures: dict[str, float] = {}
    for name in chosen:
        print(f"{name}: working", file=sys.stderr)
        figures |= {key: round(value, 4) for key, value in SECTIONS[name]().items()}
    bars = {}
    for name, (bar, side) in BARS.items():
        if name in figures:
            holds = figures[name] <= bar if side == "at most" else figures[name] >= bar
            bars[name] = {"value": figures[name], "bar": bar, "holds": holds}
    print(json.dumps({"machine": {**machine(), **versions()}, "figures": figures, "bars": bars}, sort_keys=True))


if __name__ == "__main__":
    main()
