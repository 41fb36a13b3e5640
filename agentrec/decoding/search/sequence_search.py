"""Constrained beam search over identifiers of differing length, the beams of a request as a tree in one row.

A sequence counts with its end token. Finished beams leave the beam for a list of their own, so that they take no place
from the unfinished, and the search goes on until no unfinished beam can enter that list any more. A beam as wide as
the trie has leaves therefore gives the exact ranking of all items; without length normalisation scores are sums of
log-probabilities over the full vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch

from agentrec.core.errors import ConfigError
from agentrec.decoding.children.candidates import DEAD, Candidates, Frontier
from agentrec.decoding.index.sequences import SequenceTrie
from agentrec.decoding.search.beam import Beams, root
from agentrec.decoding.search.prompt import Prompt, read_prompts
from agentrec.decoding.search.tree import BeamTree


@torch.inference_mode()
def search_sequences(
    model: Any,
    prompts: torch.Tensor,
    mask: torch.Tensor,
    trie: SequenceTrie,
    *,
    num_beams: int = 20,
    n: int | None = None,
    max_length: int | None = None,
    length_penalty: float = 0.0,
) -> Beams:
    """Generate the best items of each prompt by their titles.

    Args:
        model: a Hugging Face causal language model in eval mode.
        prompts: (B, T) int64 token ids, padded on either side.
        mask: (B, T) 1 for tokens, 0 for padding; at least one token per row.
        trie: the allowed sequences, on the model's device.
        num_beams: beam width M.
        n: items returned, M by default. Items that share a title share its score, in the order of their indexes.
        max_length: tokens of a sequence at most, its end included; longer ones are not found. The longest by default.
        length_penalty: α; the scores of finished sequences are divided by length^α, their end included.

    Returns:
        Items and scores, best first.

    Raises:
        ConfigError: the model cannot be searched as a tree, or a setting is out of range.
        DataError: on CPUs, a log-probability is not a number.
    """
    n = num_beams if n is None else n
    max_length = trie.max_length if max_length is None else min(max_length, trie.max_length)
    if min(num_beams, n, max_length) < 1 or length_penalty < 0:
        raise ConfigError(
            f"num_beams is {num_beams}, n {n}, max_length {max_length} and length_penalty {length_penalty}; expected 1 "
            "or more, and no negative penalty"
        )
    prompt = read_prompts(model, prompts, mask)
    leaves, scores = _search(prompt, trie, (num_beams, n, max_length), length_penalty)
    return _items_behind(trie, leaves, scores, n)


def _search(
    prompt: Prompt, trie: SequenceTrie, sizes: tuple[int, int, int], length_penalty: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The n best leaves of each row, ``-1`` where there are fewer, and their scores: (B, n) each."""
    num_beams, n, max_length = sizes
    tree, beams = BeamTree(prompt, room=num_beams * (max_length - 1)), root(prompt)
    leaves = torch.full((len(prompt), n), -1, device=beams.states.device)
    scores = torch.full((len(prompt), n), DEAD, device=beams.states.device)
    for length in range(1, max_length + 1):
        logprobs = tree.logits.float().log_softmax(dim=-1)
        found = trie.top_candidates(beams, logprobs, num_beams + beams.states.shape[1])  # each beam may end
        ended = (found.codes == trie.eos) & (found.states >= 0)
        pool = torch.cat([scores, (found.scores / length**length_penalty).masked_fill(~ended, DEAD)], dim=1)
        scores, place = pool.topk(n, dim=1)
        leaves = torch.cat([leaves, found.states], dim=1).gather(1, place).masked_fill(scores == DEAD, -1)
        beams, found = _unfinished(found, ended, num_beams)
        bound = beams.scores[:, 0] / max_length**length_penalty  # scores only fall, and no sequence gets longer
        if length == max_length or bool((bound <= scores[:, -1]).all()):
            break
        tree.grow(found.parents, found.codes)
    return leaves, scores


def _unfinished(found: Candidates, ended: torch.Tensor, num_beams: int) -> tuple[Frontier, Candidates]:
    """The beams that go on, best first."""
    alive = found.scores.masked_fill(ended, DEAD)
    scores, order = alive.topk(min(num_beams, alive.shape[1]), dim=1)
    dead = scores == DEAD
    parents, codes, states = (part.gather(1, order) for part in (found.parents, found.codes, found.states))
    kept = Candidates(scores, parents, codes, states.masked_fill(dead, -1))
    return Frontier(0, kept.states, scores), kept


def _items_behind(trie: SequenceTrie, leaves: torch.Tensor, scores: torch.Tensor, n: int) -> Beams:
    """Leaves (B, n) to their items, the first n of each row."""
    alive = leaves >= 0
    start, end = trie.starts[leaves.clamp_min(0)].long(), trie.starts[leaves.clamp_min(0) + 1].long()
    total = (end - start).masked_fill(~alive, 0).cumsum(dim=1)
    wanted = torch.arange(n, device=leaves.device).expand(len(leaves), -1).contiguous()
    leaf = torch.searchsorted(total, wanted, right=True)
    short = leaf >= n
    leaf = leaf.clamp_max(n - 1)
    before = torch.where(leaf > 0, total.gather(1, (leaf - 1).clamp_min(0)), 0)
    place = (start.gather(1, leaf) + wanted - before).masked_fill(short, 0)
    return Beams(trie.items[place].masked_fill(short, -1), scores.gather(1, leaf).masked_fill(short, DEAD))
