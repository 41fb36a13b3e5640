"""Leaks: can a recommender have seen what it is asked, and does the split let it?

The split is a system of its own, checked against the rows of the data. Methods fitted on the spot are fitted twice,
once with other items in the place of the held-out ones; saved models are asked for their records and for items that
occur nowhere but as test targets; generators show their prompts. A leak is a problem: the run ends with exit code 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from agentrec.core.artefact import local_folder, read_manifest
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError
from agentrec.core.files import folder_hash
from agentrec.core.registry import Registry
from agentrec.data.dataset import Dataset
from agentrec.data.load import load_dataset
from agentrec.data.split import Split, global_time, leave_one_out
from agentrec.evaluation.leaks.finding import Finding
from agentrec.evaluation.leaks.memorisation import against_clean_fits, cold_targets
from agentrec.evaluation.leaks.prompt_leaks import targets_in_prompts
from agentrec.evaluation.leaks.split_leaks import check_split
from agentrec.evaluation.leaks.training_leaks import held_out_invariance, recorded_split
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.task import Metric, System, Task, task
from agentrec.pipeline.recommenders import Named, labelled, named_recommenders

SPLITS = {"leave_one_out": leave_one_out, "global_time": global_time}
BY_PART = (
    "duplicated_{}_rows",
    "unfaithful_{}_history",
    "future_in_{}_history",
    "tied_{}_targets",
    "repeated_{}_targets",
)
CHECKS = (
    "held_out_in_train",
    *(name.format(part) for name in BY_PART for part in ("validation", "test")),
    "later_training_rows",
    "twin_users",
    "twin_items",
    "recorded_split",
    "held_out_invariance",
    "cold_targets",
    "against_clean_fits",
    "target_semantic_id_in_prompt",
    "target_title_in_prompt",
)
METRICS = (
    Metric("leaks", "lower", headline=True),
    Metric("warnings", "lower", headline=True),
    Metric("leaking_rows", "lower"),
    Metric("worst_leak_share", "lower"),
    Metric("checks", "neither"),
    Metric("rows_checked", "neither"),
)

Findings = Callable[[], Sequence[Finding]]


@dataclass(frozen=True)
class Config:
    """What is checked, and how hard."""

    data: str = setting("shop", "data set: a folder or file, or the name of a preset")
    items: str | None = setting(None, "items table, where the data set does not hold its own")
    recommender: str = setting("popularity,transitions", "comma-separated, as for next_item; empty for the split alone")
    split: Literal["leave_one_out", "global_time"] = setting("leave_one_out", "how rows are held out")
    limit: int = setting(1000, "users whose prompts and recommendations are compared, drawn at random")
    refits: int = setting(0, "train saved networks so many times (2 or more) with other seeds, to compare them with")
    seed: int = setting(0, "of exchanged items, of users drawn, and of fits")

    def __post_init__(self) -> None:
        if self.limit < 1 or self.refits in (1,) or self.refits < 0:
            raise ConfigError(
                f"limit is {self.limit} and refits {self.refits}; expected at least 1 user, and 0 or at least 2 refits"
            )


@task
def leaks(config: Config) -> Task:
    """Name the split and every recommender as things to be checked.

    Raises:
        ConfigError: a setting is out of range, or a recommender is called "split".
    """
    dataset = load_dataset(config.data, items=config.items)
    split = SPLITS[config.split](dataset)
    identity = {"kind": "split", "split": split.fingerprint}
    systems = {"split": System(lambda seed: partial(check_split, dataset, split), identity)}
    for label, text in labelled(config.recommender).items() if config.recommender.strip() else ():
        if label == "split":
            raise ConfigError("a recommender is called 'split'; expected another label, so write label=...")
        systems[label] = _system(label, text, dataset, split, config)
    return Task(
        question="Does the split, or does a recommender's training or prompt, tell what is held out?",
        data=dict(split.data),
        units=pd.DataFrame({"unit": CHECKS}),
        metrics=METRICS,
        systems=systems,
        measure=measure,
        settings={
            name: value for name, value in asdict(config).items() if name not in ("data", "items", "recommender")
        },
        facts={"split": {"fingerprint": split.fingerprint}, "num_items": split.num_items},
    )


def measure(system: Findings, *, progress: bool = False) -> Measured:
    """Run one thing's checks: a row per check, empty for those that do not apply."""
    found = {finding.check: finding for finding in system()}
    leaking = [finding for finding in found.values() if finding.is_leak]
    warned = [finding for finding in found.values() if finding.severity == "warning" and finding.violations]
    rows = pd.DataFrame({"check": list(found), "severity": [finding.severity for finding in found.values()]})
    for name in ("checked", "violations", "share"):
        rows[name] = [float(getattr(finding, name)) for finding in found.values()]
    return Measured(
        units=rows.set_index("check").reindex(list(CHECKS)).rename_axis("unit").reset_index(),
        totals={
            "leaks": len(leaking),
            "warnings": len(warned),
            "leaking_rows": sum(finding.violations for finding in leaking),
            "worst_leak_share": max((finding.share for finding in leaking), default=0.0),
            "checks": len(found),
            "rows_checked": sum(finding.checked for finding in found.values()),
        },
        facts={"findings": [asdict(finding) for finding in found.values()]},
        samples={name: _sample(finding) for name, finding in found.items() if finding.violations},
        problems=tuple(finding.sentence() for finding in leaking),
    )


