"""Open any saved recommender by its folder; the manifest says which method it is."""

from __future__ import annotations

from pathlib import Path

from agentrec.core.artefact import read_manifest
from agentrec.core.errors import ArtefactError
from agentrec.core.protocols import Recommender
from agentrec.core.registry import Registry
from agentrec.core.types import Catalogue
from agentrec.models.generator import METHOD_NAME, ROOM


def load_recommender(path: str | Path, *, catalogue: Catalogue | None = None) -> Recommender:
    """Load a saved recommender.

    Args:
        path: a folder written by ``save_pretrained`` or by training.
        catalogue: the items it will rank. A generator of other items and any recommender of another number of items are
            refused; a counted or CF model knows indexes only, so that evaluation compares the split it was trained on.

    Raises:
        ArtefactError: no artefact, not a recommender, truncated, or of another catalogue.
        UnknownNameError: its method is not installed.
    """
    manifest = read_manifest(path)
    found: Recommender
    if (manifest["room"], manifest["method"]) == (ROOM, METHOD_NAME):
        from agentrec.serving.generative import GenerativeRecommender

        found = GenerativeRecommender.load(path, catalogue=catalogue)
    elif manifest["room"] == "models":
        found = Registry("agentrec.models").load(manifest["method"]).from_pretrained(path)
    else:
        raise ArtefactError(f"{path} holds {manifest['room']}/{manifest['method']}; expected a recommender's folder")
    if catalogue is not None and found.num_items != len(catalogue):
        raise ArtefactError(
            f"the recommender in {path} knows {found.num_items} items and the catalogue has {len(catalogue)}; "
            "expected the data it was trained on"
        )
    return found
