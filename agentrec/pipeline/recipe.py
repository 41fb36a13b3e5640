"""A recipe: one YAML file that says everything from data to report.

.. code-block:: yaml

    data: {source: shop}
    sids: {vectors: tfidf_svd, quantiser: rq_kmeans, num_levels: 3}
    recommenders:
      popularity: {}
      sasrec: {training: {epochs: 20}}
      generator: {method: generative, config: {model: qwen3-tiny}, training: {num_train_epochs: 10}}
    evaluate: {part: test}

A recommender's ``method`` is its label unless said otherwise; a generative one may have ``sids`` of its own, and
another row as its teacher, ``tca4rec: {teacher: sasrec, alpha: 0.1}``, or several: ``teacher: sasrec+transitions``.
Unknown keys are refused, with the keys that exist.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from agentrec.core.artefact import plain
from agentrec.core.config import from_mapping, read_yaml, setting
from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.core.files import file_hash
from agentrec.core.registry import Registry
from agentrec.core.resources import resource_folder
from agentrec.core.types import JSON

GENERATIVE, ORACLE = "generative", "oracle"
LABEL = re.compile(r"\w[\w.-]*")
STEP_NAMES = frozenset({"data", "sids", "evaluation"})


@dataclass(frozen=True)
class Data:
    """Where interactions and items come from."""

    source: str = setting("shop", "shop, a known name, a folder or an interactions file")
    items: str | None = setting(None, "items table, where the source holds none")
    duplicates: Literal["error", "drop"] = setting("error", "what to do with repeated rows")
    split: Literal["leave_one_out", "global_time", "tca4rec"] = setting(
        "leave_one_out", "last item of every user, two cuts in time, or the one that TCA4Rec's files come with"
    )
    min_user: int = setting(0, "k-core: interactions per user at least")
    min_item: int = setting(0, "k-core: interactions per item at least")


@dataclass(frozen=True)
class Sids:
    """How semantic IDs are made."""

    vectors: str = setting("tfidf_svd", "method of agentrec.vectors, or a sentence-transformers model")
    quantiser: str = setting("rq_kmeans", "method of agentrec.semantic_ids")
    num_levels: int = setting(3, "levels before collisions are resolved")
    codebook_size: int | None = setting(None, "codes per level; by default it suits the size of the catalogue")
    text_columns: list[str] | None = field(default=None, metadata={"help": "text columns that describe an item"})
    collisions: str = setting("append", "policy of agentrec.semantic_ids.collisions")
    collaborative: str = setting("none", "fusion with training histories: none, concat, aligned or smooth")
    settings: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "further settings of vectors, quantiser, collisions, fusion and signal, by these names"},
    )
    index: str | None = setting(None, "import this index.json instead of fitting")

    def chosen(self) -> dict[str, Any]:
        """The settings that differ from their defaults: a setting that is new does not make old runs stale."""
        return {name: value for name, value in plain(self).items() if value != plain(Sids())[name]}


@dataclass(frozen=True)
class Method:
    """One recommender of the table."""

    method: str = setting("", "method of agentrec.models, generative, or oracle (simulated shop)")
    model: dict[str, Any] = field(default_factory=dict, metadata={"help": "settings of the model"})
    config: dict[str, Any] = field(default_factory=dict, metadata={"help": "generative: settings of sft.Config"})
    training: dict[str, Any] = field(default_factory=dict, metadata={"help": "settings of its training"})
    sids: dict[str, Any] = field(default_factory=dict, metadata={"help": "generative: other semantic IDs than `sids`"})
    tca4rec: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "generative: teacher (label of another row, or labels joined by +) and more"},
    )

    @property
    def teachers(self) -> list[str]:
        """Labels of the rows that teach."""
        return [part.strip() for part in str(self.tca4rec["teacher"]).split("+")] if "teacher" in self.tca4rec else []

    def chosen(self) -> dict[str, Any]:
        """What tells methods apart; of later settings only those that are given."""
        return {name: value for name, value in plain(self).items() if name != "tca4rec" or value}


@dataclass(frozen=True)
class Evaluate:
    """How recommenders are measured."""

    part: Literal["validation", "test"] = setting("test", "held-out part")
    exclude_seen: bool = setting(False, "leave the user's own items out")
    limit: int | None = setting(None, "evaluate at most so many users")
    bootstrap: int = setting(1000, "resamples of the intervals")


@dataclass(frozen=True)
class Show:
    """The example at the end."""

    recommender: str = setting("generator", "label of the recommender that is shown")
    n: int = setting(5, "items shown")


@dataclass(frozen=True)
class Seed:
    """The one setting at the top level."""

    seed: int = setting(0, "of weights, batches, quantisers and the bootstrap")


@dataclass(frozen=True)
class Recipe:
    """Everything from data to report."""

    data: Data
    sids: Sids
    recommenders: dict[str, Method]
    evaluate: Evaluate
    show: Show
    seed: int = 0

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read from nested mappings.

        Raises:
            ConfigError: a key or value is not known.
            UnknownNameError: a recommender's method does not exist.
        """
        known = ("data", "sids", "recommenders", "evaluate", "show", "seed")
        unknown = sorted(set(content) - set(known))
        if unknown:
            raise ConfigError(f"a recipe has no section {unknown[0]!r}; those that exist are {', '.join(known)}")
        rows = _section("recommenders", content.get("recommenders"))
        methods = {label: _method(label, _section(str(label), values)) for label, values in rows.items()}
        _check_teachers(methods)
        return cls(
            data=from_mapping(Data, _expanded(_section("data", content.get("data")))),
            sids=from_mapping(Sids, _expanded(_section("sids", content.get("sids")))),
            recommenders=methods,
            evaluate=from_mapping(Evaluate, _section("evaluate", content.get("evaluate"))),
            show=from_mapping(Show, _section("show", content.get("show"))),
            seed=from_mapping(Seed, {"seed": content.get("seed", 0)}).seed,
        )

    def on(self, interactions: str | Path, items: str | Path | None) -> Self:
        """The same recipe on other data; the oracle, which only the simulated shop has, drops out."""
        rows = {label: method for label, method in self.recommenders.items() if method.method != ORACLE}
        data = replace(self.data, source=str(interactions), items=None if items is None else str(items))
        return replace(self, data=data, recommenders=rows)


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe by its name among those shipped, or by its path.

    Raises:
        UnknownNameError: neither a file nor a shipped recipe.
        ConfigError: the content is not a recipe.
    """
    return Recipe.from_dict(read_yaml(_find(name)))


class Chosen(NamedTuple):
    """One recommender of a recipe.

    Attributes:
        recipe: the whole of it.
        label: of the recommender.
        method: what stands under that label.
        identity: what it is, as JSON: equal identities train the same on the same data with the same seed.
    """

    recipe: Recipe
    label: str
    method: Method
    identity: JSON

    @property
    def sids(self) -> Sids:
        """The semantic IDs of a generative recommender."""
        return replace(self.recipe.sids, **self.method.sids)


def read_recommender(text: str) -> Chosen:
    """Read one recommender of a recipe: ``amazon_beauty:generator``, or ``path.yaml:generator``.

    Raises:
        UnknownNameError: there is no such recipe, or no such label in it.
        ConfigError: the content is not a recipe.
    """
    name, _, label = text.rpartition(":")
    recipe = read_recipe(name)
    if label not in recipe.recommenders:
        known = ", ".join(recipe.recommenders)
        raise UnknownNameError(f"the recipe {name!r} has no recommender {label!r}; those that exist are {known}")
    return recommender_of(recipe, label)


def recommender_of(recipe: Recipe, label: str) -> Chosen:
    """One of a recipe's recommenders, with what tells it apart."""
    method = recipe.recommenders[label]
    chosen = Chosen(recipe, label, method, {"kind": "recipe", **method.chosen()})
    taught = [recipe.recommenders[teacher].chosen() for teacher in method.teachers]
    if taught:
        chosen.identity["teacher"] = taught[0] if len(taught) == 1 else taught
    if method.method == GENERATIVE:
        index = chosen.sids.index
        chosen.identity["sids"] = {**chosen.sids.chosen(), "index": index and file_hash(Path(index))}
    return chosen


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(file.stem for file in resource_folder("recipes").glob("*.yaml"))


