"""Multi-task instruction data for fine-tuning: what `sft` trains on where its config names ``tasks``.

Rows are built by `agentrec.prompts.mixture` from the training histories of the split and the catalogue, and become a
table of `datasets` without a copy per row. What recommending asks is the task ``next_item``; other tasks teach words
and semantic IDs each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from datasets import Dataset as Table
from trl import SFTConfig

from agentrec.core.errors import TrainingWarning
from agentrec.core.files import array_hash
from agentrec.data.split import Split
from agentrec.prompts.compose import Ragged
from agentrec.prompts.forms import Form, InstructionForm
from agentrec.prompts.mixture import Context, Rows, build_rows, parse_tasks, task_prompts
from agentrec.prompts.questions import Material
from agentrec.training.sft import Prepare, Prepared
from agentrec.training.sft_settings import Config
from agentrec.training.sid_trainer import SIDTrainer
from agentrec.training.weights import COLUMN, WeightedTrainer, read_weights

UNBOUNDED = 2**31  # tokenizers that know no bound say 1e30
RECOMMENDING = "next_item"  # the task whose prompt recommending uses


def prepare_tasks(config: Config, args: SFTConfig) -> Prepare:
    """What `run_trainer` trains on where ``config.tasks`` is given.

    Args:
        config: with ``form="instruction"`` and ``tasks``.
        args: its ``seed`` draws rows, its ``max_length`` bounds them; without one the tokenizer's own bound holds.

    Raises:
        ConfigError: ``tasks`` cannot be read.
        UnknownNameError: there is no such task.
    """
    tasks = parse_tasks(config.tasks)
    if RECOMMENDING not in tasks:
        warnings.warn(
            f"tasks are {', '.join(tasks)}; without {RECOMMENDING!r} the model never sees the prompt that it is asked "
            "when it recommends",
            TrainingWarning,
            stacklevel=2,
        )

    def prepare(form: Form, split: Split, tokenizer: Any) -> Prepared:
        assert isinstance(form, InstructionForm)
        material = Material(split.train, split.catalogue, form.sids, form.max_items, form.targets_per_user)
        size = args.max_length or min(int(tokenizer.model_max_length), UNBOUNDED)
        context = Context(size, config.too_long)
        rows = build_rows(material, tokenizer, tasks, context=context, seed=args.seed)
        words = {name: [prompt.hash for prompt in task_prompts(name)] for name in tasks}
        return weighted(rows, split, config.sample_weights, {"tasks": tasks, "task_prompts": words})

    return prepare


def weighted(rows: Rows, split: Split, weights: str, made_from: Mapping[str, Any]) -> Prepared:
    """Rows with the trainer that fits them: `WeightedTrainer` where a file of weights is named."""
    table = to_table(rows)
    if not weights:
        return Prepared(table, SIDTrainer, made_from)
    column = read_weights(weights, split.user_ids, split.catalogue.ids).of(rows.users, rows.targets)
    return Prepared(table.add_column(COLUMN, column), WeightedTrainer, {**made_from, "weights": array_hash(column)})


def to_table(rows: Rows) -> Table:
    """Training rows as ``input_ids`` and ``labels``."""
    return Table(pa.table({"input_ids": _lists(rows.tokens), "labels": _lists(rows.labels)}))


def _lists(table: Ragged) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(table.offsets), pa.array(table.values))
