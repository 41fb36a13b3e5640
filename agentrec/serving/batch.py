"""Recommendations for every user of a data set, in Parquet parts that appear whole, so that a killed run goes on.

The folder is cut into parts of so many users. A process writes the parts that fall to it, each under another name
first; parts that are there already are left alone, so the same command again does what is missing. Several processes,
on one machine or on many with a common folder, take turns: process i of k writes the parts i, i + k, i + 2k, and so on.
``agentrec.json`` says what the lists were made from, and a run with anything else is refused.

What it does not know: who else writes. Two processes with the same share do the same work twice, harmlessly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agentrec.core.artefact import FORMAT, read_manifest
from agentrec.core.config import setting
from agentrec.core.errors import ArtefactError, ConfigError
from agentrec.core.files import MANIFEST, json_hash, whole_file, write_json
from agentrec.core.protocols import Recommender
from agentrec.core.types import PAD, Histories, Recommendations

ROOM, METHOD = "serving", "recommendations"
PARTS = "parts"  # of their own, so that any reader of Parquet takes the folder
MADE_FROM = b"agentrec.made_from"
SCHEMA = pa.schema([("user_id", pa.string()), ("item_ids", pa.list_(pa.string())), ("scores", pa.list_(pa.float32()))])


@dataclass(frozen=True)
class Batch:
    """What to write."""

    n: int = setting(10, "items per user")
    exclude_seen: bool = setting(False, "leave out the user's own items")
    users_per_part: int = setting(2048, "users in one file")

    def __post_init__(self) -> None:
        if self.n < 1 or self.users_per_part < 1:
            raise ConfigError(
                f"n is {self.n} and users_per_part {self.users_per_part}; expected at least 1 of both, so correct them"
            )


@dataclass(frozen=True)
class Share:
    """The parts of one process: ``Share(0, 2)`` writes every other one.

    Attributes:
        number: of this process, from 0.
        of: how many processes there are.
    """

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            raise ConfigError(
                f"the share is {self.number}/{self.of}; expected i/k with i from 0 to k - 1, for example 0/{self.of}"
            )

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read ``i/k``.

        Raises:
            ConfigError: it is something else.
        """
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal()):
            raise ConfigError(f"the share is {text!r}; expected i/k, for example 0/2 and 1/2 for two processes")
        return cls(int(number), int(of))


class Written(NamedTuple):
    """What a run did.

    Attributes:
        parts: files of this share, old and new.
        new: how many of them were written now.
        users: lists written now.
    """

    parts: list[Path]
    new: int
    users: int


def recommend_all(
    recommender: Recommender,
    histories: Histories,
    ids: tuple[Sequence[str], Sequence[str]],
    out: str | Path,
    *,
    batch: Batch | None = None,
    share: Share | None = None,
    made_from: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Written:
    """Write the lists of all users that fall to this process and are not there yet.

    Args:
        recommender: ranks items.
        histories: U users.
        ids: the data set's user ids and item ids, which `histories` and the recommender index.
        out: folder; the manifest, and ``parts/part-00000-of-00004.parquet`` and so on.
        batch: what to write.
        share: of this process; everything by default.
        made_from: JSON-able facts that decide the lists, such as hashes of model and data.
        progress: show a bar on stderr.

    Raises:
        ArtefactError: the folder holds lists that were made from something else.
        AgentrecError: the disk is full, or the folder cannot be written.
    """
    from tqdm import tqdm

    batch, share, out = batch or Batch(), share or Share(), Path(out)
    mark = _claim(out, {**(made_from or {}), **vars(batch), "users": len(histories)})
    total = max(1, -(-len(histories) // batch.users_per_part))
    own = range(share.number, total, share.of)
    parts = [out / PARTS / f"part-{part:05d}-of-{total:05d}.parquet" for part in own]
    missing = [(part, path) for part, path in zip(own, parts, strict=True) if not _is_complete(path, mark)]
    users = 0
    for part, path in tqdm(missing, desc="parts", unit="part", disable=not progress):
        start = part * batch.users_per_part
        rows = histories.take(slice(start, start + batch.users_per_part))
        found = recommender.recommend(rows, batch.n, exclude_seen=batch.exclude_seen)
        _write(path, mark, _table(rows, found, ids))
        users += len(rows)
    return Written(parts, len(missing), users)


def read_lists(out: str | Path) -> pa.Table:
    """All lists of a folder, in the order of users: ``user_id``, ``item_ids``, ``scores``.

    Raises:
        ArtefactError: the folder holds no lists, or parts are missing.
    """
    folder = Path(out)
    manifest = read_manifest(folder)
    if (manifest["room"], manifest["method"]) != (ROOM, METHOD):
        raise ArtefactError(f"{folder} holds {manifest['room']}/{manifest['method']}; expected {ROOM}/{METHOD}")
    mark = json_hash(manifest["config"])
    total = max(1, -(-manifest["config"]["users"] // manifest["config"]["users_per_part"]))
    paths = [folder / PARTS / f"part-{part:05d}-of-{total:05d}.parquet" for part in range(total)]
    missing = [path.name for path in paths if not _is_complete(path, mark)]
    if missing:
        raise ArtefactError(
            f"{folder} lacks {len(missing)} of {total} parts, for example {missing[0]}; expected all, so run the same "
            "command again, with every share"
        )
    return pa.concat_tables([pq.read_table(path) for path in paths])


def _claim(out: Path, config: Mapping[str, Any]) -> str:
    """Say what the folder holds, or find that it was said; the hash that its parts carry."""
    if (out / MANIFEST).is_file():
        known = read_manifest(out)["config"]
        other = sorted(name for name in {*known, *config} if known.get(name) != config.get(name))
        if other:
            raise ArtefactError(
                f"{out} holds lists that were made with {other[0]} {known.get(other[0])!r}, and this run has "
                f"{config.get(other[0])!r}; expected the same, so choose another folder"
            )
    else:
        manifest = {"format": FORMAT, "room": ROOM, "method": METHOD, "config": dict(config), "provenance": {}}
        write_json(out / MANIFEST, manifest)
    return json_hash(dict(config))


def _is_complete(path: Path, mark: str) -> bool:
    """Whether a part is there, whole, and made from the same."""
    try:
        return bool((pq.read_schema(path).metadata or {}).get(MADE_FROM) == mark.encode())
    except (FileNotFoundError, pa.ArrowInvalid):
        return False


def _table(rows: Histories, found: Recommendations, ids: tuple[Sequence[str], Sequence[str]]) -> pa.Table:
    user_ids, item_ids = ids
    kept = found.items != PAD
    offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    names = pa.array([item_ids[item] for item in found.items[kept].tolist()], pa.string())
    scores = pa.array(found.scores[kept].astype(np.float32))
    return pa.Table.from_arrays(
        [
            pa.array([user_ids[user] for user in rows.users.tolist()], pa.string()),
            pa.ListArray.from_arrays(offsets, names),
            pa.ListArray.from_arrays(offsets, scores),
        ],
        schema=SCHEMA,
    )


def _write(path: Path, mark: str, table: pa.Table) -> None:
    for left in path.parent.glob(f".{path.name}.*"):  # of a run that was killed
        with contextlib.suppress(FileNotFoundError):
            left.unlink()
    with whole_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata({MADE_FROM: mark}), temporary)
