"""Outputs that are advanced token by token agree with the grammar that replays them, wherever their slot is moved."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.decoding.grammar import ItemGrammar, Outline
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.subset import Subset
from agentrec.decoding.stepping import UNLIMITED, Job, OutputStates, TokenLayout
from agentrec.testing.generators import random_codes

SIZES = (4, 3, 5)
VOCABULARY = 30  # end token 0, marker 1, words 2 to 9, codes 10 to 21; 22 to 29 mean nothing
EOS, MARKER = 0, 1
CODES = random_codes(40, SIZES)
INDEX = StaticIndex.build(CODES, SIZES)
TOKEN_IDS = tuple(np.split(10 + np.random.default_rng(3).permutation(sum(SIZES)), np.cumsum(SIZES)[:-1]))
LAYOUT = TokenLayout(INDEX, TOKEN_IDS, (EOS,))


def outline(job: Job) -> Outline:
    """The slow truth."""
    ids = [torch.from_numpy(part) for part in TOKEN_IDS]
    grammar = ItemGrammar(job.allowed, ids, EOS, items_per_output=job.num_items, unique=True)
    if job.marker < 0:
        return Outline(grammar)
    return Outline(grammar, job.marker, None if job.max_text == UNLIMITED else job.max_text)


def allowed(states: OutputStates, slot: int, row: int = 0) -> set[int]:
    logits = torch.zeros(row + 1, VOCABULARY)
    states.cut([slot], [row]).apply(logits)
    assert (logits[:row] == 0).all()
    return set(logits[row].isfinite().nonzero()[:, 0].tolist())


subsets = st.sets(st.integers(0, len(CODES) - 1), min_size=1).map(lambda items: Subset.build(INDEX, sorted(items)))


@st.composite
def jobs(draw: Any) -> Job:
    chosen = draw(subsets)
    marker = draw(st.sampled_from([-1, MARKER]))
    most = draw(st.sampled_from([UNLIMITED, 0, 2])) if marker >= 0 else UNLIMITED
    return Job(chosen, draw(st.integers(1, min(4, chosen.num_items))), marker, most)


@settings(max_examples=60, deadline=None)
@given(jobs(), st.data())
def test_what_may_follow_is_what_the_grammar_says(job: Job, data: Any) -> None:
    states, truth, written = OutputStates(LAYOUT, 1), outline(job), list[int]()
    states.begin(5, job)
    for _ in range(job.num_items * 3 + 4):
        expected = truth.mask(torch.tensor([written], dtype=torch.long).reshape(1, -1), VOCABULARY)[0]
        choice = set(expected.nonzero()[:, 0].tolist())
        assert allowed(states, 5) == choice
        if choice == {EOS}:
            assert states.is_over(5) or not states.items(5)
            return
        legal = data.draw(st.sampled_from(sorted(choice)))
        token = data.draw(st.sampled_from([legal] * 9 + [24]))  # now and then something that may not be written
        written.append(token)
        states.push([5], [token])
        assert states.in_text(5) == (job.marker >= 0 and MARKER not in written)


@settings(max_examples=40, deadline=None)
@given(st.lists(jobs(), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_slots_may_be_moved_swapped_and_taken_again(made: list[Job], random: Any) -> None:
    states = OutputStates(LAYOUT, 2)
    truth: dict[int, tuple[Job, list[int]]] = {}
    for _ in range(40):
        action = random.choice(["begin", "end", "move", "swap", "push", "push", "push"])
        one, other = random.sample(range(8), 2)
        if action == "begin":
            truth[one] = (random.choice(made), [])
            states.begin(one, truth[one][0])
        elif action == "end":
            truth.pop(one, None)
            states.end(one)
        elif action == "move":
            truth.pop(other, None)
            if one in truth:
                truth[other] = truth.pop(one)
            states.move(one, other)
        elif action == "swap":
            mine, theirs = truth.pop(one, None), truth.pop(other, None)
            truth.update({slot: kept for slot, kept in ((other, mine), (one, theirs)) if kept is not None})
            states.swap(one, other)
        else:
            live = [slot for slot in truth if allowed(states, slot) != {EOS}]
            tokens = [random.choice(sorted(allowed(states, slot))) for slot in live]
            for slot, token in zip(live, tokens, strict=True):
                truth[slot][1].append(token)
            states.push(live, tokens)
        assert sorted(truth) == [slot for slot in range(8) if slot in states]
        logits = torch.zeros(8, VOCABULARY)
        states.cut(sorted(truth)).apply(logits)
        for slot in range(8):
            found = logits[slot].isfinite()
            if slot not in truth:
                assert found.all()
                continue
            job, written = truth[slot]
            expected = outline(job).mask(torch.tensor([written], dtype=torch.long).reshape(1, -1), VOCABULARY)[0]
            assert found.tolist() == expected.tolist()


def test_items_are_those_that_were_written() -> None:
    states = OutputStates(LAYOUT)
    states.begin(0, Job(Subset.build(INDEX, np.arange(len(CODES))), 2, MARKER))
    tokens = [[int(TOKEN_IDS[level][code]) for level, code in enumerate(CODES[item])] for item in (7, 3)]
    states.push([0] * 8, [5, MARKER, *tokens[0], *tokens[1]])
    assert states.items(0) == [7, 3]
    assert states.is_over(0)


def test_items_without_an_end_may_repeat() -> None:
    states = OutputStates(LAYOUT)
    states.begin(0, Job(Subset.build(INDEX, [4]), UNLIMITED))
    tokens = [int(TOKEN_IDS[level][code]) for level, code in enumerate(CODES[4])]
    for _ in range(3):
        for token in tokens:
            assert allowed(states, 0) == {token}
            states.push([0], [token])
    assert states.items(0) == []


def test_what_was_lower_is_not_raised() -> None:
    states = OutputStates(LAYOUT)
    states.begin(0, Job(Subset.build(INDEX, np.arange(len(CODES)))))
    logits = torch.full((1, VOCABULARY), -torch.inf)
    states.cut([0]).apply(logits)
    assert (logits == -torch.inf).all()


def test_jobs_and_layouts_that_cannot_be() -> None:
    few = Subset.build(INDEX, [1, 2])
    with pytest.raises(ConfigError, match="num_items is 3 and 'allowed items' has 2"):
        Job(few, 3)
    with pytest.raises(ConfigError, match="num_items is 0"):
        Job(few, 0)
    with pytest.raises(DataError, match="levels of"):
        TokenLayout(INDEX, TOKEN_IDS[:2], (EOS,))
    with pytest.raises(ConfigError, match="no end token"):
        TokenLayout(INDEX, TOKEN_IDS, ())
