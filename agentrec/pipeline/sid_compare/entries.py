"""The semantic IDs that are compared: imported from files and folders, or fitted here with one budget.

What cannot be read or fitted becomes an entry with its error, and the others go on.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.core.files import array_hash
from agentrec.core.provenance import code_hash
from agentrec.core.types import FloatArray, IntArray
from agentrec.pipeline.recipe import LABEL
from agentrec.pipeline.semantic_ids import REGISTRY, Described, import_semantic_ids, problem_of, suitable_codebook_size
from agentrec.pipeline.sid_report.report import semantic_codes
from agentrec.semantic_ids.collisions import policy, solve
from agentrec.semantic_ids.vocabulary import SIDVocabulary

LEVELS = 3


@dataclass(frozen=True)
class Budget:
    """What every quantiser is fitted with."""

    num_levels: int = setting(LEVELS, "codes per item")
    codebook_size: int = setting(256, "codes per level")
    collisions: tuple[str, ...] = field(default=("append",), metadata={"help": "policies; each makes IDs of its own"})
    seed: int = setting(0, "of every quantiser")


class Entry(NamedTuple):
    """One of the semantic IDs.

    Attributes:
        name: in tables; letters, digits, ``_``, ``-`` and ``.``.
        origin: ``"fitted"`` or ``"imported"``.
        vocabulary: the IDs, colliding items told apart; None where there are none.
        error: why there are none.
        seconds: that fitting took; None where it was kept from before, or imported.
    """

    name: str
    origin: str
    vocabulary: SIDVocabulary | None = None
    error: str = ""
    seconds: float | None = None

    @property
    def codes(self) -> IntArray:
        """(N, L) int64 codes, without a level that only tells colliding items apart."""
        assert self.vocabulary is not None
        return semantic_codes(self.vocabulary)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """K_l of those levels."""
        assert self.vocabulary is not None
        return self.vocabulary.level_sizes[: self.codes.shape[1]]


def named_sources(text: str, published: str | Path | None = None) -> dict[str, Path]:
    """Read ``name=FOLDER_OR_FILE,...`` and a folder of index files.

    Args:
        text: comma-separated; without a name, a part is called after its file or folder.
        published: every ``.json`` file in it counts, by its name.

    Raises:
        ConfigError: a name occurs twice or holds strange letters, a part is empty, or the folder holds no index.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    pairs = [_named(part) for part in parts]
    if published is not None:
        files = sorted(Path(published).glob("*.json"))
        if not files:
            raise ConfigError(f"{published} holds no .json file; expected a folder of index files, so check its name")
        pairs += [(re.sub(r"[^\w.-]", "-", file.stem), file) for file in files]
    distinct([name for name, _ in pairs])
    return dict(pairs)


def distinct(names: Sequence[str]) -> None:
    """Refuse a name that occurs twice.

    Raises:
        ConfigError: it does.
    """
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"two semantic IDs are called {twice!r}; expected different names, so write name=path")


def _named(part: str) -> tuple[str, Path]:
    name, equals, rest = ("", "", part) if Path(part).exists() else part.partition("=")
    path = Path(rest.strip() if equals else part)
    name = name.strip() if equals else path.stem if path.suffix == ".json" else path.resolve().name
    if not LABEL.fullmatch(name) or not str(path).strip("."):
        raise ConfigError(
            f"the semantic IDs {part!r} have the name {name!r}; expected name=path, the name of letters, digits, '_', "
            "'-' and '.'"
        )
    return name, path


def imported(sources: Mapping[str, Path], dataset: Described) -> list[Entry]:
    """Open saved vocabularies and index files, for the items of a data set."""

    def opened(path: Path) -> SIDVocabulary:
        if not path.is_dir():
            return import_semantic_ids(dataset, path)
        vocabulary = SIDVocabulary.from_pretrained(path)
        vocabulary.matches(dataset.catalogue.ids)
        return vocabulary

    found = []
    for name, path in sources.items():
        try:
            found.append(Entry(name, "imported", opened(path)))
        except AgentrecError as error:
            found.append(Entry(name, "imported", error=str(error)))
    return found


