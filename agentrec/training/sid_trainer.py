"""TRL's trainer as methods here build on it: batches of similar length, the model's own loss, a guard, a quiet bar.

What it does not know: where rows come from, and what beside the loss a method may want.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import ProgressCallback
from trl import SFTTrainer

from agentrec.training.batches import LengthSampler
from agentrec.training.guards import finite_loss


class SIDTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer with batches of similar length and the model's own loss.

    TRL 1.16 scores through ``lm_head.weight`` itself, which would pass by an adapter on the rows of new tokens.
    """

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthSampler:
        lengths = [len(row) for row in self.train_dataset["input_ids"]]
        batch = self.args.train_batch_size * self.accelerator.num_processes
        return LengthSampler(torch.tensor(lengths).numpy(), batch, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross entropy over label tokens, averaged over the whole optimiser step."""
        outputs = model(**inputs, use_cache=False, num_items_in_batch=num_items_in_batch)
        loss = outputs.loss
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # gradients are averaged over them, tokens counted over all
        return (loss, outputs) if return_outputs else loss

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One step; see `finite_loss` for what stops it."""
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        rate = float(self._get_learning_rate())
        finite_loss(loss, inputs, step=self.state.global_step, rate=rate, folder=self.args.output_dir)
        return loss


class QuietProgress(ProgressCallback):  # type: ignore[misc]
    """The bar, with the loss behind it instead of printed lines."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Show the latest loss."""
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix(loss=f"{float(logs['loss']):.3f}")
