import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import DataError
from agentrec.core.files import file_hash
from agentrec.core.types import Catalogue, Histories
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.split import leave_one_out
from agentrec.evaluation.adapters import prediction_checks, prediction_rows
from agentrec.evaluation.adapters.predictions import PredictionsFile
from agentrec.evaluation.ranking import evaluate


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


def value(result, metric, name="file"):
    return result.systems[name][metric].mean


GOOD = [(7, "e", 2), (7, "d", 1), (8, "e", 1), (9, "b", 1), (9, "c", 5), (9, "a", 9)]
LISTS = pd.DataFrame({"user": ["9", "7", "8"], "items": [["b", "c", "a"], ["d", "e"], ["e"]]})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("by_score", [False, True])
def test_lists_are_ordered_and_scored(dataset, tmp_path, suffix, by_score):
    rows = [(user, item, -rank / 3) for user, item, rank in GOOD] if by_score else GOOD
    columns = ("user_id", "item_id", "score" if by_score else "rank")
    split = leave_one_out(dataset)
    users = split.reveal("test").histories.users
    path = write(tmp_path / f"p{suffix}", rows, columns)
    found = PredictionsFile.read(path, dataset, users=users)
    assert found.recommend(split.reveal("test").histories, 3).items.tolist() == [[3, 4, -1], [4, -1, -1], [1, 2, 0]]
    result = evaluate({"file": found}, split, ["recall@1", "recall@3"])
    assert value(result, "recall@1") == pytest.approx(2 / 3)
    assert value(result, "recall@3") == 1.0
    assert found.provenance["missing_users"] == 0
    assert found.provenance["content"] == file_hash(path)


@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("names", [("user", "items", "scores"), ("user_id", "item_id_list", "score")])
def test_parquet_may_hold_one_row_per_user(dataset, tmp_path, names, with_scores):
    """As pandas writes lists, and as arrays of text: what RecBole's ``id2token`` gives, turned to lists."""
    table = LISTS.assign(scores=[[3.0, 2.0, 1.0], [0.5, 0.5], [1.0]]) if with_scores else LISTS
    table.columns = list(names[: len(table.columns)])
    table.to_parquet(tmp_path / "p.parquet", index=False)
    found = PredictionsFile.read(tmp_path / "p.parquet", dataset, users=leave_one_out(dataset).reveal("test").histories)
    answer = found.recommend(Histories.from_lists([[], [], []], [2, 0, 1]), 3)
    assert answer.items.tolist() == [[1, 2, 0], [3, 4, -1], [4, -1, -1]]
    assert answer.scores[0].tolist() == [-1, -2, -3]
    tokens = np.array([["b", "c", "a"], ["d", "e", "a"], ["e", "a", "b"]], dtype=object)
    scores = np.array([[3, 2, 1]] * 3, np.float32)
    parts = {"user": np.array(["9", "7", "8"]), "items": tokens.tolist(), "scores": scores.tolist()}
    pd.concat([pd.DataFrame(parts)]).to_parquet(tmp_path / "recbole.parquet")
    found = PredictionsFile.read(tmp_path / "recbole.parquet", dataset)
    assert found.recommend(Histories.from_lists([[]], [1]), 2).items.tolist() == [[4, 0]]


tables = st.dictionaries(
    st.integers(0, 2), st.lists(st.integers(0, 4), unique=True, max_size=5).map(tuple), min_size=1, max_size=3
)


@settings(max_examples=60, deadline=None)
@given(
    tables.filter(lambda table: any(table.values())),
    st.tuples(st.sampled_from(["csv", "parquet", "lists"]), st.sampled_from(["rank", "score"])),
    st.randoms(),
)
def test_every_form_gives_the_same_lists(dataset, tmp_path_factory, table, kind, rng):
    """Against the obvious reading, with pieces and blocks of one or two rows, and rows in any order."""
    form, key = kind
    path = tmp_path_factory.mktemp("forms") / f"p.{'csv' if form == 'csv' else 'parquet'}"
    users, ids = dataset.user_ids, dataset.catalogue.ids
    if form == "lists":
        rows = [{"user": users[user], "items": [ids[item] for item in row]} for user, row in table.items()]
    else:
        sign = 1 if key == "rank" else -1
        rows = [
            {"user": int(users[user]), "item": ids[item], key: sign * (place + 1)}
            for user, row in table.items()
            for place, item in enumerate(row)
        ]
    rng.shuffle(rows)
    frame = pd.DataFrame(rows)
    (frame.to_csv if form == "csv" else frame.to_parquet)(path, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_rows, "PIECE", 2)
        patch.setattr(prediction_rows, "PIECE_OF_LISTS", 1)
        patch.setattr(prediction_rows, "CSV_BLOCK", 64)
        patch.setattr(prediction_checks, "BLOCK", 2)
        found = PredictionsFile.read(path, dataset, missing="miss")
    answer = found.recommend(Histories.from_lists([[], [], []], [0, 1, 2]), 5)
    assert answer.items.tolist() == [[*table.get(user, ()), *[-1] * 5][:5] for user in range(3)]