def budget(
    others: Sequence[Entry],
    num_items: int,
    *,
    num_levels: int | None = None,
    codebook_size: int | None = None,
    collisions: Sequence[str] = ("append",),
    seed: int = 0,
) -> Budget:
    """A budget; what is not given is that of the imported IDs, or else what `agentrec sids fit` takes.

    Args:
        others: imported IDs; the number of levels that most of them have, and the largest of their levels, count.
        num_items: N.
        num_levels: L.
        codebook_size: K.
        collisions: policies that leave every item an ID of its own.
        seed: of every quantiser.

    Raises:
        ConfigError: a policy is unknown, or leaves items without an ID of their own.
    """
    known = [entry for entry in others if entry.vocabulary is not None]
    if num_levels is None:
        levels = Counter(len(entry.level_sizes) for entry in known)
        num_levels = min(levels, key=lambda count: (-levels[count], count)) if levels else LEVELS
    if codebook_size is None:
        sizes = [max(entry.level_sizes) for entry in known]
        codebook_size = max(sizes) if sizes else suitable_codebook_size(num_items)
    for name in collisions:
        if name == "keep":
            raise ConfigError("collisions is 'keep'; expected policies that give every item an ID of its own")
        policy(name)
    return Budget(num_levels, codebook_size, tuple(collisions), seed)


def fitted(
    names: Sequence[str],
    table: FloatArray,
    dataset: Described,
    budget: Budget,
    *,
    keep: Path,
    vectors: str = "tfidf_svd",
    say: Callable[[str], None] = lambda _: None,
) -> list[Entry]:
    """Fit quantisers with one budget, and tell colliding items apart by every policy.

    Args:
        names: methods of `agentrec.semantic_ids`.
        table: (N, D) float32 item vectors.
        dataset: whose items these are.
        budget: of every quantiser.
        keep: folder where IDs are kept; the same vectors, budget and code give them again without fitting.
        vectors: what made the item vectors, so that kept IDs can be reported on.
        say: told one line per quantiser.
    """
    found: list[Entry] = []
    for name in names:
        titles = [name if len(budget.collisions) == 1 else f"{name}-{policy}" for policy in budget.collisions]
        pairs = dict(zip(titles, budget.collisions, strict=True))
        made = {
            title: {**_provenance(name, policy, table, dataset, budget), "vectors": vectors}
            for title, policy in pairs.items()
        }
        kept = {title: _kept(keep / title, made[title]) for title in titles}
        if all(vocabulary is not None for vocabulary in kept.values()):
            say(f"{name}: kept from before")
            found += [Entry(title, "fitted", vocabulary) for title, vocabulary in kept.items()]
            continue
        say(f"{name}: fitting")
        try:
            found += _fit(name, pairs, made, table, keep)
        except AgentrecError as error:
            found += [Entry(title, "fitted", error=str(error)) for title in titles]
    return found


def _fit(
    name: str, pairs: Mapping[str, str], made: Mapping[str, dict[str, Any]], table: FloatArray, keep: Path
) -> list[Entry]:
    module = REGISTRY.module(name)
    first = next(iter(made.values()))
    settings = {setting: first[setting] for setting in ("num_levels", "codebook_size", "seed")}
    start = time.perf_counter()
    quantiser = module.METHOD(from_mapping(module.Config, settings)).fit(table)
    seconds = time.perf_counter() - start
    problem = problem_of(quantiser, table, first["item_ids"])
    found = []
    for title, policy_name in pairs.items():
        try:
            resolved = solve(problem, policy_name)
        except AgentrecError as error:
            found.append(Entry(title, "fitted", error=str(error)))
            continue
        facts = {key: value for key, value in made[title].items() if key != "item_ids"}
        vocabulary = SIDVocabulary(resolved.codes, resolved.level_sizes, first["item_ids"]).stamp(facts)
        vocabulary.save_pretrained(keep / title)
        found.append(Entry(title, "fitted", vocabulary, seconds=seconds))
    return found


def _provenance(name: str, policy: str, table: FloatArray, dataset: Described, budget: Budget) -> dict[str, Any]:
    return {
        "data": dataset.fingerprint,
        "vectors_hash": array_hash(table),
        "quantiser": name,
        "collisions": policy,
        "num_levels": budget.num_levels,
        "codebook_size": budget.codebook_size,
        "seed": budget.seed,
        "code": code_hash(),
        "item_ids": dataset.catalogue.ids,
    }


def _kept(folder: Path, made: Mapping[str, Any]) -> SIDVocabulary | None:
    """The IDs in a folder if they were made like this."""
    try:
        vocabulary = SIDVocabulary.from_pretrained(folder)
    except AgentrecError:
        return None
    facts = {key: value for key, value in made.items() if key != "item_ids"}
    same = vocabulary.provenance == facts and vocabulary.item_ids == made["item_ids"]
    return vocabulary if same else None
