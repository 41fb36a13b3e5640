"""Everything that is wrong is reported, once, before anything is scored."""

import json
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import DataError, RecommenderError
from agentrec.core.types import Catalogue, Histories, Recommendations
from agentrec.data.dataset import Dataset, Interactions
from agentrec.evaluation.adapters.conformance import check_predictions, check_recommender
from agentrec.testing.worlds import tiny_world


def dataset(users=("7", "8", "9"), items=("a", "b", "c", "d", "e")):
    rows = Interactions.sort(np.arange(len(users)), np.arange(len(users)), np.zeros(len(users), np.int64))
    return Dataset("small", users, Catalogue(tuple(items)), rows)


GOOD = [("7", "d", 1), ("7", "e", 2), ("8", "e", 1), ("8", "a", 2), ("9", "b", 1), ("9", "c", 2)]
EVERYBODY = np.arange(3)


def check(tmp_path, rows, data=None, *, users=EVERYBODY, n=2, columns=("user", "item", "rank"), form="csv", **options):
    path = tmp_path / f"p.{form}"
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=list(columns))
    (frame.to_csv if form == "csv" else frame.to_parquet)(path, index=False)
    return check_predictions(path, data or dataset(), users, n, **options)


def only(report, kind, severity="error"):
    """The one problem of a report."""
    assert [(found.kind, found.severity) for found in report.problems] == [(kind, severity)], report.to_text()
    return report.problems[0]


def test_a_file_in_order_has_no_problems(tmp_path):
    for form in ("csv", "parquet"):
        report = check(tmp_path, GOOD, form=form)
        assert report.problems == ()
        assert report.to_text() == f"{tmp_path / f'p.{form}'}: 0 errors, 0 warnings"
        report.raise_if_errors()


PROBLEMS = [
    (
        [*GOOD, ("3", "a", 1)],
        "unknown_users",
        "names 1 unknown user in 1 row, for example '3'; expected user ids .*7",
    ),
    ([*GOOD, ("", "a", 1)], "unknown_users", "names 1 unknown user in 1 row, for example ''"),
    ([*GOOD, ("7", "z", 3)], "unknown_items", "names 1 unknown item in 1 row, for example 'z'; .* such as 'a'"),
    (GOOD[:4], "missing_users", r"has no predictions for 1 of 3 users, for example '9'; add them, .*--missing miss"),
    ([*GOOD, ("7", "d", 3)], "repeated_items", "repeats 1 pair of user and item, for example user '7' with item 'd'"),
    (
        [*GOOD, ("7", "a", 1)],
        "repeated_ranks",
        "repeats 1 rank, for example user '7' has rank 1 twice; .* each rank",
    ),
    (
        [*GOOD, ("7", "a", "nan")],
        "not_finite",
        "has 1 times a rank .* no finite number, .* 'nan' in data row 7",
    ),
    ([*GOOD, ("7", "a", "inf")], "not_finite", "for example 'inf' in data row 7"),
    ([*GOOD, ("7", "a", "")], "not_finite", "for example '' in data row 7"),
    ([*GOOD, ("7", "a", "first")], "not_finite", "for example 'first' in data row 7"),
    ([*GOOD, ("7", "A", 3)], "item_id_types", "in upper and lower case, for example 'A' for 'a'; .* write ids as in"),
    ([*GOOD, (" 7", "a", 3)], "user_id_types", "in spaces around them, for example ' 7' for '7'; .* without them"),
    ([*GOOD, ("7.0", "a", 3)], "user_id_types", r"decimals, for example '7.0' for '7'; .* without .0, .*dtype=str"),
]
WARNINGS = [
    ([*GOOD, ("7", "a", 5)], "rank_gaps", "has ranks with gaps for 1 user, for example user '7'; expected 1, 2, 3"),
    ([("7", "d", 2), ("7", "e", 3), *GOOD[2:]], "rank_gaps", "gaps for 1 user"),
    (GOOD[1:], "rank_gaps", "gaps for 1 user"),
    ([GOOD[0], *GOOD[2:]], "short_lists", "has fewer than 2 items for 1 of 3 users, for example user '7' with 1; what"),
]


