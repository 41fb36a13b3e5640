"""Value-aware fine-tuning: training rows that count more where the user is worth more or the action went deeper.

The loss of an optimiser step is a weighted mean over label tokens, ``sum_i w_i sum_t -log p_it / sum_i w_i T_i`` with
``w = w_user * w_action`` (GR4AD's VSL, arXiv:2602.22732). Weights of one are plain cross entropy.

We leave out the paper's eCPM token behind the semantic ID. What this does not know: what a user is worth. Weights come
from a file; `bucket_weights` turns amounts into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agentrec.core.errors import DataError
from agentrec.core.types import FloatArray, IntArray
from agentrec.data.columns import find_column, need_column
from agentrec.data.read import read_table
from agentrec.training.sid_trainer import SIDTrainer

COLUMN = "weight"  # of training rows, and of the file
IGNORE = -100


@dataclass(frozen=True)
class Weights:
    """Weights of users and of single actions; whoever is not named weighs one.

    Attributes:
        users: user index -> weight.
        actions: (user index, item index) -> weight.
    """

    users: dict[int, float] = field(default_factory=dict)
    actions: dict[tuple[int, int], float] = field(default_factory=dict)

    def of(self, users: IntArray, items: IntArray) -> FloatArray:
        """The weight of every row, ``w_user * w_action``: users (R,), items (R,) -> (R,) float32.

        Raises:
            DataError: no row weighs anything.
        """
        pairs = zip(users.tolist(), items.tolist(), strict=True)
        found = [self.users.get(user, 1.0) * self.actions.get((user, item), 1.0) for user, item in pairs]
        if not any(found):
            raise DataError(f"all {len(found)} training rows have the weight 0; expected one above 0, so raise some")
        return np.array(found, np.float32)


def read_weights(path: str | Path, user_ids: Sequence[str], item_ids: Sequence[str]) -> Weights:
    """Read a table with a column of users, one called ``weight`` and, where rows weigh actions, one of items.

    A row without item weighs its user; a row with both weighs that action. Columns of users and items have their usual
    names, such as ``user_id`` and ``item_id``.

    Args:
        path: CSV, TSV or Parquet.
        user_ids: of the data set, in index order.
        item_ids: of the catalogue, in index order.

    Raises:
        DataError: a column is missing, an id is unknown or comes twice, or a weight is no number of 0 or more.
    """
    table = read_table(path)
    user_column = need_column(table.columns, "user", None, str(path))
    item_column = find_column(table.columns, "item", None, str(path))
    if COLUMN not in table.columns:
        raise DataError(f"{path} has the columns {', '.join(table.columns)}; expected one called {COLUMN!r}, so add it")
    users, items = ({name: row for row, name in enumerate(ids)} for ids in (user_ids, item_ids))
    found, texts = Weights(), table.frame.fillna("").astype(str)
    whose, whats = texts[user_column], texts[item_column] if item_column else [""] * len(texts)
    for number, (user, item, text) in enumerate(zip(whose, whats, texts[COLUMN], strict=True)):
        where = f"{table.place(number)} of {path}"
        row = _known(users, user, "user", where)
        names: dict[Any, float] = found.actions if item else found.users
        key = (row, _known(items, item, "item", where)) if item else row
        if key in names:
            raise DataError(f"{where} gives a weight that an earlier line gave; expected one each, so remove one")
        names[key] = _weight(text, where)
    return found


def bucket_weights(amounts: FloatArray, *, num_buckets: int = 5, highest: float = 2.0) -> FloatArray:
    """Weights from amounts such as revenue per user: equal buckets by rank, weighing 1 up to ``highest``.

    Equal amounts fall into one bucket, that of the lowest of them.

    Args:
        amounts: (U,) float.
        num_buckets: how many weights there are.
        highest: weight of the last bucket.

    Returns:
        (U,) float32.
    """
    order = np.sort(amounts)
    buckets = np.searchsorted(order, amounts) * num_buckets // max(1, len(amounts))
    return np.asarray(1 + (highest - 1) * buckets / max(1, num_buckets - 1), np.float32)


@dataclass(frozen=True)
class WeightedCollator:
    """A collator that keeps the weights of rows.

    Attributes:
        plain: collates everything else.
    """

    plain: Any

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad a batch and add ``weight`` (B,) float32."""
        weights = torch.tensor([row[COLUMN] for row in rows], dtype=torch.float32)
        return {**self.plain(rows), COLUMN: weights}


class WeightedTrainer(SIDTrainer):
    """`SIDTrainer` whose loss is a weighted mean over label tokens; rows have a column ``weight``."""

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        known: list[str] = getattr(self, "_signature_columns")  # noqa: B009 - untyped in TRL
        if COLUMN not in known:
            self._signature_columns = [*known, COLUMN]

    def get_train_dataloader(self) -> Any:
        """TRL's, with a collator that keeps weights."""
        plain: Any = getattr(self, "data_collator")  # noqa: B009 - untyped in TRL
        if not isinstance(plain, WeightedCollator):
            self.data_collator = WeightedCollator(plain)
        return super().get_train_dataloader()

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> Any:
        """The weight of all label tokens of an optimiser step, over all processes where losses are averaged so."""
        total = sum(label_weight(batch["labels"], batch[COLUMN]) for batch in batch_samples)
        total = torch.as_tensor(total, device=device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            return self.accelerator.gather(total).sum()
        return total

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Weighted cross entropy, averaged over the whole optimiser step."""
        rest = {name: value for name, value in inputs.items() if name not in ("labels", COLUMN)}
        outputs = model(**rest, use_cache=False)
        loss = weighted_loss(outputs.logits, inputs["labels"], inputs[COLUMN], num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


def weighted_loss(logits: Tensor, labels: Tensor, weights: Tensor, total: Tensor | None = None) -> Tensor:
    """Mean cross entropy over label tokens, each weighing what its row weighs.

    Args:
        logits: (B, T, V) float.
        labels: (B, T) int64, ``-100`` where no loss is taken.
        weights: (B,) float32.
        total: weight of the label tokens of the whole optimiser step; of this batch by default.

    Returns:
        A scalar; 0 where nothing weighs anything.
    """
    targets = labels[:, 1:]
    rows, places = torch.nonzero(targets != IGNORE, as_tuple=True)
    losses = nn.functional.cross_entropy(logits[rows, places].float(), targets[rows, places], reduction="none")
    whole = label_weight(labels, weights) if total is None else total
    return (losses * weights[rows]).sum() / whole.clamp_min(torch.finfo(torch.float32).tiny)


def label_weight(labels: Tensor, weights: Tensor) -> Tensor:
    """The weight of all label tokens: labels (B, T), weights (B,) -> scalar."""
    return ((labels[:, 1:] != IGNORE).sum(dim=1) * weights).sum()


def _known(ids: dict[str, int], name: str, what: str, where: str) -> int:
    if name not in ids:
        raise DataError(f"{where} names the {what} {name!r}, which the data set does not know; expected one of its ids")
    return ids[name]


def _weight(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value < np.inf:
        raise DataError(f"{where} has the weight {text!r}; expected a number of 0 or more")
    return value
