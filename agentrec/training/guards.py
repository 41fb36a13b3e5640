"""What must not pass silently while training: rows longer than the model reads, and a loss that is no number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset as Rows
from safetensors.torch import save_file

from agentrec.core.errors import DataError, TrainingError, TrainingWarning
from agentrec.core.files import whole_file

SHOWN = 5


def within_context(rows: Rows, context: int, too_long: str, remedy: str) -> Rows:
    """Rows that the model can read.

    Args:
        rows: with ``input_ids``.
        context: most tokens of a row.
        too_long: ``refuse``, or ``drop`` with a warning.
        remedy: what the user may change.

    Raises:
        DataError: some are longer and may not be dropped, or all are.
    """
    lengths = np.fromiter((len(ids) for ids in rows["input_ids"]), np.int64, len(rows))
    long = np.flatnonzero(lengths > context)
    if not len(long):
        return rows
    first = ", ".join(f"row {row} ({lengths[row]} tokens)" for row in long[:SHOWN].tolist())
    found = (
        f"{len(long)} of {len(rows)} training rows are longer than the model's context, among them {first}; expected "
        f"at most {context} tokens"
    )
    if too_long == "refuse" or len(long) == len(rows):
        raise DataError(f"{found}, so {remedy}" + ("" if len(long) == len(rows) else ", or drop them: too_long=drop"))
    warnings.warn(f"{found}; these rows are dropped", TrainingWarning, stacklevel=2)
    return rows.select(np.flatnonzero(lengths <= context))


def finite_loss(loss: torch.Tensor, inputs: Mapping[str, Any], *, step: int, rate: float, folder: str | Path) -> None:
    """Stop when the loss is no number, and keep the batch that it came from.

    Args:
        loss: of one step.
        inputs: the batch.
        step: optimiser steps done.
        rate: the learning rate.
        folder: where the batch is written, as ``not_a_number.safetensors``.

    Raises:
        TrainingError: the loss is NaN or infinite.
    """
    if bool(torch.isfinite(loss)):
        return
    file = Path(folder) / "not_a_number.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    batch = {name: value.detach().cpu().contiguous() for name, value in inputs.items() if torch.is_tensor(value)}
    with whole_file(file) as partial:
        save_file(batch, partial, metadata={"step": str(step), "learning_rate": str(rate)})
    raise TrainingError(
        f"the loss is {float(loss)} after {step} steps at learning rate {rate:.3g}; expected a finite number, so lower "
        f"learning_rate or max_grad_norm, or look at the batch, which lies in {file}"
    )
