"""The items of a generator's folder on the host, for engines that run its model elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentrec.core.artefact import local_folder
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.stepping import TokenLayout
from agentrec.models.generator import SIDS
from agentrec.semantic_ids.vocabulary import SIDVocabulary


def sets_of_folder(folder: str | Path, sets: ConstraintSets | None = None) -> tuple[ConstraintSets, TokenLayout, Any]:
    """Named sets, the items as the model writes them, and its tokenizer.

    Args:
        folder: of the generator.
        sets: over an index on the host; new ones, with nothing but ``all``, by default.

    Raises:
        ArtefactError: the folder is no generator, or damaged.
    """
    from transformers import AutoTokenizer

    folder = local_folder(folder)
    vocabulary = SIDVocabulary.from_pretrained(folder / SIDS)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    if sets is None:
        sets = ConstraintSets(StaticIndex.build(vocabulary.codes, vocabulary.level_sizes))
    token_ids = tuple(vocabulary.token_ids(tokenizer))
    return sets, TokenLayout(sets.index, token_ids, ends_of(folder, tokenizer)), tokenizer


def ends_of(folder: Path, tokenizer: Any) -> tuple[int, ...]:
    """The tokens that end an output: the tokenizer's, and those of the folder's generation config."""
    from transformers import GenerationConfig

    ends = [tokenizer.eos_token_id]
    if (folder / "generation_config.json").is_file():
        given = GenerationConfig.from_pretrained(str(folder), local_files_only=True).eos_token_id
        ends += given if isinstance(given, list) else [given]
    return tuple(dict.fromkeys(end for end in ends if end is not None))
