"""Early stopping of generators on what matters: NDCG@10 of constrained beam search on validation users, not loss.

A callback for any trainer of transformers or TRL. It generates for a sample of validation users every so many epochs,
keeps the weights of the best round beside the checkpoints, stops after some rounds without a better one, and puts the
best weights back at the end. A killed run that resumes goes on with the rounds up to its checkpoint.

What it does not know: weights that are sharded over processes. Every process generates for the whole sample, so that
all stop together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from agentrec.core.errors import ConfigError
from agentrec.core.files import read_json, whole_file, write_json
from agentrec.core.types import HeldOut
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.search.batches import batches_by_tokens
from agentrec.decoding.search.beam import beam_search
from agentrec.metrics.ranking import ndcg, target_ranks
from agentrec.prompts.forms import Form, pad_left
from agentrec.semantic_ids.vocabulary import SIDVocabulary

ROUNDS, BEST, DEPTH = "validation.json", "best.safetensors", 10

Measure = Callable[[Any], float]


@dataclass(frozen=True)
class BeamNDCG:
    """NDCG@10 of a model over the whole catalogue, by constrained beam search.

    Attributes:
        held: histories and targets.
        form: how histories become prompts.
        tokenizer: of the model.
        vocabulary: codes <-> tokens <-> items.
        num_beams: beam width.
    """

    held: HeldOut
    form: Form
    tokenizer: Any
    vocabulary: SIDVocabulary
    num_beams: int = 20

    def __call__(self, model: Any) -> float:
        """Measure a model in its present state; its mode and the random numbers of training stay as they were."""
        index = StaticIndex.build(self.vocabulary.codes, self.vocabulary.level_sizes).to(model.device)
        columns = [torch.from_numpy(ids).to(model.device) for ids in self.vocabulary.token_ids(self.tokenizer)]
        prompts = [self.form.prompt(history) for history in self.held.histories]
        beams, found, was_training = max(self.num_beams, DEPTH), 0.0, model.training
        model.eval()
        for rows in batches_by_tokens([len(prompt) for prompt in prompts], beams * self.vocabulary.num_levels):
            ids, mask = pad_left([prompts[row] for row in rows], self.tokenizer.pad_token_id)
            given = torch.from_numpy(ids).to(model.device), torch.from_numpy(mask).to(model.device)
            ranked = beam_search(model, *given, index, columns, num_beams=beams, n=DEPTH).items.cpu().numpy()
            found += float(ndcg(target_ranks(ranked, self.held.targets[rows]), DEPTH).sum())
        model.train(was_training)
        return found / max(1, len(prompts))


class BeamValidation(TrainerCallback):  # type: ignore[misc]
    """Measure, keep the best, stop early.

    Args:
        measure: of the model, higher is better; usually `BeamNDCG`.
        folder: of the checkpoints, where rounds and the best weights are kept.
        every: epochs between rounds; a part of an epoch too.
        patience: rounds without a better one before training stops.

    Attributes:
        rounds: one ``{"step", "epoch", "ndcg@10"}`` each.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(self, measure: Measure, folder: str | Path, *, every: float = 1.0, patience: int = 3) -> None:
        if not every > 0 or patience < 1:
            raise ConfigError(f"validation every {every} epochs, patience {patience}; expected above 0, and 1 or more")
        self.measure = measure
        self.folder = Path(folder)
        self.every = every
        self.patience = patience
        self.rounds: list[dict[str, float]] = []

    @property
    def best(self) -> int:
        """Which round was the best, the first of equals."""
        return max(range(len(self.rounds)), key=lambda number: (self.rounds[number]["ndcg@10"], -number))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take up the rounds of a run that was killed, up to the step it resumes from."""
        kept = self.folder / ROUNDS
        if state.global_step and kept.is_file():
            self.rounds = [row for row in read_json(kept) if row["step"] <= state.global_step]

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any = None, **kwargs: Any) -> Any:
        """Measure when a round is due, and at the last step."""
        per_epoch = max(1, round(state.max_steps / state.num_train_epochs))
        if state.global_step % max(1, round(self.every * per_epoch)) and state.global_step < state.max_steps:
            return control
        if any(row["step"] == state.global_step for row in self.rounds):
            return control
        value = self.measure(model)
        self.rounds.append({"step": state.global_step, "epoch": float(state.epoch), "ndcg@10": value})
        if self.best == len(self.rounds) - 1 and state.is_world_process_zero:
            with whole_file(self.folder / BEST) as temporary:
                save_file(_trained(model), temporary)
        if state.is_world_process_zero:
            write_json(self.folder / ROUNDS, self.rounds)
        if len(self.rounds) - 1 - self.best >= self.patience:
            control.should_training_stop = True
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, *, model: Any = None, **kwargs: Any) -> None:
        """Put the best weights back."""
        if (self.folder / BEST).is_file():
            model.load_state_dict(load_file(self.folder / BEST), strict=False)


def _trained(model: Any) -> Mapping[str, torch.Tensor]:
    """The weights that training changes; of tied ones, one copy."""
    return {name: part.detach().contiguous().clone() for name, part in model.named_parameters() if part.requires_grad}