def _expanded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Paths may name environment variables, as ``${AGENTREC_DATA}/...``.

    Raises:
        ConfigError: a variable is not set.
    """
    found = {key: os.path.expandvars(value) if isinstance(value, str) else value for key, value in values.items()}
    unset = next((value for value in found.values() if isinstance(value, str) and "${" in value), None)
    if unset is not None:
        raise ConfigError(f"{unset!r} names an environment variable that is not set; expected a path, so export it")
    return found


def _find(name: str | Path) -> Path:
    if Path(name).suffix in {".yaml", ".yml"}:
        return Path(name)
    if str(name) not in recipe_names():
        raise UnknownNameError(
            f"there is no recipe {str(name)!r}; those that exist are {', '.join(recipe_names())}, or give the path of "
            "a .yaml file"
        )
    return resource_folder("recipes") / f"{name}.yaml"


def _section(name: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values or {}, Mapping):
        raise ConfigError(f"section {name!r} is {values!r}; expected a mapping of settings")
    return values or {}


def _method(label: Any, values: Mapping[str, Any]) -> Method:
    if not isinstance(label, str) or not LABEL.fullmatch(label) or label in STEP_NAMES or label.endswith("-sids"):
        raise ConfigError(
            f"a recommender has the label {label!r}; expected letters, digits, '_', '-' and '.', and none of "
            f"{', '.join(sorted(STEP_NAMES))}, because it names a folder"
        )
    method = from_mapping(Method, {"method": label, **values, "sids": _expanded(_section("sids", values.get("sids")))})
    from_mapping(Sids, method.sids)
    unused = ("model",) if method.method == GENERATIVE else ("config", "sids", "tca4rec")
    ignored = next((name for name in unused if getattr(method, name)), None)
    if ignored is not None:
        raise ConfigError(f"recommender {label!r} of method {method.method!r} has no use for {ignored!r}; remove it")
    known = [*Registry("agentrec.models").names(), GENERATIVE, ORACLE]
    if method.method not in known:
        raise UnknownNameError(
            f"recommender {label!r} has the method {method.method!r}; those that exist are {', '.join(known)}"
        )
    return method


def _check_teachers(methods: Mapping[str, Method]) -> None:
    """Refuse teachers that are no row, or that give no scores of all items.

    Raises:
        ConfigError: a row has such a teacher, or settings of tca4rec and none.
    """
    fit = [label for label, method in methods.items() if method.method not in (GENERATIVE, ORACLE)]
    for label, method in methods.items():
        strange = next((teacher for teacher in method.teachers or [""] if teacher not in fit), None)
        if method.tca4rec and strange is not None:
            raise ConfigError(
                f"recommender {label!r} has the teacher {strange!r}; expected the label of a row that scores "
                f"all items, of which there are {', '.join(fit) or 'none'}"
            )
