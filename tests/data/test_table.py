"""Tables of every kind become a valid data set or one clear sentence."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError, DataWarning
from agentrec.data.dataset import Dataset
from agentrec.data.table import from_frames, load_table


def written(folder: Path, text: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(folder: Path, text: str | bytes, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load_table(written(folder, text), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_ids_survive_exactly(tmp_path):
    users = ["007", " a b ", "🙂", "7", "1.0", "NA", "None", 'say "hi"', "semi;colon", "a\nb"]
    frame = pd.DataFrame({"user_id": users, "item_id": users[::-1], "position": range(10)})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    data = load_table(tmp_path / "rows.csv")
    assert data.user_ids == tuple(users)
    assert data.catalogue.ids == tuple(users[::-1])
    assert data.name == "rows"
    assert not data.interactions.has_timestamps


def test_numbers_as_ids_have_no_decimals(tmp_path):
    frame = pd.DataFrame({"user": [1, 2, 2**53 + 1], "item": [1.0, 2.0, 2.5], "timestamp": [1.5, 2.0, 3.0]})
    frame.to_parquet(tmp_path / "rows.parquet")
    data = load_table(tmp_path / "rows.parquet")
    assert data.user_ids == ("1", "2", str(2**53 + 1))
    assert data.catalogue.ids == ("1", "2", "2.5")
    assert data.interactions.order.tolist() == [1.5, 2.0, 3.0]
    assert data.interactions.has_timestamps


@pytest.mark.parametrize(
    "header",
    ["user_id,item_id,timestamp", "userId,movieId,time", "reviewerID,asin,unixReviewTime", "USER ID,Product,date",
     "user_id\titem_id\ttimestamp", "customer;sku;ts"],
)  # fmt: skip
def test_usual_names_and_delimiters_are_recognised(tmp_path, header):
    delimiter = next(mark for mark in "\t;," if mark in header)
    text = "\n".join([header, delimiter.join("ab3"), delimiter.join("cd1")])
    data = load_table(written(tmp_path, text))
    assert (data.user_ids, data.catalogue.ids) == (("a", "c"), ("b", "d"))
    assert data.interactions.has_timestamps


def test_columns_can_be_named(tmp_path):
    path = written(tmp_path, "who,what,when,stars,user\na,x,2,4,zzz\na,y,1,5,zzz\n")
    columns = {"user": "who", "item": "what", "timestamp": "when"}
    data = load_table(path, columns=columns)
    assert data.user_ids == ("a",)
    assert data.histories()[0].tolist() == [1, 0]
    assert data.interactions.ratings is not None
    assert data.interactions.ratings.tolist() == [5.0, 4.0]
    assert load_table(path, columns={**columns, "rating": ""}).interactions.ratings is None
    with pytest.raises(ConfigError, match="no setting 'who'"):
        load_table(path, columns={"who": "user"})
    message = refused(tmp_path, "who,what,when\na,x,2\n", columns={"user": "nobody"})
    assert "'nobody'" in message
    assert "'who', 'what', 'when'" in message


def test_items_come_first_in_their_own_order(tmp_path):
    path = written(tmp_path, "user,item,order\na,x,0\na,new,1\nb,😀,2\n")
    items = written(tmp_path, "id,title\n", "items.csv")
    items.write_text("item_id,asin,name,brand\nz,B1,Zed,\nx,B2,Ex,acme\n", encoding="utf-8")
    with pytest.warns(DataWarning, match=r"2 of 3 items .* for example 'new'"):
        data = load_table(path, items)
    assert data.catalogue.ids == ("z", "x", "new", "😀")
    assert data.catalogue.columns == {"title": ("Zed", "Ex", "", ""), "brand": ("", "acme", "", "")}
    with pytest.warns(DataWarning, match="2 of 3"):
        chosen = load_table(path, items, columns={"texts": "asin"})
    assert list(chosen.catalogue.columns) == ["title", "asin"]


def test_iso_dates_are_times(tmp_path):
    text = "user,item,date\na,x,2024-01-02T00:00:00Z\na,y,2024-01-01\na,z,2024-01-01 12:00:00+01:00\n"
    data = load_table(written(tmp_path, text))
    assert data.interactions.order.tolist() == [1704067200, 1704106800, 1704153600]
    fine = load_table(written(tmp_path, "user,item,date\na,x,2024-01-01T00:00:00.25\n"))
    assert fine.interactions.order.tolist() == [1704067200.25]
    for resolution in ("ns", "us", "s"):
        frame = pd.DataFrame({"user": ["a"], "item": ["x"], "time": pd.to_datetime(["2024-01-01"]).as_unit(resolution)})
        frame.to_parquet(tmp_path / "rows.parquet")
        assert load_table(tmp_path / "rows.parquet").interactions.order.tolist() == [1704067200]


def test_large_times_stay_exact(tmp_path):
    moments = [2**62 + 1, 2**62]
    data = load_table(written(tmp_path, f"user,item,time\na,x,{moments[0]}\na,y,{moments[1]}\n"))
    assert data.interactions.order.tolist() == moments[::-1]


def test_byte_order_mark_and_windows_lines(tmp_path):
    data = load_table(written(tmp_path, b"\xef\xbb\xbfuser,item,order\r\na,x,0\r\n\r\nb,y,1\r\n"))
    assert data.user_ids == ("a", "b")


def test_other_encodings_are_asked_for(tmp_path):
    text = "user,item,order\nå,x,0\n".encode("latin-1")
    assert "latin-1" in refused(tmp_path, text)
    assert load_table(written(tmp_path, text), encoding="latin-1").user_ids == ("å",)
    assert "klingon" in refused(tmp_path, text, encoding="klingon")


HEADER = "user,item,order\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        (HEADER, ["holds no rows"]),
        ("user,item\na,x\n", ["no column for the timestamp or order", "'user', 'item'"]),
        ("a,b,c\n1,2,3\n", ["no column for the user", "'a', 'b', 'c'"]),
        ("user_id,userId,item,order\n1,2,3,4\n", ["'user_id', 'userId'", "which is meant"]),
        ("user,user,item,order\n1,2,3,4\n", ["'user' twice"]),
        (HEADER + "a,x,0\nb,y,abc\n", ["'abc'", "line 3", "whole numbers"]),
        (HEADER + "a,x,0\nb,y,1.5\nc,z,2.5\n", ["'1.5'", "line 3", "2 such rows"]),
        (HEADER + "a,x,0\n\n\nb,,1\n", ["an empty value", "'item'", "line 5"]),
        (HEADER + '"a\nb",x,0\n,y,1\n', ["an empty value", "'user'", "line 4"]),
        (HEADER + "a,x,0\nNaN,y,1\nnan,y,2\n", ["a missing value", "line 3", "2 such rows"]),
        (HEADER + "a,x,\n", ["'order'", "line 2"]),
        (HEADER + "a,x\n", ["'order'", "line 2"]),
        (HEADER + "a,x,0,9\n", ["more values than columns"]),
        (HEADER + "a,x,0\na,x,0,9\n", ["line 3", "regular table"]),
        (HEADER + 'a,"x,0\n', ["regular table"]),
        (HEADER + "a,x,1\nb,x,1\na,x,1\n", ["repeats user 'a' with item 'x'", "line 4", 'duplicates="drop"']),
        (HEADER + "a,x,99999999999999999999\n", ["'99999999999999999999'"]),
        ("user,item,time\na,x,nan\n", ["a missing value", "'time'"]),
        ("user,item,time\na,x,inf\n", ["'inf'"]),
        ("user,item,time\na,x,now\n", ["'now'", "ISO dates"]),
        ("user,item,time\na,x,2024-01-01\nb,x,yesterday\n", ["'yesterday'", "line 3", "ISO dates"]),
        ("user,item,time\na,x,2024-13-01\n", ["'2024-13-01'", "line 2"]),
        ("user,item,time,rating\na,x,1,good\n", ["'good'", "ratings"]),
        ("user,item,time,rating\na,x,1,1e300\n", ["'1e300'", "ratings"]),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(tmp_path, text, parts):
    message = refused(tmp_path, text)
    assert str(tmp_path / "rows.csv") in message
    for part in parts:
        assert part in message


def test_numbers_too_long_to_print_are_refused():
    for column in ("user", "order", "title"):
        frame = pd.DataFrame({"user": ["a"], "item": ["x"], "order": [1], "title": ["t"]}).astype(object)
        frame[column] = pd.Series([10**5000], dtype=object)
        with pytest.raises(DataError, match="more than sixty digits"):
            from_frames(frame, frame[["item", "title"]])


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_table(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"interactions\.csv does not exist"):
        load_table(tmp_path)
    with pytest.raises(DataError, match="no Parquet file"):
        load_table(written(tmp_path, "not parquet", "rows.parquet"))
    items = written(tmp_path, "item,title\nx,1\ny,2\nx,3\n", "items.csv")
    with pytest.raises(DataError, match=r"item 'x' again at line 4 \(1 such rows\)"):
        load_table(written(tmp_path, HEADER + "a,x,0\n"), items)
    with pytest.raises(ConfigError, match="duplicates is 'keep'"):
        load_table(written(tmp_path, HEADER + "a,x,0\n"), duplicates="keep")
    with pytest.raises(DataError, match="named for two roles"):
        load_table(written(tmp_path, HEADER + "a,x,0\n"), columns={"item": "user"})


def test_duplicates_can_be_dropped(tmp_path):
    text = HEADER + "a,x,1\na,y,1\na,x,1\na,x,2\n"
    data = load_table(written(tmp_path, text), duplicates="drop")
    assert data.histories()[0].tolist() == [0, 1, 0]


# Random tables: whatever comes, a valid data set or one sentence.

odd_values = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.just(10**100),
    st.floats(),
    st.booleans(),
    st.text(max_size=6),
    st.sampled_from(
        ["", "007", "NaN", "😀", "a b", "1.0", "2024-01-01", "2024-05-31T10:00:00", "-3", "1e3", "a,b", '"', "x\ry"]
    ),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.datetimes().map(pd.Timestamp),
    st.just(pd.NA),
    st.just(pd.NaT),
    st.just(1j),
)
plain_values = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b", "😀", "007"]))
names = st.sampled_from(
    ["user", "item", "order", "timestamp", "rating", "title", "user_id", "userId", "x", "", "😀", "line\nbreak"]
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 8))
    wanted = draw(st.sampled_from([["user", "item", "order"], ["user", "item", "timestamp", "rating"], []]))
    columns = [*wanted, *draw(st.lists(names, max_size=3))]
    kinds = {"order": st.integers(0, 9), "timestamp": st.floats(0, 9), "rating": st.floats(0, 5)}
    data = []
    for name in columns:
        tidy = draw(st.integers(0, 3)) > 0
        values = kinds.get(name, plain_values) if tidy else odd_values
        data.append(pd.Series(draw(st.lists(values, min_size=rows, max_size=rows)), dtype=None if tidy else object))
    frame = pd.concat(data, axis=1) if data else pd.DataFrame(index=range(rows))
    frame.columns = pd.Index(columns, dtype=object)
    if rows and draw(st.booleans()):
        frame = pd.concat([frame, frame.iloc[:1]])
    if draw(st.integers(0, 5)) == 0:
        with contextlib.suppress(TypeError, ValueError):  # pandas cannot cast everything either
            frame = frame.astype(draw(st.sampled_from(["category", "string", "object"])))
    return frame


def assert_valid(data: Dataset, frame: pd.DataFrame) -> None:
    rows = data.interactions
    assert 0 < len(rows) <= len(frame)
    assert rows.users.dtype == rows.items.dtype == np.int64
    assert set(rows.users.tolist()) == set(range(data.num_users))
    assert rows.items.min() >= 0
    assert rows.items.max() < data.num_items
    pairs = list(zip(rows.users.tolist(), rows.order.tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert all(not isinstance(moment, float) or math.isfinite(moment) for _, moment in pairs)
    column = next(name for name in ("user_id", "userId", "user") if name in frame.columns)
    given_users = {str(value) for value in frame[column] if isinstance(value, (str, int))}
    assert given_users <= set(data.user_ids)
    assert len(set(data.user_ids)) == data.num_users
    assert isinstance(data.fingerprint, str)


def outcome(load) -> Dataset | None:
    """Load, tolerating our own warning and our own error, which must be one sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DataWarning)
        try:
            return load()
        except DataError as error:
            message = str(error)
    assert message.strip()
    assert len(message.splitlines()) == 1, message
    return None


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames(), st.sampled_from(["error", "drop"]))
def test_random_frames_load_or_are_refused(frame, duplicates):
    data = outcome(lambda: from_frames(frame, duplicates=duplicates))
    if data is not None:
        assert_valid(data, frame)
    outcome(lambda: from_frames(pd.DataFrame({"user": ["a"], "item": ["a"], "order": [0]}), frame))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames(), st.sampled_from(["error", "drop"]))
def test_random_csv_files_load_or_are_refused(tmp_path, frame, duplicates):
    buffer = io.StringIO()
    try:
        frame.to_csv(buffer, index=False)
        text = buffer.getvalue().encode()
    except UnicodeEncodeError:
        return
    path = written(tmp_path, text)
    data = outcome(lambda: load_table(path, duplicates=duplicates))
    if data is not None:
        assert 0 < len(data.interactions) <= len(frame)
        column = next(name for name in ("user_id", "userId", "user") if name in frame.columns)
        assert {value for value in frame[column] if isinstance(value, str)} <= set(data.user_ids)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.binary(max_size=60) | st.text(alphabet='user,itemord\n"\r\t;0 1ab', max_size=60).map(str.encode), st.booleans()
)
@example(b'user,item,order\n"a', True)
@example(b"\x00", False)
@example(b"user,item,order\na\x00b,x,1\n", False)
def test_random_bytes_load_or_are_refused(tmp_path, noise, with_header):
    path = written(tmp_path, (HEADER.encode() if with_header else b"") + noise)
    data = outcome(lambda: load_table(path))
    if data is not None:
        data.save_pretrained(tmp_path / "saved")
        assert Dataset.from_pretrained(tmp_path / "saved").fingerprint == data.fingerprint
