"""RecBole's benchmark files: the held-out rows are those of the files, whatever form they have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import DataError
from agentrec.core.errors import DataWarning as Warned
from agentrec.data.load import load_dataset
from agentrec.data.recbole_split import load_recbole_split
from agentrec.data.split import leave_one_out
from agentrec.models.transitions import Transitions

TIMED = "user_id:token\titem_id:token\ttimestamp:float\n"
UNTIMED = "user_id:token\titem_id:token\n"
LISTS = "user_id:token\titem_id_list:token_seq\titem_id:token\n"


def write(folder, header, *parts, name="toy", suffixes=("train", "valid", "test")):
    folder.mkdir(exist_ok=True)
    for suffix, rows in zip(suffixes, parts, strict=True):
        lines = ["\t".join(str(value) for value in row) for row in rows]
        (folder / f"{name}.{suffix}.inter").write_text(header + "".join(f"{line}\n" for line in lines), "utf-8")
    return folder


def in_ids(benchmark, part):
    """User -> (history, target) in the source's ids."""
    held, ids, users = benchmark.split.reveal(part), benchmark.dataset.catalogue.ids, benchmark.dataset.user_ids
    rows = zip(held.histories.users.tolist(), held.histories, held.targets.tolist(), strict=True)
    return {users[user]: ("".join(ids[item] for item in history), ids[target]) for user, history, target in rows}


def training(benchmark):
    train, ids, users = benchmark.split.train, benchmark.dataset.catalogue.ids, benchmark.dataset.user_ids
    return {users[u]: "".join(ids[i] for i in row) for u, row in zip(train.users.tolist(), train, strict=True)}


def test_plain_rows(tmp_path):
    train = [("u", "b", 2), ("v", "a", 1), ("u", "a", 1), ("w", "c", 1)]
    found = load_recbole_split(write(tmp_path, TIMED, train, [("u", "c", 3), ("v", "b", 2)], [("u", "d", 4)]))
    assert training(found) == {"u": "ab", "v": "a", "w": "c"}
    assert in_ids(found, "validation") == {"u": ("ab", "c"), "v": ("a", "b")}
    assert in_ids(found, "test") == {"u": ("abc", "d")}
    assert (found.dataset.name, found.split.method, len(found.dataset.interactions)) == ("toy", "given", 7)
    assert found.split.summary()["form"] == "plain rows"
    Transitions.fit(found.split.train, found.split.num_items).recommend(found.split.reveal("test").histories, 3)


def test_the_files_of_a_leave_one_out_split_give_that_split(tmp_path):
    """Written from our own split of one file, the three files give the same histories and targets back."""
    sequences = {"u": "abcde", "v": "cda", "w": "bb"}
    rows = {user: [(user, item, place) for place, item in enumerate(row)] for user, row in sequences.items()}
    folder = tmp_path / "whole"
    folder.mkdir()
    lines = [f"{user}\t{item}\t{place}\n" for part in rows.values() for user, item, place in part]
    (folder / "toy.inter").write_text(TIMED + "".join(lines), "utf-8")
    whole = load_dataset(folder)
    expected = leave_one_out(whole)
    train = [row for user, part in rows.items() for row in (part[:-2] if len(part) >= 3 else part)]
    valid, test = ([part[-cut] for part in rows.values() if len(part) >= 3] for cut in (2, 1))
    found = load_recbole_split(write(tmp_path / "parts", TIMED, train, valid, test))
    for part in ("validation", "test"):
        assert in_ids(found, part) == in_ids(type(found)(whole, expected), part)
    assert training(found) == training(type(found)(whole, expected))


def test_items_and_other_suffixes(tmp_path):
    folder = write(tmp_path, TIMED, [("u", "a", 1)], [("u", "b", 2)], [("u", "c", 3)], suffixes=("part1", "p2", "p3"))
    (folder / "toy.item").write_text("item_id:token\ttitle:token_seq\nc\tSea\na\tAye\nb\tBee\nz\tNever\n", "utf-8")
    found = load_recbole_split(folder, suffixes=("part1", "p2", "p3"))
    assert found.dataset.catalogue.titles == ("Sea", "Aye", "Bee", "Never")
    assert in_ids(found, "test") == {"u": ("ab", "c")}
    with pytest.raises(DataError, match=r"these files \*\.train\.inter: none; expected exactly one"):
        load_recbole_split(folder)


