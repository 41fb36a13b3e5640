"""Item vectors that know what training histories say: text vectors fused with who is bought with whom.

Only `Split.train` is read, so that no held-out purchase reaches a semantic ID. A recommender trained on the same split
can be the source too: its validation users stopped its training, which is all that they decided.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agentrec.core.artefact import plain, read_manifest
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ArtefactError, ConfigError, DataError, DataWarning
from agentrec.core.files import folder_hash
from agentrec.core.protocols import TextEncoder
from agentrec.core.registry import Registry
from agentrec.core.types import FloatArray, Histories, IntArray
from agentrec.semantic_ids.co_occurrence import co_occurrence, smooth
from agentrec.vectors import co_occurrence_svd
from agentrec.vectors.fusion.base import Fusion, Signal
from agentrec.vectors.fusion.fuse import REGISTRY, fusion, load_fusion
from agentrec.vectors.item_vectors import checked_vectors, load_encoder

NONE, TEXT = "none", "text"
PARTS = ("fusion", "signal")


class Trained(Protocol):
    """What is needed of a split; held-out rows are not."""

    @property
    def num_items(self) -> int:
        """N."""

    @property
    def fingerprint(self) -> str:
        """Hash of the split's content."""

    @property
    def train(self) -> Histories:
        """Training histories."""


@dataclass(frozen=True)
class Source(co_occurrence_svd.Config):
    """Where collaborative vectors come from: the settings of `agentrec.vectors.co_occurrence_svd`, and these."""

    window: int = setting(3, "count pairs up to this many steps apart")
    directed: bool = setting(False, "tell what follows an item from what it follows")
    model: str | None = setting(None, "folder of a trained sasrec, whose item vectors are taken instead")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 1:
            raise ConfigError(f"setting 'window' of the collaborative signal is {self.window}; expected 1 or more")


class FusedEncoder:
    """A text encoder and a fusion: what turns items into vectors, and is saved with their IDs.

    Args:
        encoder: of texts.
        fusion: fitted on the vectors of that encoder.
    """

    def __init__(self, encoder: TextEncoder, fusion: Fusion) -> None:
        self.encoder = encoder
        self.fusion = fusion

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of new items, of which the text is all that is known: M texts -> (M, F) float32."""
        return self.encode_items(texts)

    def encode_items(self, texts: Sequence[str], item_ids: Sequence[str] | None = None) -> FloatArray:
        """Vectors of items, by their histories too where they were there at fit: M texts and ids -> (M, F) float32."""
        return self.fusion.transform(checked_vectors(self.encoder, texts), item_ids)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the folder of the fusion, with the text encoder in ``text/``; see `saves`."""
        self.fusion.save_pretrained(save_directory)
        self.encoder.save_pretrained(Path(save_directory) / TEXT)  # type: ignore[attr-defined]


def saves(encoder: TextEncoder) -> bool:
    """Whether an encoder can be saved; one of another package perhaps cannot."""
    return hasattr(encoder.encoder if isinstance(encoder, FusedEncoder) else encoder, "save_pretrained")


def load_item_encoder(folder: str | Path) -> TextEncoder:
    """What made item vectors: a text encoder, or one with its fusion.

    Raises:
        ArtefactError: the folder holds neither, or is damaged.
        UnknownNameError: this installation lacks a method.
    """
    if read_manifest(folder)["room"] != Fusion.room:
        return load_encoder(folder)
    return FusedEncoder(load_encoder(Path(folder) / TEXT), load_fusion(folder))


def vectors_of_items(encoder: TextEncoder, texts: Sequence[str], item_ids: Sequence[str]) -> FloatArray:
    """One vector per item, by text alone or with what histories say of it: (N, F) float32."""
    if isinstance(encoder, FusedEncoder):
        return encoder.encode_items(texts, item_ids)
    return checked_vectors(encoder, texts)