@pytest.mark.parametrize(("rows", "kind", "message"), PROBLEMS)
def test_errors(tmp_path, rows, kind, message):
    report = check(tmp_path, rows)
    found = only(report, kind)
    assert report.errors == (found,)
    assert found.count == 1
    with pytest.raises(DataError, match=message):
        report.raise_if_errors()


@pytest.mark.parametrize(("rows", "kind", "message"), WARNINGS)
def test_warnings(tmp_path, rows, kind, message):
    report = check(tmp_path, rows, n=2 if kind == "short_lists" else 1)
    assert message in only(report, kind, "warning").sentence()
    report.raise_if_errors()


def test_ranks_may_begin_at_zero(tmp_path):
    assert check(tmp_path, [(user, item, rank - 1) for user, item, rank in GOOD]).problems == ()


def test_all_problems_are_collected(tmp_path):
    rows = [("7", "d", 1), ("7", "d", 2), ("7", "zz", 3), ("6", "a", 1), ("5", "a", 1), ("4", "a", 1), ("3", "a", "x")]
    report = check(tmp_path, rows)
    assert [found.kind for found in report.errors] == [
        "unknown_users",
        "unknown_items",
        "missing_users",
        "not_finite",
        "repeated_items",
    ]
    users = report.errors[0]
    assert (users.count, users.examples) == (4, ("'6'", "'5'", "'4'"))
    lines = report.to_text().splitlines()
    assert lines[0].endswith("p.csv: 5 errors, 0 warnings")
    assert lines[1].startswith("  error: names 4 unknown users in 4 rows, for example '6', '5', '4'; expected user ids")
    content = json.loads(json.dumps(report.to_json()))
    assert content["problems"][2]["kind"] == "missing_users"
    assert content["problems"][2]["examples"] == ["'8'", "'9'"]
    with pytest.raises(DataError, match=r"p\.csv has 5 problems: \(1\) names 4 .*\(5\) repeats 1 pair"):
        report.raise_if_errors()


def test_what_may_be_meant_is_a_warning(tmp_path):
    missing = only(check(tmp_path, GOOD[:4], missing="miss"), "missing_users", "warning")
    assert missing.remedy == "they count as missed"
    dropped = only(check(tmp_path, [*GOOD, ("7", "z", 3)], unknown_items="drop"), "unknown_items", "warning")
    assert dropped.remedy == "they are left out"


def test_an_empty_file(tmp_path):
    report = check(tmp_path, [], missing="miss")
    assert [found.kind for found in report.errors] == ["empty"]
    with pytest.raises(DataError, match="holds no rows; expected one row per user and item"):
        report.raise_if_errors()


def test_other_users_and_another_part(tmp_path):
    few = only(check(tmp_path, GOOD, users=np.array([0])), "other_users", "warning")
    assert (
        "has predictions for 2 users who are not evaluated, for example '8', '9'; they are left out" in few.sentence()
    )
    for missing in ("error", "miss"):
        report = check(tmp_path, GOOD[2:], users=np.array([0]), missing=missing)
        assert "has none of the 1 evaluated users, and 2 others of the data set" in only(report, "other_part").text
        with pytest.raises(DataError, match="check that they were made for the same part or split"):
            report.raise_if_errors()


def test_files_that_repeat_histories(tmp_path):
    histories = Histories.from_lists([[3, 4, 0], [4, 0], [1, 2]], [0, 1, 2])
    found = only(check(tmp_path, GOOD, users=histories), "history_only", "warning")
    assert "lists items of the users' own histories in 6 of 6 rows; expected items that may come" in found.sentence()
    assert check(tmp_path, GOOD, users=Histories.from_lists([[3], [4, 0], [1, 2]], [0, 1, 2])).problems == ()


