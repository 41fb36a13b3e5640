"""New items for semantic IDs that were fitted before, by the quantiser and the text encoder in their folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.provenance import versions
from agentrec.core.types import IntArray
from agentrec.pipeline.collaborative import vectors_of_items
from agentrec.pipeline.semantic_ids import (
    Described,
    SemanticIDs,
    load_quantiser,
    load_text_encoder,
    problem_of,
    report_of,
)
from agentrec.semantic_ids.collisions import Problem
from agentrec.semantic_ids.extend import extend, take
from agentrec.semantic_ids.vocabulary import SIDVocabulary


def extend_semantic_ids(
    folder: str | Path,
    dataset: Described,
    *,
    collisions: str | None = None,
    settings: Mapping[str, Any] | None = None,
    missing: Literal["error", "remove"] = "error",
) -> SemanticIDs:
    """Give the new items of a data set semantic IDs, and leave those of its other items as they are.

    Rows follow the data set's order of items, whatever it was before; items are told by their ids.

    Args:
        folder: fitted semantic IDs with quantiser and text encoder.
        dataset: all items there are now.
        collisions: a policy for new items; by default the one of fit. See `agentrec.semantic_ids.extend.extend`.
        settings: of the policy; by default those of fit, where it is the same policy.
        missing: what to do with items that the data set no longer has: refuse, or remove them. Their codes become
            free; nobody gets them in this call.

    Returns:
        The IDs of all items of the data set, with the same quantiser and encoder; save them to another folder.

    Warns:
        DataWarning: the appended level grew, so that a trained model lacks tokens.

    Raises:
        ArtefactError: the folder has no quantiser or no encoder, or its IDs know no item ids.
        DataError: items are missing, or there is no room for the new.
    """
    vocabulary = SIDVocabulary.from_pretrained(folder)
    quantiser, encoder = load_quantiser(folder), load_text_encoder(folder)
    if quantiser is None or encoder is None or vocabulary.item_ids is None:
        lacks = "quantiser" if quantiser is None else "text encoder" if encoder is None else "item ids"
        raise ArtefactError(f"{folder} has no {lacks}, so its IDs cannot be extended; expected a folder of sids fit")
    made, ids = vocabulary.provenance, dataset.catalogue.ids
    known = set(vocabulary.item_ids)
    gone = sorted(known - set(ids))
    if gone and missing == "error":
        raise DataError(
            f"the data set lacks {len(gone)} of {len(known)} items of {folder}, for example {gone[0]!r}; expected all "
            "of them, or missing='remove'"
        )
    table = vectors_of_items(encoder, dataset.require_texts(made.get("text_columns")), ids)
    problem = problem_of(quantiser, table, ids)
    rows = np.array([row for row, item in enumerate(ids) if item not in known], np.int64)
    if len(rows):
        name = collisions or made["collisions"]
        own = made["settings"].get("collisions") if settings is None and name == made["collisions"] else settings
        new = [ids[row] for row in rows.tolist()]
        vocabulary = extend(vocabulary, _part(problem, rows), new, policy=name, settings=own)
    vocabulary = _ordered(vocabulary, ids)
    history = [*made.get("extended", []), {"data": dataset.fingerprint, "new": len(rows), "removed": len(gone)}]
    vocabulary.stamp({**made, "data": dataset.fingerprint, "versions": versions(), "extended": history})
    return SemanticIDs(vocabulary, quantiser, table, report_of(vocabulary, quantiser, table, problem), encoder)


def _ordered(vocabulary: SIDVocabulary, ids: Sequence[str]) -> SIDVocabulary:
    """The rows of some items, by their ids."""
    place = {item: row for row, item in enumerate(vocabulary.item_ids or ())}
    return take(vocabulary, np.array([place[item] for item in ids], np.int64))


def _part(problem: Problem, rows: IntArray) -> Problem:
    """The same about some items."""
    assert problem.vectors is not None
    assert problem.keys is not None
    keys = [problem.keys[row] for row in rows.tolist()]
    return replace(problem, codes=problem.codes[rows], vectors=problem.vectors[rows], keys=keys)
