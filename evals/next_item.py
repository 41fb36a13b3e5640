"""Next item: rank the whole catalogue for every user's held-out last item.

Leave one out: each user's last item is the test target, the one before it validation's; methods named rather than
loaded are fitted here on what precedes both. Scores are at item level over the full catalogue, without sampled
negatives. The answer to "is it better than the obvious?": name `popularity` and `transitions` along with your own.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from agentrec.core.config import setting
from agentrec.core.errors import DataError, DataWarning
from agentrec.data.dataset import Dataset
from agentrec.data.load import load_dataset
from agentrec.data.recbole_split import load_recbole_split
from agentrec.data.split import Split, global_time, leave_one_out
from agentrec.data.tca4rec import load_tca4rec
from agentrec.evaluation.ranking import Settings, held_out, ranking_task
from agentrec.evaluation.task import System, Task, task
from agentrec.pipeline.recommenders import Named, named_recommenders


@dataclass(frozen=True)
class Config:
    """What to evaluate, on what, and how."""

    data: str = setting("shop", "data set: a folder or file, or the name of a preset")
    items: str | None = setting(None, "items table, where the data set does not hold its own")
    recommender: str = setting(
        "popularity,transitions",
        "comma-separated: a method fitted on the spot, recipe:name:label, a folder, hf:org/name, a predictions file "
        "(.csv, .parquet), http:..., python:module:name, 'oracle' (simulated shop); each may have a label: label=...",
    )
    split: Literal["leave_one_out", "global_time", "recbole", "tca4rec"] = setting(
        "leave_one_out",
        "what is held out; recbole: the files <name>.train.inter, .valid.inter and .test.inter of a folder; tca4rec: "
        "train_*.csv, valid_*.csv and test_*.csv",
    )
    part: Literal["validation", "test"] = setting("test", "which held-out items are the targets")
    metrics: str = setting("", "comma-separated, such as ndcg@10,coverage@20; all that the data allows by default")
    exclude_seen: bool = setting(False, "leave items of the user's own history out of the lists")
    groups: str | None = setting(None, "CSV with a user column; every other column becomes a slice of the users")
    missing: Literal["error", "miss"] = setting("error", "users that a predictions file lacks: refuse it, or miss")
    limit: int | None = setting(None, "evaluate at most so many users, drawn at random")
    trained: str = setting("runs/trained", "folder where recommenders that recipes train are kept")
    batch_size: int = setting(256, "users per call of a recommender")
    watts: float | None = setting(None, "power drawn while recommending, for an estimate of energy")


@task
def next_item(config: Config) -> Task:
    """Load the data, hold the last items out, and name every recommender.

    Raises:
        ConfigError: no recommender is named, a label occurs twice, or a name means nothing here.
    """
    dataset, split = read_split(config)
    metrics = tuple(name.strip() for name in config.metrics.split(",") if name.strip())
    settings = Settings(metrics, config.part, config.exclude_seen, config.limit)
    users = held_out(split, settings).histories
    named = named_recommenders(
        config.recommender,
        dataset,
        split,
        users=users,
        missing=config.missing,
        trained=config.trained,
        progress=sys.stderr.isatty(),
    )
    systems = {label: as_system(one) for label, one in named.items()}
    groups = None if config.groups is None else read_groups(config.groups)
    return ranking_task(systems, split, settings, groups=groups, batch_size=config.batch_size, watts=config.watts)


def read_split(config: Config) -> tuple[Dataset, Split]:
    """The data set, and what is held out of it."""
    if config.split == "recbole":
        return load_recbole_split(config.data, config.items)
    if config.split == "tca4rec":
        return load_tca4rec(config.data)
    dataset = load_dataset(config.data, items=config.items)
    return dataset, leave_one_out(dataset) if config.split == "leave_one_out" else global_time(dataset)


def as_system(named: Named) -> System:
    """A recommender as the harness takes it; what its check finds is told before anything is measured."""

    def check() -> None:
        if named.check is not None:
            report = named.check()
            for problem in report.warnings:
                warnings.warn(f"{report.subject} {problem.sentence()}", DataWarning, stacklevel=2)
            report.raise_if_errors()

    return System(named.make, named.identity, named.seeded, named.reusable, check)


def read_groups(path: str) -> pd.DataFrame:
    """A table of users: index user id, one column per grouping.

    Raises:
        DataError: the file cannot be read, or has no user column, or names a user twice.
    """
    from agentrec.data.columns import find_column

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} could not be read ({error}); expected a CSV of users and their groups") from error
    user = find_column([str(name) for name in table.columns], "user", None, path)
    if user is None or len(table.columns) < 2 or table[user].duplicated().any():
        raise DataError(
            f"{path} has columns {', '.join(table.columns)}; expected a user column with each user once, and at least "
            "one column of groups"
        )
    return table.set_index(user)
