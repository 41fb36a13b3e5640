"""The constrained requests in a server's batch, by slot: which set each is held to, and how far it has got.

A request that was preempted and comes back keeps the set that it began with. One whose set is gone when it begins gets
the end token and nothing else, never items outside a set.

What it does not know: which server; `agentrec.decoding.vllm` translates.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from agentrec.core.errors import AgentrecError
from agentrec.decoding.asked import Served
from agentrec.decoding.sets.named import ALL
from agentrec.decoding.stepping import UNLIMITED, Cut, Job, OutputStates

REMEMBERED = 4096  # requests whose sets are kept in case they come back

log = logging.getLogger(__name__)


class Requests:
    """The requests of one batch; those that ask for nothing take no place.

    Args:
        served: the items and sets.

    Attributes:
        seen: per slot, how many tokens of its output were taken in.
    """

    def __init__(self, served: Served) -> None:
        self.served = served
        self.seen: dict[int, int] = {}
        self._states = OutputStates(served.layout)
        self._known: OrderedDict[tuple[int, ...], tuple[Any, Job]] = OrderedDict()

    def begin(self, slot: int, params: Any, prompt: Sequence[int] | None, *, resumed: bool = False) -> bool:
        """Put a request into a slot, whatever was there; its output is taken in from the start.

        Args:
            slot: in the batch.
            params: of sampling, with ``extra_args``.
            prompt: token ids, where they are known.
            resumed: whether it was in a batch before.

        Returns:
            Whether it is held to anything.
        """
        self.end(slot)
        key = (id(params), *(prompt or ()))
        if resumed and key in self._known:
            self._put(slot, self._known[key][1], prompt)
            return True
        try:
            job = self._job(params.extra_args, prompt)
        except AgentrecError as error:
            log.warning("a request was accepted and cannot be carried out, so it ends without items: %s", error)
            self._put(slot, Job(self.served.sets().get(ALL)), None)
            self._states.stop(slot)
            return True
        if job is None:
            return False
        self._known[key] = (params, job)  # params stays alive, so that no other request takes its id
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._put(slot, job, prompt)
        return True

    def _job(self, extra_args: dict[str, Any] | None, prompt: Sequence[int] | None) -> Job | None:
        form = self.served.prompt_form
        asked = self.served.job(extra_args)
        if asked is not None or form is None or prompt is None:
            return asked
        if form.unfinished(prompt, self.served.layout.num_levels) is None:
            return None
        return Job(self.served.sets().get(form.constraint), UNLIMITED)

    def _put(self, slot: int, job: Job, prompt: Sequence[int] | None) -> None:
        self._states.begin(slot, job)
        self.seen[slot] = 0
        if job.num_items == UNLIMITED and self.served.prompt_form is not None and prompt is not None:
            begun = self.served.prompt_form.unfinished(prompt, self.served.layout.num_levels) or []
            self._states.push([slot] * len(begun), begun)

    def end(self, slot: int) -> None:
        """Empty a slot; it may be empty."""
        self.seen.pop(slot, None)
        self._states.end(slot)

    def move(self, source: int, target: int) -> None:
        """Move what is in a slot, which may be nothing, into another, whose request is over."""
        self._states.move(source, target)
        self.seen.pop(target, None)
        if source in self.seen:
            self.seen[target] = self.seen.pop(source)

    def swap(self, one: int, other: int) -> None:
        """Exchange two slots."""
        self._states.swap(one, other)
        seen = {slot: self.seen.pop(slot) for slot in (one, other) if slot in self.seen}
        self.seen.update({other if slot == one else one: count for slot, count in seen.items()})

    def again(self, slot: int) -> None:
        """Forget what the output of a slot was, because some of it was taken back."""
        self._put(slot, self._states.job(slot), None)

    def push(self, slots: Sequence[int], tokens: Sequence[int]) -> None:
        """Take in new tokens of outputs, in this order."""
        for slot in slots:
            self.seen[slot] += 1
        self._states.push(slots, tokens)

    def cut(self, slots: Sequence[int], rows: Sequence[int] | None = None) -> Cut:
        """What may come next; see `OutputStates.cut`."""
        return self._states.cut(slots, rows)