def test_seen_items_are_left_out(dataset, tmp_path):
    found = PredictionsFile.read(write(tmp_path / "p.csv", GOOD), dataset)
    histories = Histories.from_lists([[3], [], [1, 0]], [0, 1, 2])
    answer = found.recommend(histories, 3, exclude_seen=True)
    assert answer.items.tolist() == [[4, -1, -1], [4, -1, -1], [2, -1, -1]]
    assert answer.scores.tolist() == [[-2, -np.inf, -np.inf], [-1, -np.inf, -np.inf], [-5, -np.inf, -np.inf]]
    # The third user has seen c, which stands before the target a: b, c, a.
    recalls = [
        value(evaluate({"file": found}, leave_one_out(dataset), ["recall@2"], exclude_seen=hide), "recall@2")
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
    assert value(evaluate({"file": found}, split, ["recall@3"]), "recall@3") == pytest.approx(2 / 3)
    recorded = found.provenance
    assert (recorded["missing"], recorded["missing_users"], recorded["file"]) == ("miss", 1, "p.csv")
    assert any("no predictions for 1 of 3 users" in warning for warning in recorded["warnings"])


def test_unknown_items_are_an_error_or_dropped(dataset, tmp_path):
    path = write(tmp_path / "p.csv", [(7, "zz", 1), (7, "a", 2), (7, "yy", 3), (7, "b", 4)])
    with pytest.raises(DataError, match="names 2 unknown items in 2 rows, for example 'zz', 'yy'; expected item ids"):
        PredictionsFile.read(path, dataset)
    found = PredictionsFile.read(path, dataset, unknown_items="drop")
    assert found.recommend(Histories.from_lists([[]], [0]), 3).items.tolist() == [[0, 1, -1]]
    assert found.provenance["unknown_items"] == 2


def test_rows_of_other_users_are_left_out(dataset, tmp_path):
    found = PredictionsFile.read(write(tmp_path / "p.csv", GOOD), dataset, users=np.array([1]))
    assert found.recommend(Histories.from_lists([[]], [1]), 1).items.tolist() == [[4]]
    with pytest.raises(DataError, match="no predictions for 1 of 1 users, for example '7'"):
        found.recommend(Histories.from_lists([[]], [0]), 1)


def test_somebody_unknown_and_nobody_at_all(dataset, tmp_path):
    path = write(tmp_path / "p.csv", GOOD)
    found = PredictionsFile.read(path, dataset, missing="miss")
    assert found.recommend(Histories.from_lists([[0]]), 2).items.tolist() == [[-1, -1]]
    assert found.recommend(Histories.from_lists([]), 2).items.shape == (0, 2)
    with pytest.raises(DataError, match="somebody unknown"):
        PredictionsFile.read(path, dataset).recommend(Histories.from_lists([[0]]), 2)


def test_all_problems_are_in_one_message(dataset, tmp_path):
    rows = [*GOOD, (3, "a", 1), (7, "zz", 3), (7, "e", 4), (8, "a", "first")]
    message = (
        r"p\.csv has 4 problems: \(1\) names 1 unknown user in 1 row, for example '3'; .* \(2\) names 1 unknown item "
        r".*'zz'.* \(3\) has 1 times a rank .*'first' in data row 10.* \(4\) repeats 1 pair of user and item, "
        r"for example user '7' with item 'e'"
    )
    with pytest.raises(DataError, match=message):
        PredictionsFile.read(write(tmp_path / "p.csv", rows), dataset)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffuser,item,rank\n7,a,1\n",  # with a byte order mark
        "user;item;rank\n7;a;1\n",
        "user\titem\trank\n7\ta\t1\n",
        'user,title,item,rank\n7,"two\nlines, and a comma",a,1\n',
        '"user","item","Rank"\r\n"7","a","1"\r\n',
        "itemId,SCORE,userId\na,0.5,7\n",
    ],
)
def test_dialects_of_csv(dataset, tmp_path, text):
    (tmp_path / "p.csv").write_text(text, encoding="utf-8", newline="")
    found = PredictionsFile.read(tmp_path / "p.csv", dataset)
    assert found.recommend(Histories.from_lists([[]], [0]), 1).items.tolist() == [[0]]


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
    with pytest.raises(DataError, match="has columns none; expected user, item"):
        PredictionsFile.read(tmp_path / "empty.csv", dataset)
    (tmp_path / "ragged.csv").write_text("user,item,rank\n7,a,1\n7,b\n")
    with pytest.raises(DataError, match=r"ragged\.csv could not be read .*; expected a csv table"):
        PredictionsFile.read(tmp_path / "ragged.csv", dataset)
    (tmp_path / "latin.csv").write_bytes("user,item,rank\n7,\xe9,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="could not be read"):
        PredictionsFile.read(tmp_path / "latin.csv", dataset)
    (tmp_path / "twice.csv").write_text("user,item,rank,rank\n7,a,1,1\n")
    with pytest.raises(DataError, match="has the column 'rank' twice"):
        PredictionsFile.read(tmp_path / "twice.csv", dataset)
