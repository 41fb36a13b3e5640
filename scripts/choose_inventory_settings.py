"""Choose the settings of the adaptive inventory policy by leaving demand families out.

Every candidate plays drawn series of thirteen families (the benchmark's ten, with parameters of their own, and three
like retail) in six supplies, each series with lead times of its own. For each family the candidate that is best on the
twelve others plays it; the mean of those scores is what choosing is worth on families never seen. The benchmark's own
instances take no part.

    python scripts/choose_inventory_settings.py --series 6 --out evals/results/inventory_settings.json
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from agentrec.agents.inventory import forecasts
from agentrec.agents.inventory.demand import FAMILIES, FURTHER
from agentrec.agents.inventory.game import play
from agentrec.agents.inventory.generate import Sizes, Supply, generate
from agentrec.agents.inventory.instances import LOST
from agentrec.agents.inventory.policies import load_policy
from agentrec.agents.inventory.policies.adaptive import Adaptive, Config
from agentrec.core.files import write_json

NAMES = [*FAMILIES, *FURTHER]
SUPPLIES = (
    Supply(0, (0,)),
    Supply(4, (4,)),
    Supply(2, (1, 2, 3, LOST)),
    Supply(2, (2,)),
    Supply(1, (1, 1, 2, LOST)),
    Supply(3, (2, 3, 4, 5)),
)
CANDIDATES = {
    "as it is": Config(),
    "patience 1": Config(patience=1),
    "patience 3": Config(patience=3),
    "overhang 0": Config(overhang=0.0),
    "overhang 1": Config(overhang=1.0),
    "trust .75": Config(trust=0.75),
    "weight 6": Config(weight=6.0),
    "memory .9": Config(forecasts=forecasts.Config(memory=0.9)),
    "memory 1": Config(forecasts=forecasts.Config(memory=1.0)),
    "sharpness .25": Config(forecasts=forecasts.Config(sharpness=0.25)),
    "sharpness 1": Config(forecasts=forecasts.Config(sharpness=1.0)),
    "trend prior .1": Config(forecasts=forecasts.Config(trend_prior=0.1)),
    "trend prior 1": Config(forecasts=forecasts.Config(trend_prior=1.0)),
    "season prior .1": Config(forecasts=forecasts.Config(season_prior=0.1)),
    "caution 4": Config(forecasts=forecasts.Config(caution=4.0)),
}


def by_family(policy: Any, series: int, seed: int) -> np.ndarray:
    """Mean score per family: (13,)."""
    total = np.zeros(len(NAMES))
    for number, supply in enumerate(SUPPLIES):
        known = generate(NAMES, Sizes(series=series, scale=5.0), supply=supply, seed=seed + number)
        total += play(policy, known).score.reshape(len(NAMES), series).mean(axis=1)
    return total / len(SUPPLIES)


def left_out(scores: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Of scores (C, F): the candidate chosen without each family, and its score there."""
    others = scores.sum(axis=1, keepdims=True) - scores
    chosen = others.argmax(axis=0)
    return chosen.tolist(), scores[chosen, np.arange(scores.shape[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=6, help="series per family and supply")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--out", type=Path, help="where to write the scores as JSON")
    given = parser.parse_args()
    baseline = by_family(load_policy("or")(), given.series, given.seed)
    print(f"{'OR baseline':<18}{baseline.mean():.4f}", flush=True)
    rows = []
    for name, config in CANDIDATES.items():
        rows.append(by_family(Adaptive(config), given.series, given.seed))
        print(f"{name:<18}{rows[-1].mean():.4f}", flush=True)
    scores, labels = np.stack(rows), list(CANDIDATES)
    chosen, unseen = left_out(scores)
    print(f"chosen on all: {labels[int(scores.mean(axis=1).argmax())]}")
    print(f"on families left out: {unseen.mean():.4f}, by {sorted({labels[place] for place in chosen})}")
    if given.out is not None:
        means = {
            name: dict(zip(NAMES, row.round(4).tolist(), strict=True)) for name, row in zip(labels, rows, strict=True)
        }
        picked = {family: labels[place] for family, place in zip(NAMES, chosen, strict=True)}
        found = {"left_out": round(float(unseen.mean()), 4), "chosen_without": picked, "scores": means}
        write_json(given.out, {**found, "series": given.series, "seed": given.seed})


if __name__ == "__main__":
    main()
