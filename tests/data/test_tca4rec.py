"""TCA4Rec's files: rows are sequences of their own, parts stay apart, and mistakes are named by line."""

import os
from pathlib import Path

import pytest

from agentrec.core.errors import DataError
from agentrec.data.tca4rec import load_tca4rec

ITEMS = "iid,title,brand\n1,one,a\n2,two,a\n3,three,b\n4,four,b\n"
HEAD = "uid,iid,his_len,hist_id\n"


def write(folder: Path, **parts: str) -> Path:
    files = {
        "train": '7,3,2,"[1, 2]"\n7,4,2,"[2, 3]"\n8,1,2,"[4, 4]"\n',
        "valid": '7,1,2,"[3, 4]"\n',
        "test": '9,2,1,"[3]"\n',
        **parts,
    }
    for part, rows in files.items():
        (folder / f"{part}_{rows.count(chr(10))}.csv").write_text(HEAD + rows)
    (folder / "item.csv").write_text(ITEMS)
    return folder


def test_every_row_is_a_sequence_of_its_own(tmp_path):
    dataset, split = load_tca4rec(write(tmp_path))
    names = dataset.catalogue.ids
    assert [[names[item] for item in row] for row in split.train] == [["1", "2", "3"], ["2", "3", "4"], ["4", "4", "1"]]
    assert dataset.catalogue.titles[names.index("3")] == "three"
    held = split.reveal("validation")
    assert [[names[item] for item in row] for row in held.histories] == [["3", "4"]]
    assert [names[item] for item in split.reveal("test").targets] == ["2"]
    assert not set(held.histories.users) & set(split.train.users)
    assert split.summary()["valid_targets_of_training"] == 1  # user 7 has item 1 in a training row
    assert split.summary()["test_targets_of_training"] == 0


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"train": '7,3,2,"[1, 9]"\n'}, r"names the item '9' at line 2, which item\.csv does not hold"),
        ({"test": "7,3,2,1 2\n"}, "has the history '1 2' at line 2; expected item ids in brackets"),
        ({"valid": '7,3,2,"[]"\n'}, r"has the history '\[\]' at line 2"),
    ],
)
def test_mistakes_are_named(tmp_path, parts, words):
    with pytest.raises(DataError, match=words):
        load_tca4rec(write(tmp_path, **parts))


def test_a_missing_file_and_a_missing_column_are_named(tmp_path):
    folder = write(tmp_path)
    (folder / "item.csv").write_text("iid,name\n1,one\n")
    with pytest.raises(DataError, match=r"item\.csv has no column 'title'"):
        load_tca4rec(folder)
    (folder / "test_1.csv").unlink()
    (folder / "item.csv").write_text(ITEMS)
    with pytest.raises(DataError, match=r"has 0 files test_\*\.csv"):
        load_tca4rec(folder)


@pytest.mark.data
def test_the_toys_of_the_paper():
    root = os.environ.get("AGENTREC_DATA")
    if not root:
        pytest.skip("AGENTREC_DATA is not set")
    dataset, split = load_tca4rec(Path(root) / "tca4rec_toys")
    assert dataset.num_items == 20_669
    assert (len(split.train), len(split.reveal("validation")), len(split.reveal("test"))) == (10_000, 5_000, 5_000)
    assert set(split.train.lengths.tolist()) == {11}
    assert split.summary()["valid_targets_of_training"] < 10
