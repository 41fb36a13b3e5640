"""Next item: rank the whole catalogue for every user's held-out last item.

Leave one out: each user's last item is the test target, the one before it validation's; methods named rather than
loaded are fitted here on what precedes both. Scores are at item level over the full catalogue, without sampled
negatives. The answer to "is it better than the obvious?": name `popularity` and `transitions` along with your own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from agentrec.core.config import setting
from agentrec.core.errors import ArtefactError, ConfigError, UnknownNameError
from agentrec.core.protocols import Recommender
from agentrec.core.registry import Registry
from agentrec.data.dataset import Dataset
from agentrec.data.load import load_dataset
from agentrec.data.split import Split, leave_one_out
from agentrec.evaluation.predictions import PredictionsFile
from agentrec.evaluation.result import Result
from agentrec.evaluation.run import Settings, evaluate, held_out


@dataclass(frozen=True)
class Config:
    """What to evaluate, on what, and how."""

    data: str = setting("shop", "data set: a folder or file, or the name of a preset")
    items: str | None = setting(None, "items table, where the data set does not hold its own")
    recommenders: str = setting(
        "popularity,transitions",
        "comma-separated: folder of a saved recommender, method fitted on the spot, predictions file (.csv, .parquet), "
        "'oracle' (simulated shop only); each may be given a label as label=...",
    )
    part: Literal["validation", "test"] = setting("test", "which held-out items are the targets")
    exclude_seen: bool = setting(False, "leave items of the user's own history out of the lists")
    seed: int = setting(0, "seed of the bootstrap and of the users drawn under a limit")
    limit: int | None = setting(None, "evaluate at most so many users, drawn at random")
    bootstrap: int = setting(1000, "how many times users are resampled for the intervals")
    missing: Literal["error", "miss"] = setting("error", "users that a predictions file lacks: refuse it, or miss")


def run(config: Config, *, progress: bool = False) -> Result:
    """Load or fit every recommender and evaluate them on the same users.

    Raises:
        ConfigError: no recommender is named, a label occurs twice, or a name means nothing here.
    """
    dataset = load_dataset(config.data, items=config.items)
    split = leave_one_out(dataset)
    settings = Settings(
        part=config.part,
        exclude_seen=config.exclude_seen,
        seed=config.seed,
        bootstrap=config.bootstrap,
        limit=config.limit,
    )
    named = {label: _recommender(text, dataset, split, settings, config) for label, text in _labelled(config).items()}
    result = evaluate(
        named,
        split,
        dataset=dataset,
        part=settings.part,
        exclude_seen=settings.exclude_seen,
        seed=settings.seed,
        bootstrap=settings.bootstrap,
        limit=settings.limit,
        progress=progress,
    )
    return result.with_provenance(task="next_item", task_config=asdict(config))


def _labelled(config: Config) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in config.recommenders.split(","))):
        label, equals, text = ("", "", part) if Path(part).exists() else part.partition("=")
        if not equals:
            label, text = _default_label(part), part
        if not label or not text:
            raise ConfigError(f"recommender {part!r} is incomplete; expected a name, a path or label=path")
        if label in found:
            raise ConfigError(f"two recommenders are called {label!r}; expected different labels, so write label=path")
        found[label] = text
    if not found:
        raise ConfigError(f"recommenders is {config.recommenders!r}; expected at least one name or path")
    return found


def _default_label(text: str) -> str:
    path = Path(text)
    return path.stem if _is_predictions(path) else path.resolve().name if path.is_dir() else text


def _is_predictions(path: Path) -> bool:
    return path.suffix in (".csv", ".parquet")


def _recommender(text: str, dataset: Dataset, split: Split, settings: Settings, config: Config) -> Recommender:
    path = Path(text)
    if _is_predictions(path):
        users = held_out(split, settings).histories.users
        return PredictionsFile.read(path, dataset, users=users, missing=config.missing)
    if path.is_dir():
        from agentrec.serving.load import load_recommender

        loaded = load_recommender(path, catalogue=dataset.catalogue)
        made_from = getattr(loaded, "provenance", {}).get("split", split.fingerprint)
        if made_from != split.fingerprint:
            raise ArtefactError(
                f"{path} was trained on the split {made_from}, and this data gives {split.fingerprint}; expected the "
                "same, or it may have seen the targets, so train it on this data"
            )
        return loaded
    if text == "oracle":
        from agentrec.data.shop import Shop

        return Shop.from_dataset(dataset).oracle()
    return _fitted(text, split)


def _fitted(name: str, split: Split) -> Recommender:
    models = Registry("agentrec.models")
    if name not in models.names():
        raise UnknownNameError(
            f"{name!r} is neither a saved recommender's folder nor a known method; the methods that exist are "
            f"{', '.join(models.names())}, so check the path or the name"
        )
    method = models.load(name)
    if not hasattr(method, "fit"):
        raise ConfigError(f"{name!r} is not fitted on the spot; train it first and give the folder it was saved to")
    recommender: Recommender = method.fit(split.train, split.num_items)
    return recommender
