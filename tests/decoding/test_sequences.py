"""The trie of sequences is a dictionary of prefixes, and its search is brute force over all titles."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.decoding.children.candidates import Frontier
from agentrec.decoding.grammar import Outline
from agentrec.decoding.hf import ConstrainedLogitsProcessor
from agentrec.decoding.index.sequences import SequenceGrammar, SequenceTrie
from agentrec.decoding.search.sequence_search import search_sequences
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator

EOS = 3
TOKENS = [0, 1, 2, 4, 5, 700]
titles = st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=6), min_size=1, max_size=25)


def dictionary(sequences: dict[int, list[int]]) -> dict[tuple[int, ...], dict[int, list[int]]]:
    """Prefix -> next token -> items; the readable truth."""
    found: dict[tuple[int, ...], dict[int, list[int]]] = {}
    for item, sequence in sequences.items():
        whole = [*sequence, EOS]
        for length, token in enumerate(whole):
            found.setdefault(tuple(whole[:length]), {}).setdefault(token, []).append(item)
    return found


def walk(trie: SequenceTrie, tokens: tuple[int, ...]) -> int:
    state = torch.tensor(0)
    for token in tokens:
        state = trie.advance(state, torch.tensor(token))
    return int(state)


@settings(max_examples=80, deadline=None)
@given(titles, st.data())
def test_every_prefix_goes_on_like_the_dictionary(sequences: list[list[int]], data: st.DataObject) -> None:
    items = sorted(data.draw(st.sets(st.integers(0, len(sequences) - 1), min_size=1)))
    truth = dictionary({item: sequences[item] for item in items})
    trie = SequenceTrie.build(sequences, EOS, np.array(items))
    assert trie.num_items == len(items)
    assert trie.max_length == max(len(sequences[item]) for item in items) + 1
    states = {prefix: walk(trie, prefix) for prefix in truth}
    assert len(set(states.values())) == len(truth)
    assert trie.num_states == len(truth) + len({tuple(sequences[item]) for item in items})
    together = torch.tensor(list(states.values()))
    children, allowed = trie.children(together), trie.allowed(together)
    for row, prefix in enumerate(truth):
        assert children.tokens[row][children.tokens[row] >= 0].tolist() == sorted(truth[prefix])
        assert allowed[row].nonzero()[:, 0].tolist() == sorted(truth[prefix])
        for token in [*TOKENS, EOS, 6, 701, -1]:
            after = int(trie.advance(together[row], torch.tensor(token)))
            assert (after >= 0) == (token in truth[prefix])
            if token in truth[prefix]:
                assert after == children.states[row, sorted(truth[prefix]).index(token)]
                assert trie.items_of(after).tolist() == (truth[prefix][token] if token == EOS else [])


@settings(max_examples=60, deadline=None)
@given(titles, st.integers(0, 2**16), st.integers(1, 9))
def test_the_best_candidates_are_those_found_by_hand(sequences: list[list[int]], seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    trie = SequenceTrie.build(sequences, EOS)
    states = torch.from_numpy(rng.integers(-1, trie.num_states, (2, 3)))
    scores = torch.from_numpy(rng.normal(size=(2, 3)).astype(np.float32))
    logprobs = torch.from_numpy(rng.normal(size=(2, 3, 701)).astype(np.float32))
    found = trie.top_candidates(Frontier(0, states, scores), logprobs, k)
    for row in range(2):
        expected = []
        for beam in range(3):
            children = trie.children(states[row, beam])
            for token, state in zip(children.tokens.tolist(), children.states.tolist(), strict=True):
                if token >= 0:
                    expected.append((float(scores[row, beam] + logprobs[row, beam, token]), beam, token, state))
        expected = sorted(expected, reverse=True)[:k]
        parts = (found.scores, found.parents, found.codes, found.states)
        got = list(zip(*(part[row].tolist() for part in parts), strict=True))
        assert got[: len(expected)] == expected
        assert [state for *_, state in got[len(expected) :]] == [-1] * (k - len(expected))


def test_masked_logits_and_shapes() -> None:
    trie = SequenceTrie.build([[5, 6], [5], [4]], EOS)
    states = trie.advance(torch.tensor([[0, 0], [-1, 0]]), torch.tensor([[5, 4], [5, 6]]))
    logits = torch.randn(2, 2, 9).half()
    masked = trie.mask_logits(states, logits)
    assert [row.nonzero()[:, 0].tolist() for row in masked.isfinite().flatten(0, 1)] == [[3, 6], [3], [], []]
    assert torch.equal(masked[0, 0, [3, 6]], logits[0, 0, [3, 6]])
    assert trie.children(torch.tensor([-1])).tokens.numel() == 0
    assert trie.items_of(-1).tolist() == []


def test_one_title_that_begins_another_and_a_shared_one() -> None:
    trie = SequenceTrie.build([[5, 6], [5], [5, 6], [7]], EOS)
    assert trie.items_of(walk(trie, (5, 6, EOS))).tolist() == [0, 2]
    assert trie.items_of(walk(trie, (5, EOS))).tolist() == [1]
    assert trie.children(torch.tensor(walk(trie, (5,)))).tokens.tolist() == [EOS, 6]


def test_flat_and_nested_building_agree_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(4, 30, rng.integers(1, 9)).tolist() for _ in range(600)]
    trie = SequenceTrie.build(sequences, EOS)
    flat = np.concatenate([np.array(row) for row in sequences])
    other = SequenceTrie.from_flat(flat, np.array([len(row) for row in sequences]), EOS)
    order = rng.permutation(600)
    shuffled = SequenceTrie.build([sequences[row] for row in order], EOS)
    for name in ("tokens", "first", "starts"):
        assert torch.equal(getattr(trie, name), getattr(other, name))
        assert torch.equal(getattr(trie, name), getattr(shuffled, name))
    for item, row in enumerate(sequences):
        assert item in trie.items_of(walk(trie, (*row, EOS))).tolist()


def test_what_is_wrong_with_a_title_is_said() -> None:
    with pytest.raises(DataError, match="allowed items is empty"):
        SequenceTrie.build([[1]], EOS, np.zeros(0, np.int64))
    with pytest.raises(DataError, match="item 1 has no tokens"):
        SequenceTrie.build([[1], []], EOS)
    with pytest.raises(DataError, match="item 2 has token 3 in its sequence"):
        SequenceTrie.build([[1], [1, 1], [0, 3, 0]], EOS)
    with pytest.raises(DataError, match="item 7 has token -5"):
        SequenceTrie.build([[1]] * 7 + [[2, -5]], EOS, np.array([3, 7]))


class Case:
    """A model and titles of one to five tokens, some shared, some the beginning of others."""

    def __init__(self, family: str = "qwen3", num_items: int = 40) -> None:
        self.model, tokenizer = tiny_generator(SIDVocabulary(random_codes(9, (4, 4)), (4, 4)), family=family)
        self.eos, self.size = tokenizer.eos_token_id, len(tokenizer)
        rng = np.random.default_rng(5)
        words = [token for token in range(12) if token != self.eos]
        self.titles = [rng.choice(words, rng.integers(1, 6)).tolist() for _ in range(num_items - 4)]
        self.titles += [self.titles[3], self.titles[0], self.titles[3], [*self.titles[1], 8]]
        self.trie = SequenceTrie.build(self.titles, self.eos)
        self.prompts = [rng.integers(0, self.size, length).tolist() for length in (3, 8, 1)]

    def padded(self, side: str = "left") -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, self.prompts))
        ids, mask = torch.zeros(3, width, dtype=torch.long), torch.zeros(3, width, dtype=torch.long)
        for row, prompt in enumerate(self.prompts):
            place = slice(width - len(prompt), width) if side == "left" else slice(0, len(prompt))
            ids[row, place], mask[row, place] = torch.tensor(prompt), 1
        return ids, mask

    def brute_force(self) -> np.ndarray:
        """Sum of log-probabilities of every title and its end after every prompt: (3, N)."""
        scores = np.zeros((3, len(self.titles)))
        with torch.inference_mode():
            for row, prompt in enumerate(self.prompts):
                for item, title in enumerate(self.titles):
                    whole = torch.tensor([[*prompt, *title, self.eos]])
                    logprobs = self.model(input_ids=whole).logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
                    scores[row, item] = logprobs.gather(1, whole[0, len(prompt) :, None]).sum()
        return scores

    def ranking(self, scores: np.ndarray) -> list[list[int]]:
        """Items by score, those of one title by index, though their scores were summed apart."""
        lists = []
        for row in scores:
            best: dict[tuple[int, ...], float] = {}
            for item, title in enumerate(self.titles):
                best.setdefault(tuple(title), row[item])
            lists.append(sorted(range(len(row)), key=lambda item: (-best[tuple(self.titles[item])], item)))
        return lists


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_beam_as_wide_as_the_trie_ranks_like_brute_force(family: str, side: str) -> None:
    case = Case(family)
    found = search_sequences(case.model, *case.padded(side), case.trie, num_beams=50, n=40)
    truth = case.brute_force()
    assert found.items.tolist() == case.ranking(truth)
    assert np.allclose(found.scores.numpy(), -np.sort(-truth, axis=1), atol=1e-4)


def test_length_normalisation_ranks_by_the_mean_and_lengths_can_be_bounded() -> None:
    case = Case()
    lengths = np.array([len(title) + 1 for title in case.titles])
    truth = case.brute_force()
    found = search_sequences(case.model, *case.padded(), case.trie, num_beams=50, n=40, length_penalty=1.0)
    assert found.items.tolist() == case.ranking(truth / lengths)
    short = search_sequences(case.model, *case.padded(), case.trie, num_beams=50, n=40, max_length=3)
    kept = int((lengths <= 3).sum())
    assert 0 < kept < 40
    for row, items in enumerate(short.items.tolist()):
        assert items[:kept] == [item for item in case.ranking(truth)[row] if lengths[item] <= 3]
        assert items[kept:] == [-1] * (40 - kept)
        assert short.scores[row, kept:].isneginf().all()


def test_a_narrow_beam_finds_real_titles_with_their_true_scores() -> None:
    case = Case()
    truth = case.brute_force()
    found = search_sequences(case.model, *case.padded(), case.trie, num_beams=3, n=5)
    for row, (items, scores) in enumerate(zip(found.items.tolist(), found.scores.tolist(), strict=True)):
        assert np.allclose(scores, truth[row, items], atol=1e-4)
        assert scores == sorted(scores, reverse=True)
        assert len(set(items)) == 5
    wide = search_sequences(case.model, *case.padded(), case.trie, num_beams=50, n=5)
    assert (wide.scores >= found.scores - 1e-5).all()


def test_one_item_fills_the_list_with_padding_and_bad_settings_are_errors() -> None:
    case = Case()
    trie = SequenceTrie.build(case.titles, case.eos, np.array([7]))
    found = search_sequences(case.model, *case.padded(), trie, num_beams=4)
    assert found.items.tolist() == [[7, -1, -1, -1]] * 3
    assert found.scores[:, 1:].isneginf().all()
    with pytest.raises(ConfigError, match="num_beams is 0"):
        search_sequences(case.model, *case.padded(), trie, num_beams=0)


def test_what_is_not_a_number_is_an_error() -> None:
    case = Case()
    with torch.no_grad():
        case.model.get_input_embeddings().weight[:] = torch.nan
    with pytest.raises(DataError, match="not a number"):
        search_sequences(case.model, *case.padded(), case.trie)


def generate(case: Case, outline: Any, **options: Any) -> list[list[int]]:
    ids, mask = case.padded()
    out = case.model.generate(
        ids,
        attention_mask=mask,
        logits_processor=[ConstrainedLogitsProcessor(outline)],
        eos_token_id=case.eos,
        pad_token_id=case.eos,
        max_new_tokens=20,
        length_penalty=0.0,
        **options,
    )
    return [row[: row.index(case.eos) + 1] for row in out[:, ids.shape[1] :].tolist()]


def test_beams_of_generate_are_those_of_our_search() -> None:
    case = Case()
    leaves = len({tuple(title) for title in case.titles})
    options = {"num_beams": leaves, "num_return_sequences": 12, "do_sample": False, "early_stopping": "never"}
    written = generate(case, SequenceGrammar(case.trie), **options)
    found = search_sequences(case.model, *case.padded(), case.trie, num_beams=leaves, n=40)
    for row in range(3):
        distinct = list(dict.fromkeys(tuple(case.titles[item]) for item in found.items[row].tolist()))
        assert [tuple(tokens[:-1]) for tokens in written[12 * row : 12 * row + 12]] == distinct[:12]


def test_sampled_titles_are_real_also_behind_text() -> None:
    case = Case()
    torch.manual_seed(0)
    marker = case.size - 1
    for outline in (SequenceGrammar(case.trie), Outline(SequenceGrammar(case.trie), marker, max_text=4)):
        written = generate(case, outline, do_sample=True, temperature=3.0, num_return_sequences=20)
        for row in written:
            title = row[row.index(marker) + 1 : -1] if isinstance(outline, Outline) else row[:-1]
            assert title in case.titles
        assert len({tuple(row) for row in written}) > 10
