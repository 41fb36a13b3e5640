"""A sensible start for the embeddings of semantic-ID tokens.

What it does not know: which rows were trained before. Every semantic-ID token gets a fresh row, so call it once, after
the tokenizer was extended, and not on a checkpoint that has learnt its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.types import FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from agentrec.semantic_ids.vocabulary import SIDVocabulary

NOISE = 0.1  # of the old rows' standard deviation, around the mean of an item's words
BATCH = 1024


def start_new_rows(
    vocabulary: SIDVocabulary, model: Any, tokenizer: Any, texts: Sequence[str] | None = None, seed: int = 0
) -> None:
    """Resize a model's embeddings to its tokenizer and start the rows of the semantic-ID tokens.

    Without texts, a row is drawn from N(mean, std) of the old rows, dimension by dimension. With texts, the row of a
    code is the mean embedding of the words of all items that carry it, plus a tenth of that noise. Every new row is
    scaled into the range of the old rows' lengths. An output head of its own is treated likewise; its bias, where
    there is one, starts at the mean of the old. Rows of other tokens keep their values, all keep type and device.

    Args:
        vocabulary: the semantic IDs.
        model: a Hugging Face model with input embeddings.
        tokenizer: its tokenizer, already extended with the vocabulary's tokens.
        texts: one text per item.
        seed: of the noise.

    Raises:
        ArtefactError: the tokenizer lacks a token, or has no other tokens than these.
        DataError: another number of texts than of items.
    """
    import torch

    if texts is not None and len(texts) != vocabulary.num_items:
        raise DataError(f"{len(texts)} texts were given for {vocabulary.num_items} items; expected one per item")
    new = np.concatenate(vocabulary.token_ids(tokenizer))
    known = min(len(model.get_input_embeddings().weight), len(tokenizer))
    old = np.setdiff1d(np.arange(known), new)
    if not len(old):
        raise ArtefactError("the tokenizer holds semantic-ID tokens alone; expected those of the model too")
    if len(tokenizer) > len(model.get_input_embeddings().weight):  # never shrink: many models have spare rows
        with torch.random.fork_rng(devices=[]):  # its own start of the rows is drawn from the global generator
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    words = None if texts is None else code_words(vocabulary, tokenizer, texts)
    entrance, head = model.get_input_embeddings(), model.get_output_embeddings()
    generator = torch.Generator().manual_seed(seed)
    _start(entrance.weight, new, old, words, generator)
    if head is not None and head.weight is not entrance.weight:
        _start(head.weight, new, old, words, generator)
    bias = getattr(head, "bias", None)
    if bias is not None:
        bias.data[new] = bias.data[old].mean()


def code_words(vocabulary: SIDVocabulary, tokenizer: Any, texts: Sequence[str]) -> Any:
    """How often each token occurs in the texts of the items that carry a code.

    Args:
        vocabulary: the semantic IDs, C codes over all levels.
        tokenizer: the tokenizer, V tokens.
        texts: one text per item.

    Returns:
        (C, V) scipy sparse array of float32 whose rows sum to 1, or to 0 for a code without words.
    """
    from scipy.sparse import csr_array, diags_array

    rows: list[IntArray] = []
    tokens: list[IntArray] = []
    codes = vocabulary.codes + vocabulary.level_offsets
    for start in range(0, len(texts), BATCH):
        batch = tokenizer(list(texts[start : start + BATCH]), add_special_tokens=False)["input_ids"]
        for item, ids in enumerate(batch, start):
            tokens.append(np.tile(np.asarray(ids, np.int64), vocabulary.num_levels))
            rows.append(np.repeat(codes[item], len(ids)))
    where = (np.concatenate(rows), np.concatenate(tokens))
    shape = (len(vocabulary.all_tokens), len(tokenizer))
    counts = csr_array((np.ones(len(where[0]), np.float32), where), shape=shape)
    totals = np.maximum(counts.sum(axis=1), 1)
    return csr_array(diags_array(1 / totals) @ counts).astype(np.float32)


def _start(weight: Tensor, new: IntArray, old: IntArray, words: Any, generator: Generator) -> None:
    """Write the new rows of one embedding matrix (V, D) in place."""
    import torch

    table = weight.data
    before = table[torch.from_numpy(old).to(table.device)].float().cpu()
    deviation, mean = torch.std_mean(before, dim=0, correction=0)
    noise = torch.randn((len(new), table.shape[1]), generator=generator) * deviation
    rows = mean + noise
    if words is not None:
        found = torch.from_numpy(np.asarray(words.sum(axis=1) > 0))
        rows[found] = (torch.from_numpy(_mixed(words, table)) + NOISE * noise)[found]
    lengths = before.norm(dim=1)
    norms = rows.norm(dim=1, keepdim=True)
    rows *= norms.clamp(lengths.min(), lengths.max()) / norms.clamp_min(torch.finfo(torch.float32).tiny)
    table[torch.from_numpy(new).to(table.device)] = rows.to(table.device, table.dtype)


def _mixed(words: Any, table: Tensor) -> FloatArray:
    """Weighted means of embedding rows: (C, V) sparse, (V, D) -> (C, D) float32, touching only the rows in use."""
    import torch

    used = np.unique(words.indices)
    rows = table[torch.from_numpy(used.astype(np.int64)).to(table.device)].float().cpu().numpy()
    mixed: FloatArray = np.asarray(words.tocsc()[:, used] @ rows, dtype=np.float32)
    return mixed