def test_rows_without_times_keep_the_order_of_the_files(tmp_path):
    folder = write(tmp_path, UNTIMED, [("u", "b"), ("v", "a"), ("u", "a")], [("u", "c")], [("u", "d"), ("v", "c")])
    with pytest.warns(Warned, match="has no times; the rows of each user keep the order of the files"):
        found = load_recbole_split(folder)
    assert in_ids(found, "test") == {"u": ("bac", "d"), "v": ("a", "c")}
    assert not found.dataset.interactions.has_timestamps


def test_users_without_history_and_with_several_targets(tmp_path):
    test = [("u", "c", 9), ("u", "d", 8), ("new", "a", 1)]
    folder = write(tmp_path, TIMED, [("u", "a", 1)], [("u", "b", 2)], test)
    with pytest.raises(DataError, match=r"1 users have several test rows, for example 'u' with 2; .*several='first'"):
        load_recbole_split(folder)
    first, last = (load_recbole_split(folder, several=several) for several in ("first", "last"))
    assert in_ids(first, "test") == {"u": ("ab", "d")}
    assert in_ids(last, "test") == {"u": ("ab", "c")}
    notes = last.split.summary()
    assert (notes["test_rows_left_out"], notes["test_users_without_history"]) == (1, 1)


def test_overlaps_are_refused(tmp_path):
    folder = write(tmp_path, TIMED, [("u", "a", 1), ("u", "b", 2)], [("u", "c", 3)], [("u", "b", 2)])
    with pytest.raises(DataError, match=r"another file at line 2 of toy\.test\.inter \(1 such rows\); expected held"):
        load_recbole_split(folder)
    again = write(tmp_path, TIMED, [("u", "a", 1), ("u", "b", 2)], [("u", "c", 3)], [("u", "b", 4)])
    assert in_ids(load_recbole_split(again), "test") == {"u": ("abc", "b")}  # bought again: not the same row
    untimed = write(tmp_path, UNTIMED, [("u", "a"), ("u", "b")], [("u", "c")], [("u", "b")])
    with pytest.warns(Warned, match="no times"), pytest.raises(DataError, match="repeats an interaction"):
        load_recbole_split(untimed)


def test_a_split_that_is_not_by_time_is_named(tmp_path):
    folder = write(tmp_path, TIMED, [("u", "a", 1), ("u", "b", 5)], [("u", "c", 3)], [("u", "d", 6)])
    with pytest.warns(Warned, match="1 of 1 validation targets .* older than rows of their history; .* the future"):
        load_recbole_split(folder)


def test_the_sequential_form(tmp_path):
    """Growing windows, then sliding ones (three items at most), as RecBole augments them."""
    train = [("u", "a", "b"), ("u", "a b", "c"), ("u", "a b c", "d"), ("u", "b c d", "a"), ("v", "c", "d")]
    valid = [("u", "c d a", "b"), ("v", "c d", "e")]
    test = [("u", "d a b", "f"), ("v", "c d e", "a"), ("new", "a f", "b"), ("empty", "", "b")]
    found = load_recbole_split(write(tmp_path, LISTS, train, valid, test))
    assert training(found) == {"u": "abcda", "v": "cd"}
    assert in_ids(found, "validation") == {"u": ("cda", "b"), "v": ("cd", "e")}
    assert in_ids(found, "test") == {"u": ("dab", "f"), "v": ("cde", "a"), "new": ("af", "b")}
    assert found.split.summary()["test_users_without_history"] == 1
    ids, users = found.dataset.catalogue.ids, found.dataset.user_ids
    whole = {users[u]: "".join(ids[i] for i in row) for u, row in enumerate(found.dataset.histories())}
    assert whole == {"u": "abcdabf", "v": "cdea", "new": "afb", "empty": "b"}


