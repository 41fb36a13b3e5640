"""Does constrained decoding do what it promises? The same generator decodes in several ways, and each list is checked.

``constrained`` is the recommender as it is served. ``unconstrained`` runs the same beam search over all semantic-ID
tokens of each level, whether or not an item is behind them. ``free`` and ``greedy`` leave even that: Hugging Face
``generate`` over the whole vocabulary, by beams or one token after the other. The controls show that the check can
fail, and what the constraint costs or gives.

What is checked are the tokens that were generated. A beam search with a constraint names items, so
`agentrec.decoding.index.traced.Traced` walks the constraint and keeps the codes instead; whether they are an item's is
then looked up in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agentrec.core.errors import ConfigError
from agentrec.core.types import PAD, HeldOut, Histories, IntArray
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.traced import Traced
from agentrec.evaluation.generative import Generative
from agentrec.metrics.ranking import ndcg, target_ranks
from agentrec.prompts.forms import pad_left
from agentrec.semantic_ids.vocabulary import SIDVocabulary

Way = Literal["constrained", "unconstrained", "free", "greedy"]
WAYS: tuple[Way, ...] = ("constrained", "unconstrained", "free", "greedy")

NO_ITEM = -2  # a generated sequence that names no item
MEASURES = ("valid", "distinct", "full", "seen_left_out", "in_subset")


@dataclass(frozen=True)
class Asked:
    """What the ways of decoding are asked.

    Attributes:
        held: U users.
        n: list length.
        subset: items allowed in the run that measures ``in_subset``; ascending.
        batch_size: users per call of Hugging Face ``generate``.
    """

    held: HeldOut
    n: int
    subset: IntArray
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.n < 1 or not len(self.subset):
            raise ConfigError(f"n is {self.n} and the subset has {len(self.subset)} items; expected at least 1 of each")


def measure_way(model: Generative, way: Way, asked: Asked) -> pd.DataFrame:
    """Decode one way for all users and check the lists.

    Only ``constrained`` knows how to leave out seen items or to keep to a subset, so it is run once for each of these;
    the others are measured on their one list.

    Args:
        model: the generator.
        way: how it decodes; ``greedy`` gives one sequence per user.
        asked: users, list length, subset.

    Returns:
        One row per user; shares are of what was generated:

        - ``valid``: sequences that are an item of the catalogue;
        - ``distinct``: sequences that are no repetition within the list;
        - ``full``: 1 if the list has n distinct items (``greedy``: 1), or the whole catalogue where that is smaller;
        - ``seen_left_out``: 1 if, asked to leave out the user's own items, no list has one;
        - ``in_subset``: items that lie in the subset, NaN where no item was generated;
        - ``ndcg@n``: of the list without repetitions and without sequences that name no item; ``rank`` likewise.

    Raises:
        ConfigError: no such way.
    """
    histories = asked.held.histories
    lists = decode(model, way, histories, asked.n, batch_size=asked.batch_size)
    items = items_of(model.vocabulary, lists)
    unseen = restricted = items
    if way == "constrained":
        unseen = model.recommend(histories, asked.n, exclude_seen=True).items
        codes, sizes = model.vocabulary.codes, model.vocabulary.level_sizes
        allowed = StaticIndex.build(codes, sizes, asked.subset).to(model.device)
        restricted = model.recommend(histories, asked.n, constraint=allowed).items
    shares = check_lists(lists, items)
    clean = compacted(items)
    found = target_ranks(clean, asked.held.targets)
    ranks = np.where(found < clean.shape[1], found, asked.n)  # a short list has its misses behind place n, too
    expected = min(lists.shape[1], model.vocabulary.num_items)
    return pd.DataFrame(
        {
            **shares,
            "full": ((clean >= 0).sum(axis=1) >= expected).astype(np.float64),
            "seen_left_out": [float(not np.isin(row, seen).any()) for row, seen in zip(unseen, histories, strict=True)],
            "in_subset": _share(np.isin(restricted, asked.subset), restricted >= 0),
            f"ndcg@{asked.n}": ndcg(ranks, asked.n),
            "rank": ranks,
        }
    )


def decode(model: Generative, way: Way, histories: Histories, n: int, *, batch_size: int = 32) -> IntArray:
    """Generate sequences of codes.

    Returns:
        (U, n, L) int64, best first; ``greedy`` gives (U, 1, L). A token that is no code of its level has a number of
        ``-2`` or less of its own; a place where nothing was generated is ``-1`` throughout.

    Raises:
        ConfigError: no such way.
    """
    if way not in WAYS:
        raise ConfigError(f"the way of decoding is {way!r}; expected one of {', '.join(WAYS)}")
    if way in ("constrained", "unconstrained"):
        traced = Traced(model.vocabulary.level_sizes, model.constraint if way == "constrained" else None)
        return traced.codes(model.recommend(histories, n, constraint=traced).items)
    beams = 1 if way == "greedy" else max(model.num_beams, n)
    kept = 1 if way == "greedy" else n
    found = np.full((len(histories), kept, model.vocabulary.num_levels), NO_ITEM, np.int64)
    prompts = [model.form.prompt(history) for history in histories]
    table = _codes_by_token(model)
    for rows in _by_length(prompts, batch_size):
        tokens = _generate(model, [prompts[row] for row in rows], beams, kept)
        for level in range(tokens.shape[2]):
            found[rows, :, level] = table[level][tokens[:, :, level]]
    return found


def items_of(vocabulary: SIDVocabulary, lists: IntArray) -> IntArray:
    """The items of code sequences: (U, n, L) -> (U, n) int64, ``-2`` where there is none, ``-1`` for no sequence."""
    known = {tuple(row): item for item, row in enumerate(vocabulary.codes.tolist())}
    rows = lists.reshape(-1, lists.shape[2])
    found = [PAD if (row == PAD).all() else known.get(tuple(row.tolist()), NO_ITEM) for row in rows]
    return np.array(found, np.int64).reshape(lists.shape[:2])


def check_lists(lists: IntArray, items: IntArray) -> dict[str, NDArray[np.float64]]:
    """Shares ``valid`` and ``distinct`` of the sequences generated: (U, n, L) and their items (U, n) -> (U,) each.

    Nothing generated is nothing valid: 0 for both.
    """
    made = items != PAD
    num_made = np.maximum(made.sum(axis=1), 1)
    distinct = [len(np.unique(row[real], axis=0)) for row, real in zip(lists, made, strict=True)]
    return {"valid": (items >= 0).sum(axis=1) / num_made, "distinct": np.array(distinct) / num_made}


def compacted(items: IntArray) -> IntArray:
    """Lists without repetitions and without what names no item, moved up and padded with ``-1``: (U, n) -> (U, n)."""
    found = np.full(items.shape, PAD, np.int64)
    for row, values in enumerate(items.tolist()):
        kept = list(dict.fromkeys(item for item in values if item >= 0))
        found[row, : len(kept)] = kept
    return found


def _share(hit: NDArray[np.bool_], real: NDArray[np.bool_]) -> NDArray[np.float64]:
    number = real.sum(axis=1)
    return np.where(number > 0, (hit & real).sum(axis=1) / np.maximum(number, 1), np.nan)


def _by_length(prompts: list[list[int]], size: int) -> Iterator[IntArray]:
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _generate(model: Generative, prompts: list[list[int]], beams: int, kept: int) -> IntArray:
    """Tokens that follow the prompts: (B, kept, L') int64, L' at most L."""
    import torch

    ids, mask = (torch.from_numpy(array).to(model.device) for array in pad_left(prompts, model.tokenizer.pad_token_id))
    with torch.inference_mode():
        out = model.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=model.vocabulary.num_levels,
            num_beams=beams,
            num_return_sequences=kept,
            do_sample=False,
            pad_token_id=model.tokenizer.pad_token_id,
        )
    found: IntArray = out[:, ids.shape[1] :].cpu().numpy().reshape(len(prompts), kept, -1)
    return found


def _codes_by_token(model: Generative) -> IntArray:
    """Code of every token at every level: (L, V) int64; tokens that are none are told apart by numbers below ``-2``."""
    levels = model.vocabulary.token_ids(model.tokenizer)
    table = np.tile(NO_ITEM - 1 - np.arange(model.model.config.vocab_size), (len(levels), 1))
    for level, ids in enumerate(levels):
        table[level, ids] = np.arange(len(ids))
    return table
