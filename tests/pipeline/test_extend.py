"""Fitted semantic IDs and the items that come and go after."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.types import Catalogue
from agentrec.pipeline.extend import extend_semantic_ids
from agentrec.pipeline.semantic_ids import fit_semantic_ids, load_quantiser, load_text_encoder, report_semantic_ids
from agentrec.semantic_ids.vocabulary import SIDVocabulary

WORDS = ["red", "blue", "hat", "shoe", "wool", "silk", "large", "small", "lamp", "nail"]


class Items:
    """The least that a data set must offer."""

    def __init__(self, numbers: list[int]) -> None:
        titles = [" ".join(np.random.default_rng(number).choice(WORDS, size=4)) for number in numbers]
        self.catalogue = Catalogue(tuple(f"i{number}" for number in numbers), {"title": tuple(titles)})
        self.fingerprint = f"items {sum(numbers)}"

    def require_texts(self, columns: list[str] | None = None) -> list[str]:
        return self.catalogue.texts(columns)


@pytest.fixture(params=["append", "zero_collision"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Semantic IDs of items 0 to 89; numbers for 40 items of equal codes are held ready."""
    settings = {"collisions": {"size": 40}} if request.param == "append" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fit_semantic_ids(
            Items(list(range(90))), num_levels=2, codebook_size=16, collisions=request.param, settings=settings
        )
    found.save(tmp_path / "sids")
    return tmp_path / "sids"


def by_id(vocabulary: SIDVocabulary) -> dict[str, str]:
    return {item: vocabulary.text(row) for row, item in enumerate(vocabulary.item_ids or ())}


def test_old_items_keep_their_ids_wherever_they_stand(folder: Path, tmp_path: Path) -> None:
    old = SIDVocabulary.from_pretrained(folder)
    items = Items([95, *range(89, -1, -1), 91, 92, 93])
    found = extend_semantic_ids(folder, items)
    assert found.vocabulary.item_ids == items.catalogue.ids
    assert by_id(old).items() <= by_id(found.vocabulary).items()
    assert found.vocabulary.level_sizes == old.level_sizes
    assert found.vocabulary.provenance["extended"] == [{"data": items.fingerprint, "new": 4, "removed": 0}]
    assert found.vocabulary.provenance["data"] == items.fingerprint
    assert found.health["num_items"] == 94
    found.save(tmp_path / "more")
    again = extend_semantic_ids(tmp_path / "more", items)  # nothing is new
    assert by_id(again.vocabulary) == by_id(found.vocabulary)
    parts = load_quantiser(tmp_path / "more"), load_text_encoder(tmp_path / "more")
    assert report_semantic_ids(found.vocabulary, items, *parts) == found.health


def test_new_items_are_coded_as_the_same_text_was(folder: Path) -> None:
    """A twin of an old item has its vector, so it differs in the last code alone."""
    items = Items(list(range(90)))
    titles = [*items.catalogue.titles, items.catalogue.titles[7]]
    items.catalogue = Catalogue((*items.catalogue.ids, "twin"), {"title": tuple(titles)})
    found = extend_semantic_ids(folder, items)
    assert np.array_equal(found.vectors[90], found.vectors[7])
    codes = found.vocabulary.codes
    assert np.array_equal(codes[90, :-1], codes[7, :-1])
    assert codes[90, -1] != codes[7, -1]


def test_missing_items_are_removed_on_demand_only(folder: Path) -> None:
    old = by_id(SIDVocabulary.from_pretrained(folder))
    items = Items([*range(5, 90), 97])
    with pytest.raises(
        DataError, match=r"lacks 5 of 90 items of .*, for example 'i0'; expected all of them, or missing"
    ):
        extend_semantic_ids(folder, items)
    found = extend_semantic_ids(folder, items, missing="remove", collisions="next_best")
    left = by_id(found.vocabulary)
    assert {item: text for item, text in left.items() if item != "i97"}.items() <= old.items()
    assert len(left) == 86
    assert left["i97"] not in old.values()  # nobody gets a freed code in the same call


def test_a_folder_without_its_parts_is_refused(folder: Path, tmp_path: Path) -> None:
    items = Items(list(range(91)))
    for part, message in (("vectors", "has no text encoder"), ("quantiser", "has no quantiser")):
        shutil.copytree(folder, tmp_path / part)
        shutil.rmtree(tmp_path / part / part)
        with pytest.raises(ArtefactError, match=message):
            extend_semantic_ids(tmp_path / part, items)