distinct = st.permutations("abcdefgh").flatmap(lambda row: st.integers(4, 8).map(lambda cut: "".join(row[:cut])))
repeating = st.text("abc", min_size=4, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.tuples(st.lists(distinct, min_size=1, max_size=4), st.integers(1, 8)),
        st.tuples(st.lists(repeating, min_size=1, max_size=4), st.just(12)),
    )
)
def test_windows_are_put_together_again(tmp_path_factory, case):
    """RecBole's augmentation (windows of at most `longest` items) is undone; items repeat only in whole windows."""
    sequences, longest = case
    windows = [
        [(f"u{user}", " ".join(row[max(0, end - longest) : end]), row[end]) for end in range(1, len(row))]
        for user, row in enumerate(sequences)
    ]
    parts = [[row for rows in windows for row in rows[:-2]], [r[-2] for r in windows], [r[-1] for r in windows]]
    found = load_recbole_split(write(tmp_path_factory.mktemp("windows"), LISTS, *parts))
    assert training(found) == {f"u{user}": row[:-2] for user, row in enumerate(sequences)}
    assert in_ids(found, "test") == {
        f"u{user}": (row[max(0, len(row) - 1 - longest) : -1], row[-1]) for user, row in enumerate(sequences)
    }
    ids = found.dataset.catalogue.ids
    assert ["".join(ids[item] for item in row) for row in found.dataset.histories()] == sequences


def test_broken_sequential_files_are_refused(tmp_path):
    valid, test = [("u", "a b", "c")], [("u", "a b c", "d")]

    def load(train, valid=valid, test=test, **options):
        return load_recbole_split(write(tmp_path, LISTS, train, valid, test), **options)

    with pytest.raises(DataError, match=r"rows of user 'u' that are not windows of one sequence \(x before y\)"):
        load([("u", "a", "b"), ("u", "x", "y")])
    with pytest.raises(DataError, match=r"toy\.valid\.inter repeats a row of another file: user 'u' with item 'c'"):
        load([("u", "a", "b"), ("u", "a b", "c")])
    with pytest.raises(DataError, match="training sequence of user 'u' contains the history and the target of its val"):
        load([("u", "z a b", "c")], valid=[("u", "a b", "c")])
    with pytest.raises(DataError, match="user 'u' has 2 test rows; expected one target per user"):
        load([("u", "a", "b")], test=[("u", "a b c", "d"), ("u", "a b c d", "e")])
    longest = load([("u", "a", "b")], test=[("u", "a b c", "d"), ("u", "a b c d", "e")], several="last")
    assert in_ids(longest, "test") == {"u": ("abcd", "e")}
    with pytest.raises(DataError, match="has an empty id at line 2"):
        load([("u", "a", "")])
    write(tmp_path, TIMED, [("u", "a", 1)], [("u", "b", 2)], [("u", "c", 3)])
    (tmp_path / "toy.valid.inter").write_text(LISTS + "u\ta\tb\n", "utf-8")
    with pytest.raises(DataError, match=r"only some of the files .* have item_id_list"):
        load_recbole_split(tmp_path)


def test_missing_files_are_named(tmp_path):
    write(tmp_path, TIMED, [("u", "a", 1)], [("u", "b", 2)], [("u", "c", 3)])
    with pytest.raises(DataError, match="so read them as a ready-made split with load_recbole_split"):
        load_dataset(tmp_path)
    (tmp_path / "toy.valid.inter").unlink()
    with pytest.raises(DataError, match=r"lacks toy\.valid\.inter; expected training, validation and test files"):
        load_recbole_split(tmp_path / "toy.train.inter")
    write(tmp_path, TIMED, [("u", "a", 1)], [("new", "b", 2)], [("u", "c", 3)])
    with pytest.raises(DataError, match="the validation part of 'toy' has no users"):
        load_recbole_split(tmp_path)
