"""The whole comparison: data, vectors, IDs, measures, files, and on demand the generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from agentrec.core.errors import ConfigError
from agentrec.data.load import load_dataset
from agentrec.pipeline.semantic_ids import REGISTRY
from agentrec.pipeline.sid_compare.compare import Comparing, compare_sids
from agentrec.pipeline.sid_compare.downstream import Training, choose_reference, measure
from agentrec.pipeline.sid_compare.entries import budget, distinct, fitted, imported
from agentrec.pipeline.sid_report.report import item_categories
from agentrec.semantic_ids.neighbours import Metric
from agentrec.vectors.item_vectors import item_vectors

SIDS = "sids"


@dataclass(frozen=True)
class Wanted:
    """What is compared, and how.

    Attributes:
        data: as for `agentrec.data.load.load_dataset`.
        out: folder for everything that is written; the same folder again takes up what it holds.
        items: items table, where the data set does not hold its own.
        sources: name -> index file or folder of IDs.
        quantisers: to fit; methods of `agentrec.semantic_ids`.
        vectors: what quantisers are fitted on and all are judged by; as for `agentrec.vectors.item_vectors`.
        num_levels: of the quantisers, by default those of the imported IDs; see `entries.budget`.
        codebook_size: likewise.
        collisions: policies for the colliding items of the quantisers.
        metric: of neighbours.
        seed: of vectors, quantisers, draws and shuffles.
        training: of the generator; None to leave it out.
        reference: name of the IDs that the generator's others are compared with.
    """

    data: str
    out: Path
    items: str | None = None
    sources: Mapping[str, Path] = field(default_factory=dict)
    quantisers: Sequence[str] = ()
    vectors: str = "tfidf_svd"
    num_levels: int | None = None
    codebook_size: int | None = None
    collisions: tuple[str, ...] = ("append",)
    metric: Metric = "euclidean"
    seed: int = 0
    training: Training | None = None
    reference: str | None = None


class Compared(NamedTuple):
    """What was found, and the page that shows it."""

    found: Comparing
    page: Path


def run_compare(wanted: Wanted, *, progress: bool = False, say: Callable[[str], None] = lambda _: None) -> Compared:
    """Compare semantic IDs, and write ``compare.json``, ``compare.csv`` and ``compare.html``.

    They are written before the generator is trained, and again after it.

    Args:
        wanted: what to compare.
        progress: show bars.
        say: told one line per step.

    Raises:
        ConfigError: nothing is to be compared, a name occurs twice, or a setting is out of range.
        UnknownNameError: no quantiser, policy or method of vectors has that name.
        AgentrecError: data or the generator; what is wrong with single IDs is told in their row.
    """
    if not wanted.sources and not wanted.quantisers:
        raise ConfigError("nothing is to be compared; expected semantic IDs by --sids or --published, or --all")
    for name in wanted.quantisers:
        REGISTRY.module(name)
    dataset = load_dataset(wanted.data, items=wanted.items)
    table = item_vectors(dataset.require_texts(), wanted.vectors, seed=wanted.seed, progress=progress)
    entries = imported(wanted.sources, dataset)
    shared = budget(
        entries,
        len(table),
        num_levels=wanted.num_levels,
        codebook_size=wanted.codebook_size,
        collisions=wanted.collisions,
        seed=wanted.seed,
    )
    kept = wanted.out / SIDS
    entries += fitted(wanted.quantisers, table, dataset, shared, keep=kept, vectors=wanted.vectors, say=say)
    distinct([entry.name for entry in entries])
    known = {"name": dataset.name, "fingerprint": dataset.fingerprint}
    about = {"data": known, "vectors": wanted.vectors, "budget": asdict(shared) if wanted.quantisers else None}
    categories = item_categories(dataset.catalogue)
    found = compare_sids(entries, table, categories, metric=wanted.metric, seed=wanted.seed, about=about, say=say)
    page = found.write(wanted.out)
    if wanted.training is None:
        return Compared(found, page)
    measured = measure(
        entries,
        data=wanted.data,
        items=wanted.items,
        out=wanted.out,
        reference=choose_reference(entries, wanted.reference),
        training=wanted.training,
        progress=progress,
        say=say,
    )
    found = found.with_downstream(measured)
    return Compared(found, found.write(wanted.out))
