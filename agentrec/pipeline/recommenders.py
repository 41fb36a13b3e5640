"""What a user's text means as a recommender: a method, a folder, a file, a hub name, a function or a URL.

The text is a comma-separated list; each part may be given a label as ``label=...``:

===============================  ===================================================================================
``popularity``, ``sasrec`` ...   a method of `agentrec.models`, fitted or trained on the split's training rows
``recipe:amazon_beauty:label``   what a recipe (or ``recipe:path.yaml:label``) trains under that label, with its IDs, on
                                 this data and with every seed of the evaluation; kept in ``trained``
``runs/generator``               a folder of a saved recommender, made from the same split
``hf:org/name``                  the same in a repository of the Hugging Face hub; ``hf:org/name@revision``
``predictions.csv``              a predictions file (also ``.parquet``)
``https://host/path``            a service, see `agentrec.evaluation.adapters.endpoint`; its settings follow behind a
                                 ``#`` and are never sent: ``https://host/path#token_env=MY_TOKEN&parallel=4``
``python:module:name``           a Python function or recommender; also ``python:path/to/file.py:name``
``oracle``                       whoever knows the truth of the simulated shop
===============================  ===================================================================================

Naming is cheap: texts are checked, files hashed and Python imported; models are opened, fitted and read by ``make``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from agentrec.core.artefact import local_folder, plain, read_manifest
from agentrec.core.config import from_mapping, parse_yaml
from agentrec.core.errors import ArtefactError, ConfigError, DataError, UnknownNameError
from agentrec.core.files import file_hash, folder_hash, json_hash
from agentrec.core.protocols import Recommender
from agentrec.core.registry import Registry
from agentrec.core.types import JSON, Histories, IntArray
from agentrec.data.dataset import Dataset
from agentrec.data.split import Split
from agentrec.evaluation.adapters.answers import Unknown

if TYPE_CHECKING:
    from agentrec.evaluation.adapters.prediction_checks import Missing
    from agentrec.evaluation.adapters.problems import Report

LABEL = re.compile(r"[\w][\w .+@-]*")
MODELS = "agentrec.models"
KINDS = (
    "recipe:name:label, a folder, hf:org/name, a predictions file (.csv, .parquet), http://..., python:module:name or "
    "'oracle'"
)


@dataclass(frozen=True)
class Named:
    """A recommender that is named, not yet made.

    Attributes:
        make: seed -> the recommender.
        identity: what it is, as JSON without secrets: names, settings, and hashes of contents.
        seeded: the seed changes it.
        reusable: it answers the same tomorrow; False for a service.
        check: looks for what is wrong before anything is scored, where that can be done.
    """

    make: Callable[[int], Recommender]
    identity: JSON
    seeded: bool = False
    reusable: bool = True
    check: Callable[[], Report] | None = None


@dataclass(frozen=True)
class _Context:
    """What every kind of recommender is made with."""

    dataset: Dataset
    split: Split
    users: IntArray | Histories | None
    missing: Missing
    unknown_items: Unknown
    models: Mapping[str, Mapping[str, Any]]
    trained: Path
    progress: bool


def named_recommenders(  # noqa: PLR0913 - flat keywords, every one with a default
    text: str,
    dataset: Dataset,
    split: Split,
    *,
    users: IntArray | Histories | None = None,
    missing: Missing = "error",
    unknown_items: Unknown = "error",
    models: Mapping[str, Mapping[str, Any]] | None = None,
    trained: str | Path = "runs/trained",
    progress: bool = False,
) -> dict[str, Named]:
    """Read a text as recommenders.

    Args:
        text: see above.
        dataset: what they are evaluated on.
        split: of that data; saved recommenders must be made from it, others are fitted on it.
        users: who is evaluated, for predictions files: user indexes, or their histories.
        missing: users that a predictions file lacks are an ``"error"`` or a ``"miss"``.
        unknown_items: items of a predictions file that the data lacks are an ``"error"``, or ``"drop"``-ped.
        models: label or method -> settings of what is fitted here: ``{"model": {...}, "training": {...}}``.
        trained: folder where what recipes train is kept, so that another evaluation opens it.
        progress: show bars while training.

    Returns:
        Label -> `Named`, in the order of the text.

    Raises:
        ConfigError: nothing is named, a label occurs twice, or a part is incomplete.
        UnknownNameError: a name means nothing here; the message says what exists.
        ArtefactError: a folder holds no recommender, or one that was made from another split.
        DataError: a predictions file does not exist.
    """
    context = _Context(dataset, split, users, missing, unknown_items, models or {}, Path(trained), progress)
    parts = labelled(text)
    unused = sorted(set(context.models) - set(parts) - set(parts.values()))
    if unused:
        raise ConfigError(f"there are settings for {unused[0]!r}; expected one of {', '.join(parts)}")
    return {label: _named(label, part, context) for label, part in parts.items()}


def labelled(text: str) -> dict[str, str]:
    """Split a text into label -> part; without a label a part is called after its file, folder or name.

    Raises:
        ConfigError: nothing is named, a label occurs twice, or a part is incomplete.

    Example:
        >>> labelled("popularity, mine=runs/predictions.csv")
        {'popularity': 'popularity', 'mine': 'runs/predictions.csv'}
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        label, equals, rest = ("", "", part) if Path(part).exists() else part.partition("=")
        if equals and label and not LABEL.fullmatch(label.strip()):  # the equals sign of a URL or path
            equals = ""
        label, rest = (label.strip(), rest.strip()) if equals else (_default_label(part), part)
        if not label or not rest:
            raise ConfigError(f"recommender {_shown(part)!r} is incomplete; expected a name, a path or label=path")
        if label in found:
            raise ConfigError(f"two recommenders are called {label!r}; expected different labels, so write label=path")
        found[label] = rest
    if not found:
        raise ConfigError(f"recommender is {text!r}; expected at least one name or path")
    return found


