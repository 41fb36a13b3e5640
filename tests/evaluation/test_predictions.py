import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import DataError
from agentrec.core.types import Catalogue, Histories
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.split import leave_one_out
from agentrec.evaluation.predictions import PredictionsFile
from agentrec.evaluation.run import evaluate


@pytest.fixture(scope="module")
def dataset():
    """Three users, five items; the test targets are d, e, a."""
    lists = {"7": "abcd", "8": "bcde", "9": "cdea"}
    rows = [
        (user, "abcde".index(item), place) for user, row in enumerate(lists.values()) for place, item in enumerate(row)
    ]
    users, items, order = (np.array(column) for column in zip(*rows, strict=True))
    return Dataset("small", list(lists), Catalogue(tuple("abcde")), Interactions.sort(users, items, order))


def write(path, rows, columns=("user", "item", "rank")):
    table = pd.DataFrame(rows, columns=list(columns))
    (table.to_csv if path.suffix == ".csv" else table.to_parquet)(path, index=False)
    return path


GOOD = [(7, "e", 2), (7, "d", 1), (8, "e", 1), (9, "b", 1), (9, "c", 5), (9, "a", 9)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("by_score", [False, True])
def test_lists_are_ordered_and_scored(dataset, tmp_path, suffix, by_score):
    rows = [(user, item, -rank / 3) for user, item, rank in GOOD] if by_score else GOOD
    columns = ("user_id", "item_id", "score" if by_score else "rank")
    split = leave_one_out(dataset)
    users = split.reveal("test").histories.users
    found = PredictionsFile.read(write(tmp_path / f"p{suffix}", rows, columns), dataset, users=users)
    assert found.recommend(split.reveal("test").histories, 3).items.tolist() == [[3, 4, -1], [4, -1, -1], [1, 2, 0]]
    result = evaluate({"file": found}, split, dataset=dataset, ks=(1, 3))
    assert result["file"]["recall@1"] == pytest.approx(2 / 3)
    assert result["file"]["recall@3"] == 1.0
    assert result.provenance["recommenders"]["file"]["missing_users"] == 0


def test_seen_items_are_left_out(dataset, tmp_path):
    found = PredictionsFile.read(write(tmp_path / "p.csv", GOOD), dataset)
    histories = Histories.from_lists([[3], [], [1, 0]], [0, 1, 2])
    answer = found.recommend(histories, 3, exclude_seen=True)
    assert answer.items.tolist() == [[4, -1, -1], [4, -1, -1], [2, -1, -1]]
    assert answer.scores.tolist() == [[-2, -np.inf, -np.inf], [-1, -np.inf, -np.inf], [-5, -np.inf, -np.inf]]
    # The third user has seen c, which stands before the target a: b, c, a.
    recalls = [
        evaluate({"file": found}, leave_one_out(dataset), exclude_seen=hide, ks=(2,))["file"]["recall@2"]
        for hide in (False, True)
    ]
    assert recalls == pytest.approx([2 / 3, 1.0])


def test_missing_users_are_an_error_or_a_recorded_miss(dataset, tmp_path):
    path = write(tmp_path / "p.csv", [row for row in GOOD if row[0] != 8])
    split = leave_one_out(dataset)
    users = split.reveal("test").histories.users
    with pytest.raises(DataError, match=r"no predictions for 1 of 3 users, for example '8'.*missing='miss'"):
        PredictionsFile.read(path, dataset, users=users)
    with pytest.raises(DataError, match="no predictions for 1 of 3 users"):
        evaluate({"file": PredictionsFile.read(path, dataset)}, split)
    found = PredictionsFile.read(path, dataset, users=users, missing="miss")
    result = evaluate({"file": found}, split, ks=(3,))
    assert result["file"]["recall@3"] == pytest.approx(2 / 3)
    recorded = result.provenance["recommenders"]["file"]
    assert (recorded["missing"], recorded["missing_users"], recorded["file"]) == ("miss", 1, "p.csv")


def test_somebody_unknown_and_nobody_at_all(dataset, tmp_path):
    path = write(tmp_path / "p.csv", GOOD)
    found = PredictionsFile.read(path, dataset, missing="miss")
    assert found.recommend(Histories.from_lists([[0]]), 2).items.tolist() == [[-1, -1]]
    assert found.recommend(Histories.from_lists([]), 2).items.shape == (0, 2)
    with pytest.raises(DataError, match="somebody unknown"):
        PredictionsFile.read(path, dataset).recommend(Histories.from_lists([[0]]), 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*GOOD, (3, "a", 1), (3, "b", 2), (4, "b", 2)], r"names 2 unknown users, for example '3'; expected user ids"),
        ([*GOOD, (8, "z", 2)], r"names 1 unknown items, for example 'z'; expected item ids .* such as 'a'"),
        ([*GOOD, (7, "a", 1)], r"gives user '7' the rank 1 twice \(1 such rows\)"),
        ([*GOOD, (7, "e", 3)], r"gives user '7' the item 'e' twice"),
        ([*GOOD, (7, "a", None)], r"has 1 ranks that are no finite number, for example '' in data row 7"),
        ([*GOOD, (7, "a", "first")], r"for example 'first' in data row 7"),
        ([*GOOD, (7, "a", "inf")], r"for example 'inf' in data row 7"),
    ],
)
def test_what_cannot_be_meant_is_refused(dataset, tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        PredictionsFile.read(write(tmp_path / "p.csv", rows), dataset)


def test_nan_scores_in_parquet_are_refused(dataset, tmp_path):
    path = write(tmp_path / "p.parquet", [("7", "a", 0.5), ("7", "b", np.nan)], ("user", "item", "score"))
    with pytest.raises(DataError, match="1 scores that are no finite number, for example 'nan' in data row 2"):
        PredictionsFile.read(path, dataset)


def test_files_and_columns_that_are_not_there_are_named(dataset, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        PredictionsFile.read(tmp_path / "none.csv", dataset)
    with pytest.raises(DataError, match=r"ends in '.txt'; expected predictions in a .csv or .parquet"):
        PredictionsFile.read(tmp_path / "p.txt", dataset)
    with pytest.raises(DataError, match="has columns user, item; expected user, item, and rank or score"):
        PredictionsFile.read(write(tmp_path / "p.csv", [(7, "a")], ("user", "item")), dataset)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="could not be read"):
        PredictionsFile.read(tmp_path / "bad.parquet", dataset)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="could not be read"):
        PredictionsFile.read(tmp_path / "empty.csv", dataset)
