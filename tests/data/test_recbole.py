"""RecBole's atomic files."""

from __future__ import annotations

import pytest

from agentrec.core.errors import DataError
from agentrec.data.load import load_dataset
from agentrec.data.recbole import load_recbole

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
INTER = HEADER + 'u1\t007\t4.5\t1.26e9\nu1\tb\t3\t12.5\n"u2\tb\t1\t3\n'
ITEM = 'item_id:token\tmovie_title:token_seq\tclass:token_seq\nb\tThe "Big" one\tdrama war\n007\tBond\tspy\n'


def test_folders_load(tmp_path):
    (tmp_path / "tiny.inter").write_text(INTER, encoding="utf-8")
    (tmp_path / "tiny.item").write_text(ITEM, encoding="utf-8")
    data = load_dataset(tmp_path)
    assert data.name == "tiny"
    assert data.user_ids == ("u1", '"u2')
    assert data.catalogue.ids == ("b", "007")
    assert data.catalogue.columns == {"title": ('The "Big" one', "Bond"), "class": ("drama war", "spy")}
    assert [row.tolist() for row in data.histories()] == [[0, 1], [0]]
    assert data.interactions.order.tolist() == [12.5, 1.26e9, 3.0]
    assert data.interactions.ratings is not None
    assert load_dataset(tmp_path / "tiny.inter").fingerprint == data.fingerprint


def test_broken_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"\.inter files: none; expected exactly one"):
        load_recbole(tmp_path)
    (tmp_path / "tiny.inter").write_text("user_id\titem_id:token\nu\ti\n", encoding="utf-8")
    with pytest.raises(DataError, match="column 'user_id'; expected name:type"):
        load_recbole(tmp_path)
    (tmp_path / "tiny.inter").write_text("user_id:token\titem_id:token\nu\ti\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column for the timestamp or order"):
        load_recbole(tmp_path)
    (tmp_path / "tiny.inter").write_text(INTER + "u3\t\t1\t1\n", encoding="utf-8")
    with pytest.raises(DataError, match="'item_id' at line 5"):
        load_recbole(tmp_path)
    (tmp_path / "other.inter").write_text(INTER, encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.inter, tiny\.inter; expected exactly one"):
        load_recbole(tmp_path)