def _default_label(text: str) -> str:
    if _is_url(text):
        return urlsplit(text).hostname or ""
    if text.startswith("hf:"):
        return text.removeprefix("hf:").partition("@")[0].rpartition("/")[2]
    if text.startswith(("python:", "recipe:")):
        return text.rpartition(":")[2]
    path = Path(text)
    return path.stem if _is_predictions(path) else path.resolve().name if path.is_dir() else text


def _shown(text: str) -> str:
    """A part for a message: of a URL, nothing that may be secret."""
    return re.sub(r"://[^/@]*@", "://", text).partition("?")[0].partition("#")[0]


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _is_predictions(path: Path) -> bool:
    return path.suffix in (".csv", ".parquet")


def _named(label: str, text: str, context: _Context) -> Named:
    if _is_url(text):
        return _endpoint(text, context)
    if text.startswith("python:"):
        return _function(text.removeprefix("python:"), context)
    if text.startswith("recipe:"):
        return _from_recipe(text.removeprefix("recipe:"), context)
    if text.startswith("hf:"):
        name, _, revision = text.removeprefix("hf:").partition("@")
        return _saved(local_folder(name, revision=revision or None), context)
    if _is_predictions(Path(text)):
        return _predictions(Path(text), context)
    if Path(text).is_dir():
        return _saved(Path(text), context)
    if text == "oracle":
        return Named(lambda _: _oracle(context.dataset), {"kind": "oracle"})
    return _method(text, context.models.get(label, context.models.get(text, {})), context)


def _method(name: str, settings: Mapping[str, Any], context: _Context) -> Named:
    from agentrec.training import cf

    registry = Registry(MODELS)
    if name not in registry.names():
        raise UnknownNameError(
            f"{name!r} is neither a saved recommender's folder nor a known method; the methods that exist are "
            f"{', '.join(registry.names())}, and a recommender may also be {KINDS}, so check the path or the name"
        )
    strange = sorted(set(settings) - {"model", "training"})
    if strange:
        raise ConfigError(f"the settings of {name!r} have the key {strange[0]!r}; expected 'model' and 'training'")
    counted = hasattr(registry.load(name), "fit")
    model, training = settings.get("model"), dict(settings.get("training", {}))
    if "seed" in training or (counted and training):
        raise ConfigError(
            f"the training settings of {name!r} are {training}; expected "
            + ("none, because it is counted" if counted else "no seed, which the evaluation gives")
        )
    config = from_mapping(cf.Config, training)
    filled = [plain(values) for values in cf.model_settings(name, model)]
    identity: JSON = {"kind": "method", "method": name, "model": filled[0] if filled else {}}
    if not counted:
        identity["training"] = {key: value for key, value in plain(config).items() if key != "seed"}

    def make(seed: int) -> Recommender:
        seeded = from_mapping(cf.Config, {**training, "seed": seed})
        made: Any = cf.train_cf(name, context.split, model=model, config=seeded, progress=context.progress)
        return made  # type: ignore[no-any-return]

    return Named(make, identity, seeded=not counted)


