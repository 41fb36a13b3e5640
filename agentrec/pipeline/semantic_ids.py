"""Texts to semantic IDs: item vectors, a quantiser, collisions, the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from agentrec.core.artefact import read_manifest
from agentrec.core.config import from_mapping
from agentrec.core.errors import ConfigError
from agentrec.core.files import whole_folder, write_json
from agentrec.core.protocols import Quantiser
from agentrec.core.provenance import versions
from agentrec.core.registry import Registry
from agentrec.core.types import Catalogue, FloatArray
from agentrec.semantic_ids.collisions import resolve
from agentrec.semantic_ids.health import health
from agentrec.semantic_ids.index_json import read_index, write_index
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.vectors.item_vectors import item_vectors

REGISTRY = Registry("agentrec.semantic_ids")
QUANTISER, HEALTH, INDEX = "quantiser", "health.json", "index.json"


class Described(Protocol):
    """What is needed of a data set: a catalogue whose items have texts."""

    @property
    def catalogue(self) -> Catalogue:
        """The N items."""

    @property
    def fingerprint(self) -> str:
        """A hash of the data."""

    def require_texts(self, columns: Sequence[str] | None = None) -> list[str]:
        """One text per item, from some text columns or all."""


class SemanticIDs(NamedTuple):
    """Fitted semantic IDs and what led to them.

    Attributes:
        vocabulary: codes <-> tokens <-> items, collisions resolved.
        quantiser: the fitted quantiser; it encodes new items.
        vectors: (N, D) float32 item vectors.
        health: the report of `agentrec.semantic_ids.health`.
    """

    vocabulary: SIDVocabulary
    quantiser: Any
    vectors: FloatArray
    health: dict[str, Any]

    def save(self, folder: str | Path) -> None:
        """Write the vocabulary with ``quantiser/``, ``health.json`` and ``index.json``, whole or not at all."""
        with whole_folder(folder) as temporary:
            self.vocabulary.save_pretrained(temporary)
            self.quantiser.save_pretrained(temporary / QUANTISER)
            write_json(temporary / HEALTH, self.health)
            write_index(self.vocabulary, temporary / INDEX)


def fit_semantic_ids(  # noqa: PLR0913 - flat keywords, every one with a default
    dataset: Described,
    *,
    vectors: str = "tfidf_svd",
    quantiser: str = "rq_kmeans",
    num_levels: int = 3,
    codebook_size: int | None = None,
    text_columns: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> SemanticIDs:
    """Give every item of a data set a semantic ID of its own, by its text.

    Args:
        dataset: a data set whose items have texts.
        vectors: a method of `agentrec.vectors`, or the name or folder of a sentence-transformers model.
        quantiser: a method of `agentrec.semantic_ids`.
        num_levels: L; a further level tells colliding items apart, where there are any.
        codebook_size: K, codes per level; by default `suitable_codebook_size` of the catalogue.
        text_columns: which text columns describe an item, all by default.
        seed: of vectors and quantiser.
        progress: show progress bars.
        settings: further settings of the two methods, ``{"vectors": {...}, "quantiser": {...}}``; those of the
            quantiser win over the ones above.

    Raises:
        DataError: the items have no usable texts.
        UnknownNameError: no method has that name.
        ConfigError: a setting is unknown or out of range.
    """
    _check_parts(settings or {})
    module = REGISTRY.module(quantiser)
    more = {part: dict((settings or {}).get(part, {})) for part in ("vectors", "quantiser")}
    size = suitable_codebook_size(len(dataset.catalogue)) if codebook_size is None else codebook_size
    basic = {"num_levels": num_levels, "codebook_size": size, "seed": seed}
    fitted = module.METHOD(from_mapping(module.Config, {**basic, **more["quantiser"]}))
    table = item_vectors(dataset.require_texts(text_columns), vectors, more["vectors"], seed=seed, progress=progress)
    fitted.fit(table)
    codes = fitted.encode(table)
    resolved = resolve(codes, "append")
    sizes = [len(book) for book in fitted.codebooks]
    appended = [int(column.max()) + 1 for column in resolved.T[len(sizes) :]]
    vocabulary = SIDVocabulary(resolved, [*sizes, *appended], dataset.catalogue.ids)
    provenance = {
        "data": dataset.fingerprint,
        "vectors": vectors,
        "quantiser": quantiser,
        "text_columns": None if text_columns is None else list(text_columns),
        "collisions": "append",
        "settings": more,
        "versions": versions(),
        **basic,
        "num_levels": len(sizes),
    }
    fitted.stamp(provenance)
    report = health(table, codes, fitted.codebooks, reconstruction=fitted.decode(codes), seed=seed)
    return SemanticIDs(vocabulary.stamp(provenance), fitted, table, report)


def import_semantic_ids(
    dataset: Described, index: str | Path, *, collisions: Literal["append", "error"] = "append"
) -> SIDVocabulary:
    """Take over published semantic IDs for the items of a data set.

    Args:
        dataset: its items must be those of the file.
        index: an ``index.json``; see `agentrec.semantic_ids.index_json.read_index`.
        collisions: append a level where items share all codes, or refuse.

    Raises:
        DataError: the file is no index, or not of these items.
    """
    vocabulary = read_index(index, dataset.catalogue.ids, collisions=collisions)
    return vocabulary.stamp({**vocabulary.provenance, "data": dataset.fingerprint, "versions": versions()})


def suitable_codebook_size(num_items: int) -> int:
    """K such that about 16 items share a first code: a power of two from 16 to 256.

    Wider levels leave most codes of a small catalogue with one item, and a generator then learns nothing of what items
    have in common; narrower ones make colliding items, which only an arbitrary number tells apart.
    """
    return int(2 ** np.clip(round(np.log2(max(1, num_items) / 16)), 4, 8))


def _check_parts(settings: Mapping[str, Any]) -> None:
    unknown = sorted(set(settings) - {"vectors", "quantiser"})
    if unknown:
        raise ConfigError(f"settings of semantic IDs have the part {unknown[0]!r}; expected vectors or quantiser")


def load_quantiser(folder: str | Path) -> Quantiser | None:
    """The quantiser in the folder of fitted semantic IDs; None where they were imported.

    Raises:
        ArtefactError: the folder of the quantiser is damaged.
        UnknownNameError: this installation lacks its method.
    """
    place = Path(folder) / QUANTISER
    if not place.is_dir():
        return None
    quantiser: Quantiser = REGISTRY.load(read_manifest(place)["method"]).from_pretrained(place)
    return quantiser


def report_semantic_ids(
    vocabulary: SIDVocabulary, dataset: Described | None = None, quantiser: Quantiser | None = None
) -> dict[str, Any]:
    """Health of saved or imported semantic IDs, of the levels they had before collisions were resolved.

    Args:
        vocabulary: the semantic IDs.
        dataset: their data set, for reconstruction and neighbours; item vectors are made as they were for fitting.
        quantiser: what fitted them, for reconstruction.

    Returns:
        As `agentrec.semantic_ids.health.health`.

    Raises:
        ArtefactError: the data set has other items.
    """
    made = vocabulary.provenance
    codes = vocabulary.codes[:, : made.get("num_levels", vocabulary.num_levels)]
    books = None if quantiser is None else quantiser.codebooks
    if dataset is None:
        return health(None, codes, books)
    vocabulary.matches(dataset.catalogue.ids)
    seed = made.get("seed", 0)
    table = item_vectors(
        dataset.require_texts(made.get("text_columns")),
        made.get("vectors", "tfidf_svd"),
        made.get("settings", {}).get("vectors"),
        seed=seed,
    )
    rebuilt = None if quantiser is None else quantiser.decode(codes)
    return health(table, codes, books, reconstruction=rebuilt, seed=seed)
