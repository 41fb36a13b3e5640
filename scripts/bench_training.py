"""Speed of training and of what feeds it; prints one JSON object as the last line.

    python scripts/bench_training.py                        every section
    python scripts/bench_training.py --only multi_task      one section

A section is a function of `SECTIONS` that returns numbers by name. Every section runs in this process with one thread.

multi_task      rows of ten tasks for fine-tuning, from histories to token ids and labels: an invented catalogue of
                12,101 items with titles of 4 to 18 words, brand and category, 22,363 users; the tokenizer is a
                byte-level BPE trained on those texts and the prompts. Tokenising, the check against prompts tokenised
                whole and the table of `datasets` count; training the tokenizer does not. Best of `--repeats`, in
                seconds of the one thread's processor time, which on an idle machine are seconds.
sequence_form   tokens per second of the sequence form against TRL's packing; see bench_packing.py.
soft_labels     what the soft labels of TCA4Rec add to a step; see bench_soft_labels.py.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

from agentrec.core.provenance import machine, versions
from agentrec.core.types import Catalogue, Histories

ITEMS, USERS = 12_101, 22_363
SYLLABLES = ("ka", "lo", "mi", "ter", "ran", "sol", "ve", "dra", "pu", "nen", "shi", "gol", "ba", "rit", "ex", "um")


def invented(items: int, users: int) -> tuple[Catalogue, Histories]:
    """A catalogue with texts, and histories of 2 to 20 items."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(SYLLABLES, rng.integers(1, 5))).capitalize() for _ in range(8000)]
    share = 1 / np.arange(1, len(words) + 1)
    share /= share.sum()
    titles = [
        " ".join(words[word] for word in rng.choice(len(words), rng.integers(4, 19), p=share)) for _ in range(items)
    ]
    brands = [words[word] for word in rng.integers(0, 2000, items)]
    kinds = [f"{words[kind]} > {words[kind + 300]}" for kind in rng.integers(0, 245, items)]
    columns = {"title": tuple(titles), "brand": tuple(brands), "category": tuple(kinds)}
    lengths = rng.integers(2, 21, users)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    chosen = (rng.integers(0, items, int(offsets[-1])) * rng.random(int(offsets[-1]))).astype(np.int64)
    histories = Histories(np.arange(users, dtype=np.int64), offsets, chosen)
    return Catalogue(tuple(map(str, range(items))), columns), histories


def multi_task(options: argparse.Namespace) -> dict[str, Any]:
    from agentrec.models.presets import build_tokenizer
    from agentrec.prompts.mixture import TASKS, Context, build_rows, prompt_words
    from agentrec.prompts.questions import Material
    from agentrec.semantic_ids.vocabulary import SIDVocabulary
    from agentrec.training.instructions import to_table

    catalogue, histories = invented(ITEMS, USERS)
    codes = np.stack(np.unravel_index(np.random.default_rng(1).choice(256**3, ITEMS, replace=False), (256,) * 3), 1)
    vocabulary = SIDVocabulary(codes.astype(np.int64))
    tokenizer = build_tokenizer(vocabulary.all_tokens, [*catalogue.texts(), *prompt_words(TASKS.names())])
    sids = [vocabulary.text(item) for item in range(ITEMS)]
    tasks = {"next_item": 1.0, **{name: 0.3 for name in TASKS.names() if name != "next_item"}}
    seconds, rows = [], None
    for _ in range(options.repeats):
        start = time.process_time()
        material = Material(histories, catalogue, sids)  # nothing is left over from the run before
        rows = build_rows(material, tokenizer, tasks, context=Context(4096))
        to_table(rows)
        seconds.append(time.process_time() - start)
    assert rows is not None
    return {
        "multi_task_examples_per_s": round(len(rows) / min(seconds)),
        "multi_task_tokens_per_s": round(len(rows.tokens.values) / min(seconds)),
        "multi_task_examples": len(rows),
        "multi_task_tokens_per_example": round(len(rows.tokens.values) / len(rows), 1),
    }


def soft_labels(options: argparse.Namespace) -> dict[str, Any]:
    from bench_soft_labels import measure

    return measure(steps=4 * options.repeats)


def sequence_form(options: argparse.Namespace) -> dict[str, Any]:
    from bench_packing import measure

    return measure(invented(ITEMS, USERS)[1], ITEMS, steps=10 * options.repeats, turns=options.repeats)


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "multi_task": multi_task,
    "sequence_form": sequence_form,
    "soft_labels": soft_labels,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name in options.only:
        found |= SECTIONS[name](options)
    print(json.dumps({**found, "machine": machine(), "versions": versions()}))


if __name__ == "__main__":
    main()
