"""Parts of a catalogue."""

import numpy as np

from agentrec.core.types import Catalogue


def test_a_part_of_a_catalogue_keeps_texts_with_their_items():
    whole = Catalogue(("a", "b", "c"), {"title": ("A", "", "C"), "brand": ("x", "y", "z")})
    part = whole.take(np.array([2, 0]))
    assert part == Catalogue(("c", "a"), {"title": ("C", "A"), "brand": ("z", "x")})
    assert part.titles == ("C", "A")
    assert len(whole.take(np.zeros(0, np.int64))) == 0
