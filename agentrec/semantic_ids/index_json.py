"""Import and export of ``index.json``, the semantic-ID file of LC-Rec, LETTER and MiniOneRec.

``{"0": ["<a_12>", "<b_3>", ...], ...}``: one key per item, one token per level, lettered in order. Keys are the
catalogue's item ids or, where none of them is one, item indexes ``"0".."N-1"``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.files import whole_file
from agentrec.core.types import IntArray
from agentrec.semantic_ids.collisions import collision_rate, resolve
from agentrec.semantic_ids.collisions.groups import groups, ranks
from agentrec.semantic_ids.vocabulary import LETTERS, TOKEN, SIDVocabulary

MAX_BYTES = 2**30
MAX_CODE = 2**20  # a larger code would ask for a million tokens: the number is no code


def read_index(
    path: str | Path, item_ids: Sequence[str], *, collisions: Literal["append", "error"] = "error"
) -> SIDVocabulary:
    """Read an index file for a catalogue.

    Args:
        path: the JSON file.
        item_ids: the N item ids of the catalogue, in index order.
        collisions: what to do with items that share all codes: ``"append"`` a level, or refuse (``"error"``).

    Returns:
        The vocabulary of the catalogue's items, stamped with the file's name and its ``num_levels`` before any was
        appended; level sizes are the largest code of each level plus one.

    Raises:
        DataError: the file is no such index, does not cover the catalogue exactly, or has collisions that were not
            to be resolved.
    """
    entries = _read(Path(path))
    rows = _rows(path, entries, item_ids)
    codes = _codes(path, [(key, entries[key]) for key in rows])
    if collisions == "error" and (shared := collision_rate(codes)) > 0:
        later = int(ranks(groups(codes)[0]).argmax())
        first = int((codes == codes[later]).all(axis=1).argmax())
        raise DataError(
            f"{path}: {shared:.1%} of {len(codes)} items share their codes with an earlier item, for example "
            f"{rows[later]!r} with {rows[first]!r}; expected distinct codes, so import it with collisions='append'"
        )
    vocabulary = SIDVocabulary(resolve(codes, "append"), item_ids=item_ids)
    return vocabulary.stamp({"index": Path(path).name, "num_levels": codes.shape[1], "collisions": collisions})


def write_index(vocabulary: SIDVocabulary, path: str | Path) -> None:
    """Write an index file, keyed by item id (by item index where the vocabulary knows no ids), whole or not at all."""
    keys = vocabulary.item_ids or tuple(str(item) for item in range(vocabulary.num_items))
    entries = {key: list(vocabulary.tokens(item)) for item, key in enumerate(keys)}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(entries, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected an index file of semantic IDs, so check its name")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(
            f"{path} has {path.stat().st_size} bytes; expected at most {MAX_BYTES}, so check that it is an index file"
        )
    try:
        entries = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=partial(_no_twins, path))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); it looks truncated, so write or copy it again") from error
    if not isinstance(entries, dict) or not entries:
        found = (
            f"{type(entries).__name__} with {len(entries)} entries"
            if isinstance(entries, (dict, list))
            else repr(entries)
        )
        raise DataError(f'{path} holds {found}; expected an object like {{"item": ["<a_12>", "<b_3>"]}}')
    return entries


def _no_twins(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        seen: set[str] = set()
        twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DataError(f"{path} holds item {twin!r} twice; expected each item once, so write or copy it again")
    return entries


def _rows(path: str | Path, entries: Mapping[str, Any], item_ids: Sequence[str]) -> Sequence[str]:
    """The keys of the file in the order of the catalogue."""
    wanted: Sequence[str] = list(item_ids)
    if not entries.keys() & set(wanted):
        indexes = [str(index) for index in range(len(wanted))]
        wanted = indexes if entries.keys() & set(indexes) else wanted
    for kind, found in (
        ("no entry", [key for key in wanted if key not in entries]),
        ("no item in the catalogue", sorted(entries.keys() - set(wanted))),
    ):
        if found:
            raise DataError(
                f"{path}: {len(found)} of {max(len(wanted), len(entries))} items have {kind}, for example "
                f"{found[0]!r}; expected exactly the catalogue's {len(wanted)} items, so use the index of this data"
            )
    return wanted


def _codes(path: str | Path, entries: list[tuple[str, Any]]) -> IntArray:
    """Parse the tokens: (N, L) int64."""
    levels = len(entries[0][1]) if isinstance(entries[0][1], list) else 0
    table = np.empty((len(entries), levels), np.int64)
    for row, (key, tokens) in enumerate(entries):
        if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
            raise DataError(
                f'{path}: item {key!r} has {_short(tokens)}; expected a list of tokens like ["<a_12>", "<b_3>"]'
            )
        if len(tokens) != levels:
            raise DataError(
                f"{path}: item {key!r} has {len(tokens)} tokens and {entries[0][0]!r} has {levels}; expected as "
                "many for all"
            )
        for level, token in enumerate(tokens):
            table[row, level] = _code(path, key, token, level)
    return table


def _code(path: str | Path, key: str, token: str, level: int) -> int:
    match = TOKEN.fullmatch(token)
    if match is None:
        raise DataError(
            f"{path}: item {key!r} has the token {_short(token)}; expected one like '<{_letter(level)}_12>'"
        )
    if match[1] != _letter(level):
        raise DataError(
            f"{path}: item {key!r} has {token!r} at level {level + 1}; expected the letter {_letter(level)!r} "
            "there, since levels are lettered in order"
        )
    if int(match[2]) >= MAX_CODE:
        raise DataError(f"{path}: item {key!r} has the token {_short(token)}; expected a code below {MAX_CODE}")
    return int(match[2])


def _letter(level: int) -> str:
    return LETTERS[level] if level < len(LETTERS) else "?"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
