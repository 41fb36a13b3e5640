import numpy as np
import pytest

from agentrec.metrics.lists import list_blocks, ratio, row_blocks


@pytest.mark.parametrize(("rows", "width", "cells"), [(0, 3, 10), (7, 3, 10), (7, 3, 2), (5, 0, 100), (6, 2, 12)])
def test_blocks_cover_every_row_once_and_stay_small(rows, width, cells):
    blocks = list(row_blocks(rows, width, cells=cells))
    assert [row for block in blocks for row in range(rows)[block]] == list(range(rows))
    assert all((block.stop - block.start) * width <= max(cells, width) for block in blocks)


def test_blocks_of_lists_hold_the_first_places_as_int64():
    items = np.arange(12, dtype=np.int32).reshape(4, 3)
    blocks = list(list_blocks(items, 2, 12))
    assert np.concatenate([block for _, block in blocks]).tolist() == items[:, :2].tolist()
    assert blocks[0][1].dtype == np.int64


def test_a_ratio_to_nothing_is_undefined():
    np.testing.assert_array_equal(ratio(np.array([1.0, 0.0]), np.array([0.0, 2.0])), [np.nan, 0.0])


@pytest.mark.parametrize(
    ("items", "k", "message"),
    [
        (np.zeros(3, int), 1, r"shape \(3,\)"),
        (np.zeros((2, 2)), 1, "type float64"),
        (np.zeros((2, 2), int), 0, "k is 0; expected 1 or more"),
        (np.array([[0, 5]]), 2, "item 5 is unknown among 5 items; expected 0 to 4"),
        (np.array([[0, -2]]), 2, "item -2 is unknown"),
    ],
)
def test_what_is_no_table_of_lists_is_refused(items, k, message):
    with pytest.raises(ValueError, match=message):
        list(list_blocks(items, k, 5))
