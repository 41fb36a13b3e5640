"""AdamW against Muon on one recommender of a recipe, each with a learning rate of its own choice.

Both get a grid of as many learning rates. Every point is trained with one seed; the rate with the best validation
NDCG@10 is taken, trained again with further seeds, and measured on the test part. AdamW's grid is over its learning
rate; Muon's is over the rate of the matrices, while AdamW beside it keeps the recipe's. Early stopping and schedules
are the recipe's own. Beside accuracy, the question is speed: after how many steps a run first reaches the best
validation NDCG@10 of AdamW's run with the same seed.

What it does not know: what a grid over both of Muon's rates would find.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agentrec.core.artefact import read_manifest
from agentrec.core.errors import ConfigError
from agentrec.core.files import read_json, whole_file
from agentrec.data.given import Benchmark
from agentrec.evaluation.statistics import Values, compare_paired
from agentrec.metrics.ranking import ndcg, target_ranks
from agentrec.pipeline.recipe import GENERATIVE, Chosen, Method
from agentrec.pipeline.run import Run
from agentrec.training.cf import VALIDATED

ADAMW, MUON = "adamw", "muon"
RATES = {ADAMW: (5e-4, 1e-3, 2e-3, 4e-3, 8e-3), MUON: (2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2)}
LOG = "training_log.json"
DEPTH = 10


class Curve(NamedTuple):
    """Validation of one run.

    Attributes:
        steps: (V,) optimiser steps done at each validation.
        ndcgs: (V,) NDCG@10.
    """

    steps: tuple[float, ...]
    ndcgs: tuple[float, ...]

    @property
    def best(self) -> float:
        """The best NDCG@10."""
        return max(self.ndcgs)

    def steps_to(self, goal: float) -> float:
        """Steps until a validation is as good as the goal; infinite where none is."""
        return next((step for step, ndcg in zip(*self, strict=True) if ndcg >= goal), math.inf)


@dataclass(frozen=True)
class Grid:
    """The comparison of one recommender.

    Attributes:
        chosen: of a recipe.
        out: folder of every run; what lies there is kept.
        rates: optimiser -> learning rates.
        progress: show bars.
        say: told one line per run.

    Raises:
        ConfigError: the recommender is counted, is taught, or is not validated while it trains.
    """

    chosen: Chosen
    out: Path
    rates: Mapping[str, Sequence[float]]
    progress: bool = False
    say: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        method, label = self.chosen.method, self.chosen.label
        if method.method == GENERATIVE and not method.config.get("validation_users"):
            raise ConfigError(
                f"the recommender {label!r} has no validation_users; expected some under `config`, since learning "
                "rates are chosen by validation"
            )
        if method.method not in (GENERATIVE, "sasrec") or method.tca4rec:
            raise ConfigError(
                f"the recommender {label!r} is {method.method}; expected sasrec or a plain generative one"
            )
        counts = {name: len(set(rates)) for name, rates in self.rates.items()}
        if set(counts) != {ADAMW, MUON} or len(set(counts.values())) != 1 or 0 in counts.values():
            raise ConfigError(f"the grids hold {counts}; expected as many learning rates for adamw as for muon")

    def compare(self, seeds: Sequence[int]) -> dict[str, Any]:
        """Tune with the first seed, measure with all.

        Returns:
            JSON: ``grid`` (optimiser -> rate -> best validation NDCG@10), ``chosen`` rates, ``curves`` and
            ``steps_shares`` by seed (Muon's steps to AdamW's best over AdamW's own; None where Muon never gets there),
            their median ``steps_share``, ``test`` NDCG@10 by optimiser and seed, and ``difference``, Muon's less
            AdamW's with a 95 % interval over users.
        """
        run = Run(self.chosen.recipe, self.out / "data", self.progress, self.say)
        data = run.data()
        grid = {
            name: {rate: self._curve(data, name, rate, seeds[0]).best for rate in rates}
            for name, rates in self.rates.items()
        }
        best = {name: max(found, key=lambda rate: found[rate]) for name, found in grid.items()}
        curves = {name: [self._curve(data, name, rate, seed) for seed in seeds] for name, rate in best.items()}
        shares = [
            muon.steps_to(adamw.best) / adamw.steps_to(adamw.best)
            for adamw, muon in zip(curves[ADAMW], curves[MUON], strict=True)
        ]
        found = {name: self._test(data, name, rate, seeds) for name, rate in best.items()}
        (paired,) = compare_paired([(found[MUON], found[ADAMW])])
        return {
            "recommender": self.chosen.label,
            "grid": grid,
            "chosen": best,
            "seeds": list(seeds),
            "curves": {name: [curve._asdict() for curve in runs] for name, runs in curves.items()},
            "steps_shares": [_finite(share) for share in shares],
            "steps_share": _finite(float(np.median(shares))),
            "test": {name: values.mean(axis=1).tolist() for name, values in found.items()},
            "difference": paired._asdict(),
        }

    def _curve(self, data: Benchmark, optimizer: str, rate: float, seed: int) -> Curve:
        self._open(data, optimizer, rate, seed)
        folder = self._folder(optimizer, rate, seed) / self.chosen.label
        if self.chosen.method.method == GENERATIVE:
            rounds = [row for row in read_json(folder / LOG) if "ndcg@10" in row]
            return Curve(tuple(row["step"] for row in rounds), tuple(row["ndcg@10"] for row in rounds))
        provenance = read_manifest(folder)["provenance"]
        ndcgs = tuple(provenance[VALIDATED])
        rows = int((data.split.train.lengths >= 2).sum())
        steps = math.ceil(rows / provenance["training"]["batch_size"])
        return Curve(tuple(steps * (epoch + 1) for epoch in range(len(ndcgs))), ndcgs)

    def _test(self, data: Benchmark, optimizer: str, rate: float, seeds: Sequence[int]) -> Values:
        """NDCG@10 on the test part: (seeds, users)."""
        held = data.split.reveal("test")
        lists = (self._open(data, optimizer, rate, seed).recommend(held.histories, DEPTH) for seed in seeds)
        return np.stack([ndcg(target_ranks(ranked.items, held.targets), DEPTH) for ranked in lists]).astype(np.float64)

    def _open(self, data: Benchmark, optimizer: str, rate: float, seed: int) -> Any:
        recipe = replace(self.chosen.recipe, seed=seed)
        run = Run(recipe, self._folder(optimizer, rate, seed), self.progress, self.say)
        return run.recommender(self.chosen.label, tuned(self.chosen.method, optimizer, rate), *data)

    def _folder(self, optimizer: str, rate: float, seed: int) -> Path:
        return self.out / f"{optimizer}-{rate:g}" / f"seed-{seed}"


def tuned(method: Method, optimizer: str, rate: float) -> Method:
    """A recommender with another optimiser; the rate is AdamW's own, or that of Muon's matrices."""
    named = {"optimizer": optimizer, **({"muon_learning_rate": rate} if optimizer == MUON else {})}
    plain_rate = {"learning_rate": rate} if optimizer == ADAMW else {}
    if method.method == GENERATIVE:
        return replace(method, config={**method.config, **named}, training={**method.training, **plain_rate})
    return replace(method, training={**method.training, **named, **plain_rate})


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Validation curves of the chosen rates, one line per seed, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, curves) in enumerate(found["curves"].items()):
        for place, curve in enumerate(curves):
            label = f"{name}, {found['chosen'][name]:g}" if not place else None
            axes.plot(curve["steps"], curve["ndcgs"], color=f"C{number}", label=label)
    axes.set(xlabel="optimiser steps", ylabel="validation NDCG@10", title=found["recommender"])
    axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _finite(share: float) -> float | None:
    return share if math.isfinite(share) else None
