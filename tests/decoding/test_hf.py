"""`generate` under a grammar writes allowed items and nothing else, and its beams are those of our exact search."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LogitsProcessor

from agentrec.core.errors import ConfigError, DataError
from agentrec.decoding.grammar import Grammar, ItemGrammar, Outline
from agentrec.decoding.hf import ConstrainedLogitsProcessor
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.trie import Trie
from agentrec.decoding.search.beam import beam_search
from agentrec.decoding.sets.mixed import PerRow
from agentrec.decoding.sets.subset import Subset
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (5, 4, 6)


class Case:
    """A model, a catalogue and left-padded prompts."""

    def __init__(self, family: str = "qwen3", num_items: int = 60) -> None:
        self.vocabulary = SIDVocabulary(random_codes(num_items, SIZES), SIZES)
        self.model, self.tokenizer = tiny_generator(self.vocabulary, family=family)
        self.index = StaticIndex.build(self.vocabulary.codes, SIZES)
        self.token_ids = [torch.from_numpy(ids) for ids in self.vocabulary.token_ids(self.tokenizer)]
        self.item_tokens = self.vocabulary.item_token_ids(self.tokenizer).tolist()
        self.eos = self.tokenizer.eos_token_id
        self.words = [self.tokenizer.convert_tokens_to_ids(word) for word in ("a", "t")]
        rng = np.random.default_rng(1)
        prompts = [rng.integers(5, len(self.tokenizer), length).tolist() for length in (3, 9, 1, 6)]
        self.width = max(map(len, prompts))
        self.ids = torch.tensor([[0] * (self.width - len(row)) + row for row in prompts])
        self.mask = torch.tensor([[0] * (self.width - len(row)) + [1] * len(row) for row in prompts])

    def grammar(self, **options: Any) -> ItemGrammar:
        return ItemGrammar(self.index, self.token_ids, self.eos, **options)

    def generate(self, grammar: Any, **options: Any) -> torch.Tensor:
        """What was written, (rows, W), padded by the end token."""
        processors = [*options.pop("before", []), ConstrainedLogitsProcessor(grammar)]
        settings = {"do_sample": False, "max_new_tokens": 12, "length_penalty": 0.0, "early_stopping": False}
        out = self.model.generate(
            self.ids,
            attention_mask=self.mask,
            logits_processor=processors,
            eos_token_id=self.eos,
            pad_token_id=self.eos,
            **{**settings, **options},
        )
        return out[:, self.width :]


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("num_beams", [4, 10])
def test_beams_are_those_of_the_exact_search_and_of_a_prefix_function(family: str, num_beams: int) -> None:
    case = Case(family)
    found = beam_search(case.model, case.ids, case.mask, case.index, case.token_ids, num_beams=num_beams)
    options = {"num_beams": num_beams, "num_return_sequences": num_beams, "max_new_tokens": 3}
    written = case.generate(case.grammar(), **options)
    assert [case.item_tokens.index(row) for row in written.tolist()] == found.items.flatten().tolist()

    def prefix_function(_: int, sequence: torch.Tensor) -> list[int]:
        so_far = sequence[case.width :].tolist()
        return sorted({row[len(so_far)] for row in case.item_tokens if row[: len(so_far)] == so_far})

    plain = case.model.generate(
        case.ids,
        attention_mask=case.mask,
        prefix_allowed_tokens_fn=prefix_function,
        do_sample=False,
        length_penalty=0.0,
        pad_token_id=0,
        **options,
    )
    assert torch.equal(plain[:, case.width :], written)


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "num_return_sequences": 8, "temperature": 3.0}])
def test_greedy_and_sampled_outputs_are_items_and_an_end(options: dict[str, Any]) -> None:
    case = Case()
    torch.manual_seed(0)
    written = case.generate(case.grammar(), **options).tolist()
    assert len(written) == 4 * options.get("num_return_sequences", 1)
    for row in written:
        assert row[:3] in case.item_tokens
        assert row[3:] == [case.eos]


@pytest.mark.parametrize("separated", [False, True])
@pytest.mark.parametrize("unique", [False, True])
def test_slates_are_items_between_separators(separated: bool, unique: bool) -> None:
    case = Case(num_items=7)
    separator = case.words[0] if separated else None
    grammar = case.grammar(items_per_output=5, separator=separator, unique=unique)
    torch.manual_seed(0)
    written = case.generate(grammar, do_sample=True, num_return_sequences=30, temperature=3.0, max_new_tokens=40)
    repeated = 0
    for row in written.tolist():
        assert len(row) == grammar.max_tokens + 1
        assert row[-1] == case.eos
        step = 4 if separated else 3
        assert all(token == separator for token in row[3:-1:step]) or not separated
        items = [case.item_tokens.index(row[start : start + 3]) for start in range(0, grammar.max_tokens, step)]
        repeated += len(set(items)) < len(items)
    assert (repeated == 0) == unique


def test_all_items_can_be_written_once_each() -> None:
    case = Case(num_items=7)
    number = case.index.num_items
    written = case.generate(case.grammar(items_per_output=number, unique=True), max_new_tokens=40)
    for row in written.tolist():
        assert sorted(row[start : start + 3] for start in range(0, 3 * number, 3)) == sorted(case.item_tokens)
    with pytest.raises(ConfigError, match=f"items_per_output is {number + 1} with {number} allowed"):
        case.grammar(items_per_output=number + 1, unique=True)


@pytest.mark.parametrize("options", [{}, {"num_beams": 6}, {"do_sample": True, "num_return_sequences": 6}])
def test_text_is_free_up_to_the_marker_and_no_longer_than_allowed(options: dict[str, Any]) -> None:
    case = Case()
    marker = case.words[0]
    torch.manual_seed(0)
    written = case.generate(Outline(case.grammar(), marker, max_text=5), **options).tolist()
    lengths = set()
    for row in written:
        place = row.index(marker)
        lengths.add(place)
        assert place <= 5
        assert case.eos not in row[:place]
        assert row[place + 1 : place + 4] in case.item_tokens
        assert set(row[place + 4 :]) == {case.eos}
    assert max(lengths) == 5


@pytest.mark.parametrize("thinking", [False, True])
def test_every_prompt_may_have_a_set_of_its_own(thinking: bool) -> None:
    case = Case()
    sets = [Subset.build(case.index, np.arange(start, case.index.num_items, 4)) for start in range(4)]
    grammar: Any = ItemGrammar(PerRow(sets), case.token_ids, case.eos, items_per_output=2, unique=True)
    outline = Outline(grammar, case.words[0], max_text=3) if thinking else grammar
    torch.manual_seed(0)
    for options in ({"num_beams": 5, "num_return_sequences": 5}, {"do_sample": True, "num_return_sequences": 5}):
        written = case.generate(outline, **options).reshape(4, 5, -1).tolist()
        for prompt, rows in enumerate(written):
            for row in rows:
                start = row.index(case.words[0]) + 1 if thinking else 0
                found = [case.item_tokens.index(row[place : place + 3]) for place in (start, start + 3)]
                assert len(set(found)) == 2
                assert all(item % 4 == prompt for item in found)


def test_rows_whose_marker_stands_at_different_places_are_held_each_by_its_own() -> None:
    case = Case()
    marker, other = case.words
    code = [ids.tolist() for ids in case.token_ids]
    first = case.item_tokens[0]
    rows = torch.tensor(
        [
            [other, other, other, other],  # text
            [other, other, other, marker],  # an item begins
            [other, marker, *first[:2]],  # its last code
            [marker, *first],  # the end
            [marker, marker, other, other],  # left the grammar
            [other, marker, marker, first[0]],  # the first marker counts: left as well
        ]
    )
    allowed = Outline(case.grammar(), marker).mask(rows, len(case.tokenizer))
    everything = set(range(len(case.tokenizer)))
    found = [set(row.nonzero()[:, 0].tolist()) for row in allowed]
    assert found[0] == everything - {case.eos}
    assert found[1] == {row[0] for row in case.item_tokens} <= set(code[0])
    assert found[2] == {row[2] for row in case.item_tokens if row[:2] == first[:2]}
    assert found[3:] == [{case.eos}] * 3


class Unruly(LogitsProcessor):
    """Stands behind the constraint and writes a token of its own at one place."""

    def __init__(self, token: int, width: int) -> None:
        self.token, self.width = token, width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] == self.width:
            scores = torch.full_like(scores, -torch.inf)
            scores[:, self.token] = 0
        return scores


def test_a_row_that_left_the_trie_ends() -> None:
    case = Case()
    held = ConstrainedLogitsProcessor(case.grammar())
    out = case.model.generate(
        case.ids,
        attention_mask=case.mask,
        logits_processor=[held, Unruly(case.words[1], case.width + 1)],
        eos_token_id=case.eos,
        pad_token_id=case.eos,
        do_sample=False,
        max_new_tokens=6,
    )
    assert (out[:, case.width + 1] == case.words[1]).all()
    assert (out[:, case.width + 2 :] == case.eos).all()


def test_more_beams_than_items_never_invent_one() -> None:
    case = Case(num_items=5)
    number = case.index.num_items
    written = case.generate(case.grammar(), num_beams=12, num_return_sequences=12, max_new_tokens=3)
    found = beam_search(case.model, case.ids, case.mask, case.index, case.token_ids, num_beams=12)
    assert (found.items[:, number:] == -1).all()
    for row, items in zip(written.reshape(4, 12, 3).tolist(), found.items.tolist(), strict=True):
        assert row[:number] == [case.item_tokens[item] for item in items[:number]]
        for tokens in row[number:]:  # dead beams: the end token stands in them, or a real item a second time
            assert case.eos in tokens or tokens in case.item_tokens


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_permuted_rows_and_every_precision_are_masked_alike(kind: torch.dtype) -> None:
    case = Case()
    rows = torch.tensor([case.item_tokens[item][:2] for item in (3, 0, 7, 3)])
    scores = torch.randn(4, len(case.tokenizer)).to(kind)
    held = ConstrainedLogitsProcessor(case.grammar(), prompt_length=0)
    masked = held(rows, scores)
    assert masked.dtype == kind
    order = torch.tensor([2, 2, 0, 3])
    assert torch.equal(held(rows[order], scores[order]), masked[order])
    for row, prefix in enumerate(rows.tolist()):
        allowed = sorted({tokens[2] for tokens in case.item_tokens if tokens[:2] == prefix})
        assert masked[row].isfinite().nonzero()[:, 0].tolist() == allowed
        assert torch.equal(masked[row, allowed], scores[row, allowed])


def test_minus_infinity_stays_and_what_is_not_a_number_is_an_error() -> None:
    case = Case()
    held = ConstrainedLogitsProcessor(case.grammar(), prompt_length=0)
    rows = torch.tensor([case.item_tokens[0][:2]])
    inside, outside = case.item_tokens[0][2], case.words[0]
    assert held(rows, torch.full((1, len(case.tokenizer)), -torch.inf)).isneginf().all()
    scores = torch.zeros(1, len(case.tokenizer))
    scores[0, outside] = torch.nan
    assert not held(rows, scores).isnan().any()
    scores[0, inside] = torch.nan
    with pytest.raises(DataError, match="not a number"):
        held(rows, scores)


def test_one_processor_serves_prompts_of_other_lengths_in_turn() -> None:
    case = Case()
    held = ConstrainedLogitsProcessor(case.grammar())
    first = {row[0] for row in case.item_tokens}
    for width in (4, 7, 5):
        prompts = torch.randint(0, 9, (3, width))
        for written in range(2):
            ids = torch.cat([prompts, torch.tensor([case.item_tokens[1][:written]] * 3).long()], dim=1)
            masked = held(ids, torch.zeros(3, len(case.tokenizer)))
            allowed = set(masked[0].isfinite().nonzero()[:, 0].tolist())
            assert allowed == (first if written == 0 else {row[1] for row in case.item_tokens if row[0] == ids[0, -1]})
    with pytest.raises(DataError, match="prompt_length is 9"):
        ConstrainedLogitsProcessor(case.grammar(), prompt_length=9)(prompts, torch.zeros(3, len(case.tokenizer)))


def test_what_does_not_fit_together_is_an_error() -> None:
    case = Case()
    with pytest.raises(DataError, match=r"levels of \(5, 4\) codes; expected those of the constraint, \(5, 4, 6\)"):
        ItemGrammar(case.index, case.token_ids[:2], case.eos)
    twice = [case.token_ids[0], case.token_ids[1], case.token_ids[2][[0, 0, 1, 2, 3, 4]]]
    with pytest.raises(DataError, match="level 2 has 6 codes and 5 tokens"):
        ItemGrammar(case.index, twice, case.eos)
    with pytest.raises(DataError, match="the model scores 10 tokens"):
        ConstrainedLogitsProcessor(case.grammar(), 0)(torch.zeros(1, 0).long(), torch.zeros(1, 10))
    with pytest.raises(ConfigError, match="there is no marker"):
        Outline(case.grammar(), max_text=3)
    with pytest.raises(ConfigError, match="max_text is -1"):
        Outline(case.grammar(), marker=3, max_text=-1)


def by_hand(rows: list[list[int]], written: list[int], slate: int, separator: int | None, unique: bool) -> set[int]:
    """Which tokens continue one of all outputs that could be written; the end token is -1."""
    import itertools

    found = set()
    for items in itertools.product(range(len(rows)), repeat=slate):
        if unique and len(set(items)) < slate:
            continue
        tokens: list[int] = []
        for place, item in enumerate(items):
            tokens += [separator] if place and separator is not None else []
            tokens += rows[item]
        tokens.append(-1)
        if tokens[: len(written)] == written:
            found.add(tokens[len(written)])
    return found


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple),
    slate=st.integers(1, 3),
    separated=st.booleans(),
    unique=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_what_may_follow_is_what_some_output_goes_on_with(
    sizes: tuple[int, ...], slate: int, separated: bool, unique: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    every = rng.permutation(random_codes(12, sizes, seed))
    codes = every[:6]
    index, more = StaticIndex.build(codes, sizes), StaticIndex.build(every, sizes)
    slate = min(slate, len(codes)) if unique else slate
    eos, separator = 0, 1 if separated else None
    token_ids = [torch.from_numpy(rng.permutation(8)[:size] + 2 + 8 * (level % 2)) for level, size in enumerate(sizes)]
    rows = [[int(token_ids[level][code]) for level, code in enumerate(row)] for row in codes.tolist()]
    grammars: list[Grammar] = [
        ItemGrammar(built, token_ids, eos, items_per_output=slate, separator=separator, unique=unique)
        for built in (Trie.build(codes, sizes), index, Subset.build(more, np.arange(len(codes))))
    ]
    written: list[list[int]] = [[], []]
    for _ in range(slate * (len(sizes) + 1) + 1):
        expected = [by_hand(rows, row, slate, separator, unique) for row in written]
        for grammar in grammars:
            allowed = Outline(grammar).mask(torch.tensor(written).reshape(2, -1).long(), 18)
            found = [set(row.nonzero()[:, 0].tolist()) for row in allowed]
            assert found == [{eos if token < 0 else token for token in row} or {eos} for row in expected]
        for row, choice in zip(written, expected, strict=True):
            options = sorted(choice - {-1}) or [eos]
            row.append(int(rng.choice(options if rng.random() < 0.95 else range(18))))
