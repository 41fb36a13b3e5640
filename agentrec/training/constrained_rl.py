"""Group-relative policy optimisation of a generator that writes under a constraint.

`ConstrainedGRPOTrainer` is TRL's GRPOTrainer with two differences. Rollouts by ``generate`` are held to an outline
(`agentrec.decoding.grammar`), so that every completion names real items. And completions are scored among the allowed
tokens only, by the policy and by its reference. TRL scores them over the full vocabulary: importance ratios against
what was drawn then fall to 1e-13 for a semantic ID, and without such ratios the gradient is that of another policy than
the one that is served.

Logged besides TRL's metrics: ``constrained/importance_ratio``, the mean ratio of the probability of a completion when
it is learned to that when it was drawn. It is 1 for fresh completions; models with dropout want ``disable_dropout``.
With vLLM the engine must hold its rollouts itself; completions outside the constraint are an error here.

What it does not know: images, tools, and a constraint of its own for every prompt.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, Self

import torch
from transformers import LogitsProcessor
from trl import GRPOTrainer

from agentrec.core.errors import ConfigError
from agentrec.decoding.grammar import Grammar, Outline
from agentrec.decoding.hf import ConstrainedLogitsProcessor
from agentrec.decoding.renormalise import renormalised_logprobs

CUTS = {"top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}  # of sampling, which scores cannot follow


class ConstrainedGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer, held to a constraint by `constrain`; built like that one.

    Example::

        trainer = ConstrainedGRPOTrainer(model, reward, args=args, train_dataset=rows, processing_class=tokenizer)
        trainer.constrain(ItemGrammar(index, token_ids, tokenizer.eos_token_id)).train()
    """

    _outline: Outline | None = None
    _scored: torch.Tensor | None = None

    def constrain(self, outline: Outline | Grammar) -> Self:
        """Say what completions may hold; to be called once before training.

        Args:
            outline: of completions, on the model's device; a grammar where that is all.

        Raises:
            ConfigError: completions could not end, or TRL's settings draw them in a way that scores cannot follow.
        """
        outline = outline if isinstance(outline, Outline) else Outline(outline)
        self._check_settings()
        if outline.grammar.eos not in self.eos_token_ids:
            raise ConfigError(
                f"the grammar ends with token {outline.grammar.eos} and the trainer expects one of "
                f"{self.eos_token_ids}; give the grammar the tokenizer's end token"
            )
        text = 0 if outline.marker is None else (outline.max_text or 0) + 1
        needed = text + outline.grammar.max_tokens + 1
        if self.max_completion_length < needed:
            raise ConfigError(
                f"max_completion_length is {self.max_completion_length}; expected {needed} or more, for the longest "
                "completion with its end token"
            )
        self._outline = outline
        return self

    def _check_settings(self) -> None:
        if self.use_transformers_continuous_batching:
            raise ConfigError("use_transformers_continuous_batching is on and takes no constraint; turn it off")
        for name, neutral in CUTS.items():
            value = getattr(self.args, name)
            if value not in (neutral, None):
                raise ConfigError(f"{name} is {value}; expected {neutral}, because completions are scored without it")

    @property
    def outline(self) -> Outline:
        """What completions may hold.

        Raises:
            ConfigError: `constrain` was not called.
        """
        if self._outline is None:
            raise ConfigError("the trainer has no constraint; call constrain(grammar) before training")
        return self._outline

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple[list[list[int]], list[list[float]]]:
        """TRL's rollouts under the constraint, with the log-probabilities of what was drawn."""
        if self.use_vllm:
            return super()._generate_single_turn(*args, **kwargs)  # type: ignore[no-any-return]
        processor = ConstrainedLogitsProcessor(self.outline)
        with _held_generate(self.accelerator.unwrap_model(self.model_wrapped), processor, self.temperature) as drawn:
            completions, _ = super()._generate_single_turn(*args, **kwargs)
        rows = torch.stack(drawn, dim=1).tolist()
        return completions, [row[: len(tokens)] for row, tokens in zip(rows, completions, strict=True)]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **extra: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """TRL's scores of completions, among the allowed tokens: (B, T) log-probabilities and entropies."""
        given = sorted(name for name, value in extra.items() if value is not None)
        if given:
            raise ConfigError(
                f"the batch holds {given[0]}; expected text, which is all that constrained learning reads"
            )
        logprobs, entropies, losses = [], [], []
        size = batch_size or len(input_ids)
        for start in range(0, len(input_ids), size):
            ids, mask = input_ids[start : start + size], attention_mask[start : start + size]
            with self.accelerator.autocast():
                out = model(input_ids=ids, **self._asked(mask, logits_to_keep, compute_aux_loss))
            scored = renormalised_logprobs(
                out.logits[:, -logits_to_keep - 1 : -1],
                ids[:, -logits_to_keep:],
                self.outline,
                mask=mask[:, -logits_to_keep:],
                temperature=self.temperature,
            )
            logprobs.append(scored.logprobs)
            entropies.append(scored.entropies)
            losses += [out.aux_loss] if compute_aux_loss else []
        self._scored = torch.cat(logprobs)
        entropy = torch.cat(entropies) if compute_entropy else None
        return self._scored, entropy, torch.stack(losses).mean() if losses else None

    def _asked(self, mask: torch.Tensor, logits_to_keep: int, routers: bool) -> dict[str, Any]:
        """What a forward pass is asked for; positions as in generation, which counts no padding on the left."""
        asked = {"attention_mask": mask, "logits_to_keep": logits_to_keep + 1, "use_cache": False}
        model = self.accelerator.unwrap_model(self.model)
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        if "position_ids" in inspect.signature(base.forward).parameters:
            asked["position_ids"] = (mask.cumsum(dim=1) - 1).clamp_min(0)
        return {**asked, "output_router_logits": True} if routers else asked

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's loss; the importance ratio is logged besides."""
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        drawn = inputs.get("sampling_per_token_logps")
        if drawn is not None and self._scored is not None:
            mode = "train" if self.model.training else "eval"
            ratio = ((self._scored.detach() - drawn) * inputs["completion_mask"]).sum(dim=1).exp()
            self._metrics[mode]["constrained/importance_ratio"].append(self.accelerator.gather(ratio).mean().item())
        return loss


class _Recorder(LogitsProcessor):  # type: ignore[misc]
    """Keeps the log-probability of every token that is drawn, one step late."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self.drawn: list[torch.Tensor] = []
        self._last: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Look up what was drawn from the scores before these."""
        self.look_up(input_ids)
        self._last = (scores.float() / self.temperature).log_softmax(dim=-1)
        return scores

    def look_up(self, input_ids: torch.Tensor) -> None:
        """The latest token of sequences (R, T)."""
        if self._last is not None:
            self.drawn.append(self._last.gather(1, input_ids[:, -1:])[:, 0])


@contextlib.contextmanager
def _held_generate(model: Any, processor: LogitsProcessor, temperature: float) -> Iterator[list[torch.Tensor]]:
    """Let ``model.generate`` sample under a processor; yields the log-probabilities of its columns, each (R,)."""
    recorder = _Recorder(temperature)
    before, original = vars(model).get("generate"), model.generate

    def generate(*args: Any, **kwargs: Any) -> Any:
        sequences = original(*args, **kwargs, logits_processor=[processor, recorder])
        recorder.look_up(sequences)
        return sequences

    model.generate = generate
    try:
        yield recorder.drawn
    finally:
        if before is None:
            del model.generate
        else:
            model.generate = before
