"""``agentrec recommend --users all``: the lists of every user, in files that several processes may share."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from agentrec.core.protocols import Recommender
    from agentrec.core.types import Catalogue


@dataclass(frozen=True)
class BatchOptions:
    """What the command line asks for.

    Attributes:
        out: folder.
        n: items per user.
        exclude_seen: leave out the user's own items.
        shard: ``i/k``.
        shard_size: users per file.
        engine: name, or None for the recommender as it is.
        vllm_url: of the server behind the engine ``vllm-http``.
    """

    out: str
    n: int
    exclude_seen: bool
    shard: str
    shard_size: int
    engine: str | None = None
    vllm_url: str | None = None


def check_all(users: str | None, out: Path | None, single: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: they do not.
    """
    from agentrec.core.errors import ConfigError

    if users not in (None, "all"):
        raise ConfigError(f"users is {users!r}; expected 'all', or --user with the id of one")
    if users is None or out is None or single:
        raise ConfigError(
            "lists for all users need both --users all and --out, and neither --user nor --title; expected one or the "
            "other, so add or leave out"
        )


def only_with_all(**given: str | None) -> NoReturn:
    """Refuse options of batches for a single list.

    Raises:
        ConfigError: always.
    """
    from agentrec.core.errors import ConfigError

    name, value = next((name, value) for name, value in given.items() if value not in (None, "0/1"))
    raise ConfigError(f"{name.replace('_', '-')} is {value!r}, which only --users all uses; leave it out or add that")


def recommend_to_all(model: Path, data: str, items: str | None, options: BatchOptions, *, json_: bool) -> None:
    """Write what falls to this process, and say how much that was."""
    from agentrec.core.files import folder_hash
    from agentrec.data.load import load_dataset
    from agentrec.serving.batch import Batch, Share, recommend_all

    share = Share.parse(options.shard)
    batch = Batch(options.n, options.exclude_seen, options.shard_size)
    dataset = load_dataset(data, items=items)
    made_from: dict[str, Any] = {"model": folder_hash(model), "data": dataset.fingerprint}
    with _recommender(model, dataset.catalogue, options) as recommender:
        done = recommend_all(
            recommender,
            dataset.histories(),
            (dataset.user_ids, dataset.catalogue.ids),
            options.out,
            batch=batch,
            share=share,
            made_from=made_from,
            progress=sys.stderr.isatty() and not json_,
        )
    if json_:
        facts = {"out": options.out, "parts": len(done.parts), "new_parts": done.new, "new_users": done.users}
        typer.echo(json.dumps(facts))
        return
    kept = len(done.parts) - done.new
    typer.echo(f"{options.out}: {done.users:,} lists in {done.new} new parts, {kept} were there already")


@contextlib.contextmanager
def _recommender(model: Path, catalogue: Catalogue, options: BatchOptions) -> Iterator[Recommender]:
    """The saved recommender itself, or a generator behind an engine."""
    if options.engine is None and options.vllm_url is None:
        from agentrec.serving.load import load_recommender

        yield load_recommender(model, catalogue=catalogue)
        return
    import os

    from agentrec.serving.service.engines import Server, served
    from agentrec.serving.through_engine import EngineRecommender

    server = None
    if options.vllm_url is not None:
        server = Server(options.vllm_url.rstrip("/").removesuffix("/v1"), os.environ.get("AGENTREC_VLLM_KEY", ""))
    with EngineRecommender(served(options.engine or "vllm-http", model, catalogue, server=server)) as recommender:
        yield recommender