def check_collaborative(name: str, split: Any, data: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what cannot be fused before anything is computed.

    Args:
        name: a fusion, or ``"none"``.
        split: what was given as one.
        data: fingerprint of the data set.
        settings: with the parts ``fusion`` and ``signal``.

    Raises:
        UnknownNameError: no fusion has that name.
        ConfigError: there is no split, or settings are unknown, out of range or without effect.
        DataError: the split is of other data.
    """
    if name == NONE:
        unused = next((part for part in PARTS if settings.get(part)), None)
        if unused is not None:
            raise ConfigError(
                f"collaborative is 'none' and there are settings of the part {unused!r}; expected one of "
                f"{', '.join(REGISTRY.names())}, or no such settings"
            )
        return
    built = fusion(name, settings.get("fusion"))
    if not hasattr(split, "train") or not hasattr(split, "fingerprint"):
        given = "no split" if split is None else f"a {type(split).__name__}"
        raise ConfigError(
            f"collaborative {name!r} reads training histories and was given {given}; expected a split of the data, "
            "for example leave_one_out(dataset), so that held-out rows stay out"
        )
    found = getattr(split, "data", {}).get("fingerprint", data)
    if found != data:
        raise DataError(f"the split is of the data {found} and the items are of {data}; expected a split of the same")
    source = from_mapping(Source, settings.get("signal", {}))
    ignored = sorted(set(settings.get("signal", {})) - _used(source, built))
    if ignored:
        raise ConfigError(f"collaborative {name!r} has no use for the signal's setting {ignored[0]!r}; remove it")


def identity(name: str, split: Trained, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What beside its settings decides a fusion: the split, and the content of a trained model; None without fusion."""
    if name == NONE:
        return None
    model = settings.get("signal", {}).get("model")
    return {"split": split.fingerprint, **({} if model is None else {"model": folder_hash(model)})}


def _used(source: Source, built: Fusion) -> set[str]:
    if built.needs == "graph":
        return {"window"}
    return {"model"} if source.model is not None else {field.name for field in dataclasses.fields(Source)}


def fuse(
    encoder: TextEncoder,
    text: FloatArray,
    item_ids: Sequence[str],
    *,
    name: str,
    split: Trained,
    settings: Mapping[str, Mapping[str, Any]],
    seed: int = 0,
) -> tuple[FusedEncoder, FloatArray, dict[str, Any]]:
    """Fit a fusion.

    Args:
        encoder: what made the text vectors.
        text: (N, D) float32.
        item_ids: of the N items.
        name: of the fusion.
        split: its training histories are the signal.
        settings: with the parts ``fusion`` and ``signal``.
        seed: of the SVD.

    Returns:
        The encoder with the fusion; its vectors (N, F) float32; and what they were made from, for provenance.

    Warns:
        DataWarning: some items have text alone.

    Raises:
        DataError: the split has another number of items, or its histories say nothing.
        ArtefactError: the model of the signal is of another split.
    """
    if split.num_items != len(item_ids):
        raise DataError(f"the split has {split.num_items} items and the data {len(item_ids)}; expected the same data")
    built = fusion(name, settings.get("fusion"))
    source = from_mapping(Source, {"seed": seed, **settings.get("signal", {})})
    counts = np.bincount(split.train.items, minlength=split.num_items).astype(np.int64)
    signal = _signal(built, source, split, counts)
    silent = counts == 0 if signal.vectors is None else ~signal.vectors.any(axis=1)
    if silent.any():
        warnings.warn(
            f"training histories say nothing of {int(silent.sum())} of {len(item_ids)} items, for example "
            f"{item_ids[int(silent.argmax())]!r}; their text alone decides",
            DataWarning,
            stacklevel=3,
        )
    fused = FusedEncoder(encoder, built.fit(text, signal, item_ids))
    used = {key: value for key, value in plain(source).items() if key in _used(source, built)}
    made = {"fusion": plain(built.config), "signal": used, "items_by_text_alone": int(silent.sum())}
    return fused, built.transform(text, item_ids), {**made, **(identity(name, split, settings) or {})}


def _signal(built: Fusion, source: Source, split: Trained, counts: IntArray) -> Signal:
    """What the training histories say, in the form that a fusion reads."""
    if built.needs == "vectors" and source.model is not None:
        table = model_vectors(source.model, split.fingerprint)
        if len(table) != len(counts):
            raise ArtefactError(
                f"{source.model} knows {len(table)} items and the split {len(counts)}; expected as many"
            )
        return Signal(np.where(counts[:, None] > 0, table, np.float32(0)), counts)
    graph = co_occurrence(split.train, split.num_items, source.window, directed=source.directed)
    if built.needs == "graph":
        return Signal(counts=counts, spread=lambda vectors, alpha, steps: smooth(vectors, graph, alpha, steps))
    return Signal(co_occurrence_svd.co_occurrence_vectors(graph, source), counts)


def model_vectors(folder: str | Path, split: str) -> FloatArray:
    """The item table of a trained SASRec, rows of length 1 since it compares cosines: (N, C) float32.

    Args:
        folder: as training wrote it.
        split: fingerprint of the split it must have been trained on.

    Raises:
        ArtefactError: the folder holds another kind of model, or one of another split.
    """
    manifest = read_manifest(folder)
    if (manifest["room"], manifest["method"]) != ("models", "sasrec"):
        raise ArtefactError(f"{folder} holds {manifest['room']}/{manifest['method']}; expected models/sasrec")
    if manifest["provenance"].get("split") != split:
        raise ArtefactError(
            f"{folder} was trained on the split {manifest['provenance'].get('split')}, and this is {split}; expected "
            "the same, or held-out rows reach the semantic IDs, so train it on this split"
        )
    model = Registry("agentrec.models").load("sasrec").from_pretrained(folder)
    table = model.network.items.weight.detach().cpu().numpy().astype(np.float32)
    vectors: FloatArray = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), np.float32(1e-12))
    return vectors