def _sample(finding: Finding) -> dict[str, Any]:
    about = {"check": finding.about, "meaning": finding.meaning}
    return {
        "about": about,
        "answer": [f"{finding.severity}: {finding.violations} of {finding.checked}", *finding.examples],
    }


def _system(label: str, text: str, dataset: Dataset, split: Split, config: Config) -> System:
    if Path(text).is_dir() or text.startswith("hf:"):
        name, _, revision = text.removeprefix("hf:").partition("@")
        folder = Path(text) if Path(text).is_dir() else local_folder(name, revision=revision or None)
        identity = {"kind": "saved", "content": folder_hash(folder)}
        return System(lambda seed: lambda: list(_saved(folder, dataset, split, config)), identity)

    def name_on(dataset: Dataset, split: Split) -> Named:
        return named_recommenders(f"{label}={text}", dataset, split, missing="miss")[label]

    named = name_on(dataset, split)
    check = _fitted if named.identity["kind"] == "method" else _given
    return System(
        lambda seed: lambda: list(check(name_on, dataset, split, config)), named.identity, reusable=named.reusable
    )


def _fitted(
    name_on: Callable[[Dataset, Split], Named], dataset: Dataset, split: Split, config: Config
) -> Iterator[Finding]:
    """A method that is fitted here: early stopping may read validation rows, counting may not."""
    named = name_on(dataset, split)
    yield held_out_invariance(
        lambda dataset, split: name_on(dataset, split).make(config.seed),
        dataset,
        SPLITS[config.split],
        part="test" if named.seeded else "validation",
        limit=config.limit,
        seed=config.seed,
    )
    model: Any = named.make(config.seed)
    yield recorded_split(model.provenance, split)
    yield cold_targets(model, split, seed=config.seed)


def _given(
    name_on: Callable[[Dataset, Split], Named], dataset: Dataset, split: Split, config: Config
) -> Iterator[Finding]:
    """Somebody else's lists, function or service: nothing is known of its training. A service is not asked at all."""
    named = name_on(dataset, split)
    yield recorded_split({}, split)
    if named.reusable:
        yield cold_targets(named.make(config.seed), split, by_index=False, seed=config.seed)


def _saved(folder: Path, dataset: Dataset, split: Split, config: Config) -> Iterator[Finding]:
    """A folder: what it records, and what it knows."""
    from agentrec.serving.load import load_recommender

    manifest = read_manifest(folder)
    model: Any = load_recommender(folder, catalogue=dataset.catalogue)
    yield recorded_split(manifest["provenance"], split)
    if hasattr(model, "form"):
        held = split.reveal("test").sample(config.limit, config.seed)
        tokens = model.vocabulary.item_token_ids(model.tokenizer)
        yield from targets_in_prompts(dataset, held, model.form, tokens, model.tokenizer)
        return
    yield cold_targets(model, split, seed=config.seed)
    clean = _clean_fits(manifest, split, config)
    if clean:
        yield against_clean_fits(model, clean, split.reveal("test").sample(config.limit, config.seed))


def _clean_fits(manifest: dict[str, Any], split: Split, config: Config) -> list[Any]:
    """The saved model's method with its settings, fitted on this split: twice if it is counted, else `refits` times."""
    from agentrec.training import cf

    counted = hasattr(Registry("agentrec.models").load(manifest["method"]), "fit")
    model = {name: value for name, value in manifest["config"].items() if name != "num_items"}
    recorded = dict(manifest["provenance"].get("training") or {})
    first = recorded.pop("seed", 0) + 1
    return [
        cf.train_cf(
            manifest["method"], split, model=model, config=from_mapping(cf.Config, {**recorded, "seed": first + number})
        )
        for number in range(2 if counted else config.refits)
    ]
