"""Item vectors by the name of a method, or by the name of a sentence-transformers model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentrec.core.artefact import read_manifest
from agentrec.core.config import from_mapping
from agentrec.core.errors import DataError
from agentrec.core.protocols import TextEncoder
from agentrec.core.registry import Registry
from agentrec.core.types import FloatArray

REGISTRY = Registry("agentrec.vectors")


def encoder(
    method: str, config: Mapping[str, Any] | None = None, *, seed: int = 0, progress: bool = False
) -> TextEncoder:
    """Build a text encoder, not yet fitted.

    Args:
        method: a file of this room (``"tfidf_svd"``), or the hub name (``"owner/model"``) or folder of a
            sentence-transformers model.
        config: settings of the method.
        seed: its ``seed``, if it has one.
        progress: its ``progress``, if it has one.

    Raises:
        UnknownNameError: no method and no model has that name.
        ConfigError: a setting is unknown or out of range.
    """
    settings = dict(config or {})
    if method not in REGISTRY.names() and ("/" in method or Path(method).is_dir()):
        method, settings = "sentence_transformer", {"model": method, **settings}
    module = REGISTRY.module(method)
    known = {field.name for field in dataclasses.fields(module.Config)}
    common = {name: value for name, value in {"seed": seed, "progress": progress}.items() if name in known}
    built: TextEncoder = module.METHOD(from_mapping(module.Config, {**common, **settings}))
    return built


def item_vectors(
    texts: Sequence[str],
    method: str = "tfidf_svd",
    config: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    progress: bool = False,
) -> FloatArray:
    """One vector per item text: N texts -> (N, D) float32; as `fitted_vectors`, without the encoder."""
    return fitted_vectors(texts, method, config, seed=seed, progress=progress)[1]


def fitted_vectors(
    texts: Sequence[str],
    method: str = "tfidf_svd",
    config: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    progress: bool = False,
) -> tuple[TextEncoder, FloatArray]:
    """The encoder, fitted on the texts where it learns, and one vector per text: (N, D) float32.

    Args:
        texts: one text per item.
        method: as for `encoder`.
        config: settings of the method.
        seed: its seed, if it draws anything.
        progress: show its progress, if it has any to show.

    Raises:
        UnknownNameError: no method and no model has that name.
        ConfigError: a setting is unknown or out of range.
        DataError: no texts, or vectors that are not finite.
    """
    if not texts:
        raise DataError("no item texts were given; expected one per item")
    found = encoder(method, config, seed=seed, progress=progress)
    fit = getattr(found, "fit", None)  # an encoder of another package may have nothing to learn
    if fit is not None:
        fit(texts)
    return found, checked_vectors(found, texts)


def checked_vectors(encoder: TextEncoder, texts: Sequence[str]) -> FloatArray:
    """One vector per text by a fitted encoder: N texts -> (N, D) float32.

    Raises:
        DataError: the encoder gave another number of rows, or the first row whose values are not finite.
    """
    vectors, name = encoder.encode(texts), type(encoder).__name__
    if vectors.ndim != 2 or vectors.shape[0] != len(texts):
        raise DataError(
            f"{name} gave vectors of shape {vectors.shape} for {len(texts)} texts; expected one row per text, so check "
            "the model"
        )
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{name} gave {int(bad.sum())} of {len(texts)} texts vectors that are not finite, the first to row {row} "
            f"({texts[row][:60]!r}); expected finite numbers, so check the model or that text"
        )
    return vectors


def load_encoder(folder: str | Path) -> TextEncoder:
    """A saved encoder.

    Raises:
        ArtefactError: no encoder lies there, or it is damaged.
        UnknownNameError: this installation lacks its method.
    """
    found: TextEncoder = REGISTRY.load(read_manifest(folder)["method"]).from_pretrained(folder)
    return found
