"""vLLM held to sets of items: one logits processor for both of its model runners.

Per request, ``SamplingParams(extra_args={"constraint": "in_stock"})``, over HTTP ``vllm_xargs``; further words are
``num_items`` (1), ``marker`` (free text first, items behind this token) and ``max_text`` (tokens of that text).
`agentrec.decoding.asked` says what they mean, `agentrec.decoding.stepping` what may follow. Requests without a
``constraint`` are left alone. A request keeps the set that it began with, also when it is preempted and comes back.

The V1 runner hands over lists of tokens, which are read when logits are there, because under asynchronous scheduling
their ends are filled in late. The V2 runner keeps tokens on the device: they are copied while the model computes. Pass
the class by name (``--logits-processors``): to one that is only installed, vLLM shows no tokens under asynchronous
scheduling.

Nothing that compiles is imported before an engine is there (see `agentrec.decoding.vllm_scan`).

What it does not know: speculative decoding, and, on the V2 runner, which set a request had before it was preempted; it
then gets the one that has that name now.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor as ListProcessor
from vllm.v1.sample.logits_processor import MoveDirectionality
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as DeviceProcessor

from agentrec.core.errors import ConfigError

if TYPE_CHECKING:
    from agentrec.decoding.asked import Served
    from agentrec.decoding.requests import Requests

UNKNOWN = -1  # in vLLM's lists, for a token that is not there yet

log = logging.getLogger(__name__)
_numbers = itertools.count()


class Copied(NamedTuple):
    """Tokens on their way from the device.

    Attributes:
        slots: (A,) of the runner.
        numbers: (2, A) length of prompt and output, and last token.
        ready: event behind the copy; None where there was nothing to wait for.
    """

    slots: list[int]
    numbers: torch.Tensor
    ready: Any


class ConstrainedProcessor(ListProcessor, DeviceProcessor):  # type: ignore[misc]
    """Holds requests to sets; a subclass says whose, by `open` or by the attribute ``served``.

    Args:
        vllm_config: of the engine.
        rest: device and whether memory is pinned (V1), or the state of the runner's requests (V2).

    Raises:
        ConfigError: the engine decodes speculatively.
    """

    served: ClassVar[Served | None] = None

    @classmethod
    def open(cls, vllm_config: Any | None) -> Served | None:
        """The items and sets of an engine, or, without a config, those of this process; None where there are none."""
        return cls.served

    def __init__(self, vllm_config: Any, *rest: Any) -> None:
        served = self.open(vllm_config)
        if served is not None and getattr(vllm_config, "speculative_config", None):
            raise ConfigError("constraints do not go together with speculative decoding; start the engine without it")
        self._requests = None if served is None else _requests(served)
        self._lists: dict[int, list[int]] = {}  # V1: slot -> output so far, which vLLM appends to
        self._runner = rest[0] if len(rest) == 1 else None  # V2
        self._new: dict[int, Any] = {}  # V2: slot -> sampling parameters, until its prompt can be read
        self._copied: Copied | None = None  # V2

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request that cannot be carried out; the message names the sets that exist.

        Raises:
            AgentrecError: a ValueError, which vLLM turns into HTTP 400.
        """
        served = cls.open(None)
        if served is not None:
            served.job(sampling_params.extra_args)

    def is_argmax_invariant(self) -> bool:
        """Never: it changes what is likeliest."""
        return False

    def apply(self, logits: torch.Tensor, ctx: Any | None = None) -> torch.Tensor:
        """Hold the rows of constrained requests, in place: logits (R, V)."""
        requests = self._requests
        if requests is None or not requests.seen:
            return logits
        if ctx is None:
            self._read_lists(requests)
            return requests.cut(list(requests.seen)).apply(logits)
        self._finish_copy(requests)
        rows = {slot: row for row, slot in enumerate(ctx.idx_mapping_np.tolist()) if slot in requests.seen}
        return requests.cut(list(rows), list(rows.values())).apply(logits) if rows else logits

    def update_state(self, batch_update: Any | None) -> None:
        """V1: follow the batch."""
        requests = self._requests
        if requests is None or batch_update is None:
            return
        for slot in batch_update.removed:
            requests.end(slot)
            self._lists.pop(slot, None)
        for slot, params, prompt, written in batch_update.added:
            self._lists.pop(slot, None)
            if requests.begin(slot, params, prompt, resumed=bool(written)):
                self._lists[slot] = written
        for one, other, direction in batch_update.moved:
            if direction == MoveDirectionality.SWAP:
                requests.swap(one, other)
                swapped(self._lists, one, other)
            else:
                requests.move(one, other)
                moved(self._lists, one, other)

    def _read_lists(self, requests: Requests) -> None:
        """V1: take in what was written since the last step."""
        slots: list[int] = []
        tokens: list[int] = []
        for slot, written in self._lists.items():
            seen = requests.seen[slot]
            if len(written) == seen:
                continue
            if len(written) < seen:  # vLLM took tokens back
                requests.again(slot)
                seen = 0
            new = written[seen:]
            if UNKNOWN in new:
                log.error("vLLM shows no tokens of slot %d, so its output ends; name the class explicitly", slot)
            slots += [slot] * len(new)
            tokens += new
        if slots:
            requests.push(slots, tokens)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """V2: a request enters the batch; whether it is held to anything turns out when its tokens can be read."""
        if self._requests is None:
            return False
        self._requests.end(req_idx)
        self._new.pop(req_idx, None)
        by_prompt = self._requests.served.prompt_form is not None
        if not by_prompt:
            return self._requests.begin(req_idx, sampling_params, None)
        self._new[req_idx] = sampling_params
        return True

    def apply_staged_writes(self) -> None:
        """V2: before the model computes, send for the tokens that were written last."""
        requests, runner = self._requests, self._runner
        if requests is None or runner is None:
            return
        for slot, params in self._new.items():
            prompt = runner.all_token_ids.gpu[slot, : int(runner.prompt_len.np[slot])].tolist()
            requests.begin(slot, params, prompt)
        self._new.clear()
        slots = list(requests.seen)
        if not slots:
            self._copied = None
            return
        where = torch.tensor(slots, device=runner.device)
        lengths = runner.total_len.gpu[where].long()
        last = runner.all_token_ids.gpu[where, (lengths - 1).clamp_min(0)].long()
        numbers = torch.stack([lengths, last])
        if numbers.device.type == "cpu":
            self._copied = Copied(slots, numbers, None)
            return
        host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        host.copy_(numbers, non_blocking=True)
        ready = torch.Event(numbers.device)
        ready.record()
        self._copied = Copied(slots, host, ready)

    def _finish_copy(self, requests: Requests) -> None:
        """V2: take in what was written since the last step."""
        if self._copied is None or self._runner is None:
            return
        copied, self._copied = self._copied, None
        if copied.ready is not None:
            copied.ready.synchronize()
        slots: list[int] = []
        tokens: list[int] = []
        for slot, length, last in zip(copied.slots, *copied.numbers.tolist(), strict=True):
            if slot not in requests.seen:
                continue
            begins = int(self._runner.prompt_len.np[slot]) + requests.seen[slot]
            new = [last] if length == begins + 1 else []
            if length > begins + 1:  # it comes back with what it had written
                new = self._runner.all_token_ids.gpu[slot, begins:length].tolist()
            slots += [slot] * len(new)
            tokens += new
        if slots:
            requests.push(slots, tokens)


def processor_of(served: Served) -> type[ConstrainedProcessor]:
    """A class for one engine of this process, to be named by ``logits_processors=[...]``; it stays importable."""
    name = f"ProcessorOf{next(_numbers)}"
    made = type(name, (ConstrainedProcessor,), {"served": served, "__module__": __name__})
    globals()[name] = made
    return made


def _requests(served: Served) -> Requests:
    from agentrec.decoding.requests import Requests

    return Requests(served)


def moved(table: dict[int, Any], source: int, target: int) -> None:
    """Move an entry that may not exist over another."""
    table.pop(target, None)
    if source in table:
        table[target] = table.pop(source)


def swapped(table: dict[int, Any], one: int, other: int) -> None:
    """Exchange two entries that may not exist."""
    found = {slot: table.pop(slot) for slot in (one, other) if slot in table}
    table.update({other if slot == one else one: entry for slot, entry in found.items()})