@pytest.mark.parametrize(
    ("known", "written", "differs"),
    [
        (("1", "2", "3"), ("1.0", "2.0", "3.0"), "with or without decimals, for example '1.0' for '1'"),
        (("1", "2", "3"), ("1", "2.0", "3"), "with or without decimals, for example '2.0' for '2'"),
        (("1.0", "2.0", "3.0"), ("1", "2", "3"), "with or without decimals, for example '1' for '1.0'"),
        (("001", "020", "300"), ("1", "20", "300"), "in leading zeros, for example '1' for '001', '20' for '020'"),
        (("a", "b", "c"), ("a ", "b", "c"), "in spaces around them, for example 'a ' for 'a'"),
    ],
)
def test_ids_of_another_type(tmp_path, known, written, differs):
    report = check(tmp_path, list(zip(["7", "8", "9"], written, [1, 1, 1], strict=True)), dataset(items=known), n=1)
    found = next(found for found in report.errors if found.kind == "item_id_types")
    assert differs in found.sentence()
    assert "otherwise than the data set" in found.text


def test_numbers_in_parquet_are_ids_if_they_are_whole(tmp_path):
    data = dataset(items=("1", "2", "3", "4"))
    for numbers in ([1, 2, 3, 4, 1, 2], [1.0, 2.0, 3.0, 4.0, 1.0, 2.0]):
        rows = pd.DataFrame({"user": [7, 7, 8, 8, 9, 9], "item": numbers, "score": [2.0, 1, 2, 1, 2, 1]})
        assert check(tmp_path, rows, data, form="parquet").problems == ()
    rows["item"] = [1.5, 2.0, 3.0, 4.0, 1.0, 2.0]
    assert "'1.5'" in only(check(tmp_path, rows, data, form="parquet", n=1), "unknown_items").sentence()
    text = pd.DataFrame({"user": ["7"], "item": ["1.0"], "score": [1]})
    report = check(tmp_path, text, data, form="parquet", missing="miss")
    assert [found.kind for found in report.errors] == ["item_id_types"]


@pytest.mark.parametrize("ids", [("sku1", "sku2", "sku3"), ("101", "102", "103")])
def test_positions_instead_of_ids(tmp_path, ids):
    report = check(tmp_path, [("7", "0", 1), ("8", "2", 1), ("9", "1", 1)], dataset(items=ids), missing="miss")
    found = next(found for found in report.errors if "items" in found.text)
    assert found.kind == "item_indexes"
    assert "numbers from 0 to 3, which look like positions" in found.text
    assert f"expected item ids of the data set such as '{ids[0]}': write ids instead of positions" in found.remedy
    dropped = check(tmp_path, [("7", "0", 1)], dataset(items=ids), missing="miss", unknown_items="drop")
    assert "item_indexes" in [found.kind for found in dropped.errors]
    users = check(tmp_path, [("0", "sku1", 1)], dataset(("x", "y", "z"), ("sku1", "sku2", "sku3")), missing="miss")
    assert [found.kind for found in users.errors] == ["user_indexes"]


def test_scores(tmp_path):
    scored = [(user, item, 10.0 - rank) for user, item, rank in GOOD]
    columns = ("user", "item", "score")
    assert check(tmp_path, scored, columns=columns).problems == ()
    tied = [("7", "d", 0.5), ("7", "e", 0.5), *scored[2:]]
    assert (
        "has equal scores within the lists of 1 user, for example '7'"
        in only(check(tmp_path, tied, columns=columns), "ties", "warning").sentence()
    )
    both = [(*row, float(row[2])) for row in GOOD]
    against = only(check(tmp_path, both, columns=("user", "item", "rank", "score")), "ranks_and_scores", "warning")
    assert "has scores that contradict the ranks of 3 users" in against.text
    missing = [("7", "d", 0.5), ("7", "e", np.nan), ("7", "a", -np.inf), *scored[2:]]
    report = check(tmp_path, missing, columns=columns, form="parquet")
    assert (
        "has 2 times a score that is no finite number, for example None in data row 2, -inf in data row 3"
        in only(report, "not_finite").sentence()
    )