def _from_recipe(text: str, context: _Context) -> Named:
    from agentrec.pipeline.recipe import read_recommender, recommender_of
    from agentrec.pipeline.row_settings import check_rows
    from agentrec.pipeline.run import Run

    recipe, label, method, identity = read_recommender(text)
    check_rows({row: recipe.recommenders[row] for row in (label, *method.teachers)})

    def folder(row: str, seed: int) -> Path:
        made_from = recommender_of(recipe, row).identity
        return context.trained / f"{row}-{json_hash([made_from, context.split.fingerprint])[:8]}" / f"seed-{seed}"

    def make(seed: int) -> Recommender:
        home = partial(folder, seed=seed)
        run = Run(replace(recipe, seed=seed), home(label), context.progress, home=home)
        run.out.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{run.out}.lock"):
            return run.recommender(label, method, context.dataset, context.split)

    return Named(make, identity, seeded=True)


def _saved(folder: Path, context: _Context) -> Named:
    manifest = read_manifest(folder)
    ours = context.split.fingerprint
    made_from = manifest["provenance"].get("split", ours)
    if made_from != ours:
        raise ArtefactError(
            f"{folder} was trained on the split {made_from}, and this data gives {ours}; expected the same, or it may "
            "have seen the targets, so train it on this data"
        )

    def make(seed: int) -> Recommender:
        from agentrec.serving.load import load_recommender

        return load_recommender(folder, catalogue=context.dataset.catalogue)

    identity = {"kind": "saved", "room": manifest["room"], "method": manifest["method"], "content": folder_hash(folder)}
    return Named(make, identity)


def _predictions(path: Path, context: _Context) -> Named:
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected a file of predictions there, so check its name")
    how: Any = {"missing": context.missing, "unknown_items": context.unknown_items}

    def make(seed: int) -> Recommender:
        from agentrec.evaluation.adapters.predictions import PredictionsFile

        return PredictionsFile.read(path, context.dataset, users=context.users, **how)

    def check() -> Report:
        from agentrec.evaluation.adapters.conformance import check_predictions

        return check_predictions(path, context.dataset, context.users, **how)

    return Named(make, {"kind": "predictions", "content": file_hash(path), **how}, check=check)


def _endpoint(text: str, context: _Context) -> Named:
    from agentrec.evaluation.adapters.endpoint import Endpoint, Settings, identity

    url, _, fragment = text.partition("#")
    values = {}
    for pair in filter(None, fragment.split("&")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"the setting {name!r} behind # has no value; expected name=value, joined by &")
        values[name] = parse_yaml(value)
    settings = from_mapping(Settings, values)

    def make(seed: int) -> Recommender:
        return Endpoint(url, context.dataset.catalogue, context.dataset.user_ids, settings=settings)

    return Named(make, {"kind": "endpoint", **identity(url, settings)}, reusable=False)


def _function(text: str, context: _Context) -> Named:
    from agentrec.evaluation.adapters.function import as_recommender, import_function, takes_seed

    found = import_function(text)

    def make(seed: int) -> Recommender:
        return as_recommender(found.value, context.dataset.catalogue, name=text, seed=seed)

    return Named(make, {"kind": "python", **found.identity()}, seeded=takes_seed(found.value))


def _oracle(dataset: Dataset) -> Recommender:
    from agentrec.data.shop import Shop

    return Shop.from_dataset(dataset).oracle()
