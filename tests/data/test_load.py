"""One door for every source, and real data behind it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentrec.core.errors import ConfigError, DataError
from agentrec.data.load import load_dataset
from agentrec.data.split import leave_one_out

TABLE = "user,item,order\na,x,0\na,y,1\nb,x,2\n"


def test_folders_of_tables_load_and_save(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "interactions.csv").write_text(TABLE, encoding="utf-8")
    (folder / "items.csv").write_text("item,title\ny,Why\nx,Ex\n", encoding="utf-8")
    data = load_dataset(folder)
    assert (data.name, data.catalogue.titles) == ("mine", ("Why", "Ex"))
    other = tmp_path / "other.csv"
    other.write_text("item,title\nx,First\ny,Second\n", encoding="utf-8")
    assert load_dataset(folder, items=other, name="named").catalogue.titles == ("First", "Second")
    data.save_pretrained(tmp_path / "saved")
    assert load_dataset(tmp_path / "saved").fingerprint == data.fingerprint
    assert load_dataset(str(tmp_path / "saved"), format="saved").fingerprint == data.fingerprint


def test_formats_can_be_forced(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(TABLE, encoding="utf-8")
    with pytest.raises(DataError, match="not JSON at line 1"):
        load_dataset(path)
    assert load_dataset(path, format="table").num_users == 2


def test_unusable_sources_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist; expected .*'shop' or one of movielens-100k"):
        load_dataset("nowhere")
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=r"holds notes\.txt; expected a saved data set, interactions\.csv"):
        load_dataset(tmp_path)
    with pytest.raises(ConfigError, match="format is 'excel'"):
        load_dataset(tmp_path, format="excel")
    with pytest.raises(ConfigError, match="items is given, but shop is read as 'shop'"):
        load_dataset("shop", items="items.csv")


def real(name: str) -> Path:
    root = os.environ.get("AGENTREC_DATA")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"AGENTREC_DATA names no folder that holds {name}")
    return Path(root) / name


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "users", "items", "interactions"),
    [("amazon_scientific", 8317, 4344, 58492), ("amazon_beauty", 22363, 12101, 198502)],
)
def test_amazon_tables_load(name, users, items, interactions):
    data = load_dataset(real(name))
    assert (data.num_users, data.num_items, len(data.interactions)) == (users, items, interactions)
    assert data.name == name
    assert "title" in data.catalogue.columns
    assert len(data.require_texts()) == items
    split = leave_one_out(data)
    assert len(split.reveal("test")) == users
    assert len(split.train.items) == interactions - 2 * users


@pytest.mark.data
def test_movielens_small_loads():
    data = load_dataset(real("movielens_small"))
    assert (data.num_users, data.num_items, len(data.interactions)) == (671, 9125, 100004)
    assert data.interactions.has_timestamps
    assert data.catalogue.texts()[0] == "Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy"