def test_lists_in_parquet(tmp_path):
    lists = [["d", "e"], ["e", "a"], ["b", "c"]]
    good = pd.DataFrame({"user": ["7", "8", "9"], "items": lists, "scores": [[2.0, 1.0]] * 3})
    assert check(tmp_path, good, form="parquet").problems == ()
    twice = pd.concat([good, pd.DataFrame({"user": ["7"], "items": [["a", "b"]], "scores": [[2.0, 1.0]]})])
    found = only(check(tmp_path, twice, form="parquet"), "repeated_ranks")
    assert "user '7' has rank 1 twice" in found.sentence()
    assert found.remedy == "expected every user in one row"
    uneven = good.assign(scores=[[2.0, 1.0], [1.0], [2.0, 1.0]])
    assert "2 items and 1 scores" in only(check(tmp_path, uneven, form="parquet"), "uneven_lists").sentence()
    repeated = good.assign(items=[["d", "d"], *lists[1:]])
    assert only(check(tmp_path, repeated, form="parquet"), "repeated_items").count == 1
    absent = good.assign(items=[None, *lists[1:]], scores=[None, [2.0, 1.0], [2.0, 1.0]])
    assert only(check(tmp_path, absent, form="parquet"), "missing_users").count == 1


@dataclass
class Odd:
    """The oracle of the tiny world, spoilt by ``change(items, histories)``."""

    change: object
    num_items: int = 24
    calls: list = field(default_factory=list)

    def recommend(self, histories, n, *, exclude_seen=False):
        self.calls.append(len(histories))
        answer = tiny_world().oracle().recommend(histories, n, exclude_seen=exclude_seen)
        return Recommendations(self.change(answer.items, self), answer.scores)


@pytest.fixture(scope="module")
def histories():
    return tiny_world().reveal("test").histories


def test_a_recommender_in_order(histories):
    odd = Odd(lambda items, _: items)
    report = check_recommender(odd, histories, 5, num_items=24, name="mine")
    assert report.problems == ()
    assert report.to_text() == "mine: 0 errors, 0 warnings"
    assert odd.calls == [8, 8, *[1] * 8]


def no_repeat(items, odd):
    return items[:, ::-1] if len(odd.calls) % 2 else items


def by_batch(items, _):
    return np.roll(items, 1, axis=1) if len(items) > 1 else items


@pytest.mark.parametrize(
    ("change", "kind", "severity", "message"),
    [
        (
            no_repeat,
            "not_repeatable",
            "warning",
            "answers 8 users of 8 differently when asked the same again",
        ),
        (by_batch, "depends_on_batch", "warning", "answers 8 users of 8 differently alone than among others"),
        (lambda items, _: items * 0, "contract", "error", "recommends item 0 more than once in row 0"),
        (lambda items, _: items + 99, "contract", "error", "expected item indexes 0 to 23"),
        (lambda items, _: items[:, :2], "contract", "error", "returned items of shape (8, 2)"),
        (lambda items, _: 1 / 0, "failure", "error", "raises ZeroDivisionError (division by zero)"),
    ],
)
def test_what_is_odd_about_a_recommender_is_reported(histories, change, kind, severity, message):
    report = check_recommender(Odd(change), histories, 3, name="mine")
    found = only(report, kind, severity)
    assert message in found.sentence()
    if severity == "error":
        with pytest.raises(RecommenderError, match=r"^mine (re|raises|expected)"):
            report.raise_if_errors()


def test_short_lists_and_another_catalogue(histories):
    report = check_recommender(Odd(lambda items, _: items), histories, 30, name="mine")
    assert (
        "answers 8 users of 8 with fewer than 30 items, for example 24 items for probe 0"
        in only(report, "short_lists", "warning").sentence()
    )
    other = check_recommender(Odd(lambda items, _: items), histories, 3, num_items=23, name="mine")
    assert "ranks 24 items, the split has 23" in only(other, "contract").text
    assert "expected a recommender" in only(check_recommender(object(), histories, 3, num_items=24), "contract").text
    nothing = check_recommender(object(), histories, 3)
    assert nothing.errors
    assert check_recommender(Odd(lambda items, _: items), histories.take(slice(0, 0)), 3).problems == ()
