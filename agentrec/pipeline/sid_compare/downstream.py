"""What a generator makes of semantic IDs: the same small model on each, over several seeds, at item level.

The IDs are written as index files and named in one recipe; the evaluation harness trains what the recipe says, once per
IDs and seed, and keeps models and measurements. So a killed run goes on where it stopped, and IDs that come later are
compared without training the others again. All seeds of a row share its IDs: the intervals cover users and the
generator's seed, not the seed of the quantiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentrec.core.errors import ConfigError
from agentrec.core.files import whole_file
from agentrec.evaluation.result import Comparison, Estimate, Result
from agentrec.pipeline.recipe import Recipe
from agentrec.pipeline.sid_compare.entries import Entry
from agentrec.semantic_ids.index_json import write_index

METRIC = "ndcg@10"
METRICS = f"{METRIC},recall@10"
INDEXES, RECIPE, TRAINED, STORE, RESULT = "indexes", "downstream.yaml", "trained", "evals", "downstream"


@dataclass(frozen=True)
class Training:
    """The generator and how it is trained and asked.

    Attributes:
        model: a preset of `agentrec.models.presets`, a hub name or a folder.
        epochs: of training; by default those of `agentrec train sft`.
        seeds: of weights and batches.
        limit: evaluate at most so many users; all by default.
        more: further settings of `trl.SFTConfig`.
    """

    model: str = "qwen3-tiny"
    epochs: float | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    limit: int | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """As a recipe's ``training``."""
        return {**({} if self.epochs is None else {"num_train_epochs": self.epochs}), **self.more}


@dataclass(frozen=True)
class Downstream:
    """What was measured.

    Attributes:
        result: the evaluation.
        folder: that holds it, with a report of its own.
        reference: what the others are compared with.
    """

    result: Result
    folder: Path
    reference: str

    def estimate(self, name: str) -> Estimate:
        """NDCG@10 of one of the IDs."""
        return self.result.systems[name][METRIC]

    def difference(self, name: str) -> Comparison | None:
        """One of the IDs minus the reference, on the same users; None for the reference itself."""
        for row in self.result.comparisons:
            if row.metric == METRIC and {row.first, row.second} == {name, self.reference} and name != self.reference:
                return row if row.first == name else reverse(row)
        return None


def reverse(row: Comparison) -> Comparison:
    """The same comparison, second minus first."""
    return replace(
        row,
        first=row.second,
        second=row.first,
        difference=-row.difference,
        low=-row.high,
        high=-row.low,
        seeds_ahead=row.num_seeds - row.seeds_ahead,
    )


def choose_reference(entries: Sequence[Entry], wanted: str | None) -> str:
    """The IDs that the others are compared with: those asked for, or the first imported ones, or the first at all.

    Raises:
        ConfigError: there are no such IDs, or they could not be read or fitted.
    """
    usable = [entry for entry in entries if entry.vocabulary is not None]
    names = [entry.name for entry in usable]
    if wanted is None and names:
        return next((entry.name for entry in usable if entry.origin == "imported"), names[0])
    if wanted is None or wanted not in names:
        raise ConfigError(f"the reference is {wanted!r}; expected one of {', '.join(names) or 'those compared'}")
    return wanted


def measure(
    entries: Sequence[Entry],
    *,
    data: str | Path,
    items: str | Path | None,
    out: Path,
    reference: str,
    training: Training,
    progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Downstream:
    """Train and evaluate the generator on each of the IDs.

    Args:
        entries: those without IDs are left out.
        data: as for `agentrec.data.load.load_dataset`.
        items: items table, where the data set does not hold its own.
        out: folder for index files, the recipe, models and measurements.
        reference: name of one of the entries.
        training: the generator.
        progress: show bars.
        say: told one line per measurement.

    Raises:
        AgentrecError: a setting is wrong, or a model could not be trained; what was measured before is kept.
    """
    from agentrec.evaluation.run import Order, run_task

    recipe, names = write_recipe(entries, data=data, items=items, out=out, training=training)
    values = {
        "data": str(data),
        "items": None if items is None else str(items),
        "recommender": ",".join(f"{name}=recipe:{recipe}:{name}" for name in names),
        "metrics": METRICS,
        "limit": training.limit,
        "trained": str(out / TRAINED),
    }
    order = Order("next_item", values, training.seeds, out / STORE)
    found = run_task(order, out=out / RESULT, progress=progress, say=say)
    return Downstream(found.result, found.folder, reference)


def write_recipe(
    entries: Sequence[Entry], *, data: str | Path, items: str | Path | None, out: Path, training: Training
) -> tuple[Path, list[str]]:
    """Write every index file and the recipe that trains on them: its path, and the names in it.

    Raises:
        ConfigError: a name is no label of a recipe, or the path holds a comma, which separates recommenders.
    """
    import yaml

    path = out / RECIPE
    if "," in str(path):
        raise ConfigError(f"the folder {out} has a comma in its name; expected none, so choose another")
    rows = {}
    for entry in entries:
        if entry.vocabulary is not None:
            index = (out / INDEXES / f"{entry.name}.json").resolve()
            write_index(entry.vocabulary, index)
            rows[entry.name] = {
                "method": "generative",
                "config": {"model": training.model},
                "sids": {"index": str(index)},
                "training": training.settings,
            }
    source = {"source": str(data), **({} if items is None else {"items": str(items)})}
    content = {"data": source, "recommenders": rows}
    Recipe.from_dict(content)
    with whole_file(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path, list(rows)
