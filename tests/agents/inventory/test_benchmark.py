"""Folders of InventoryBench, synthetic and real, and what is refused."""

from pathlib import Path

import pytest

from agentrec.agents.inventory.benchmark import load_benchmark
from agentrec.core.errors import DataError

HEADER = "exact_dates_A,demand_A,description_A,lead_time_A,profit_A,holding_cost_A"


def write(folder: Path, rows: list[str], header: str = HEADER, before: tuple[str, ...] = ("1,7", "2,9")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    (folder / "train.csv").write_text("\n".join(["exact_dates_A,demand_A", *before]) + "\n", encoding="utf-8")
    return folder


def rows(leads: list[str], **changed: str) -> list[str]:
    cells = {"demand": "5", "description": '"Top, black | wool"', "profit": "4", "holding": "1"} | changed
    return [
        f"2019/2/{day},{cells['demand']},{cells['description']},{lead},{cells['profit']},{cells['holding']}"
        for day, lead in enumerate(leads, 1)
    ]


def test_families_and_promises_come_from_folders(tmp_path):
    write(tmp_path / "lead_time_stochastic" / "108775044", rows(["1", "inf", "3"]))
    write(tmp_path / "lead_time_0" / "p07_seasonal" / "v1" / "r1_low", rows(["0", "0", "0"]))
    write(tmp_path / "lead_time_4" / "p07_seasonal" / "v1" / "r1_low", rows(["4", "4"]))
    three, two = load_benchmark(tmp_path)
    assert three.names == ("lead_time_0/p07_seasonal/v1/r1_low", "lead_time_stochastic/108775044")
    assert three.labels["family"] == ("lead_time_0", "lead_time_stochastic")
    assert three.labels["pattern"] == ("p07_seasonal", "")
    assert three.labels["ratio"] == ("0.80", "0.80")
    assert three.promised.tolist() == [0, 2]
    assert three.lead_times.tolist() == [[0, 0, 0], [1, -1, 3]]
    assert three.history.tolist() == [[7, 9], [7, 9]]
    assert (two.periods, two.promised.tolist()) == (2, [4])


def test_a_part_of_the_benchmark_knows_where_it_lies(tmp_path):
    folder = write(tmp_path / "lead_time_4" / "p01" / "v1" / "r1_low", rows(["4", "4"]))
    for root in (folder, folder.parent, tmp_path / "lead_time_4"):
        (known,) = load_benchmark(root)
        assert (known.promised.tolist(), known.labels["pattern"]) == ([4], ("p01",))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"rows": rows(["0", "0"], demand="-1")}, "demand in row 2 of .*test.csv is '-1'; expected a whole number"),
        ({"rows": rows(["0", "late"])}, "lead time in row 3 .* is 'late'; .* or inf for a lost order"),
        ({"rows": rows(["0", "-1"])}, "lead time in row 3 .* is '-1'"),
        ({"rows": rows(["0"], profit="0")}, "profit in row 2 .* is '0'; expected a number above 0"),
        ({"rows": [*rows(["0"]), *rows(["0"], holding="2")]}, "holding cost in row 3 .* is 2 after 1; expected one"),
        ({"rows": ["2019/2/1,5"]}, "row 2 of .* has 2 cells under a header of 6"),
        ({"rows": []}, "holds 1 rows; expected a header and at least one period"),
        ({"rows": rows(["0"]), "before": ("1,x",)}, "demand in row 2 of .*train.csv is 'x'"),
        (
            {"rows": ["1,5,6,0,4,1"], "header": "exact_dates_A,demand_A,demand_B,lead_time_A,profit_A,holding_cost_A"},
            r"2 columns of demand \(demand_A, demand_B\); expected one product per file",
        ),
    ],
)
def test_bad_files_are_named(tmp_path, made, says):
    write(tmp_path / "lead_time_0" / "x", **made)
    with pytest.raises(DataError, match=says):
        load_benchmark(tmp_path)


def test_numbered_periods_follow_each_other(tmp_path):
    numbered = [f"Period_{number},5,x,0,4,1" for number in (1, 2, 3, 5)]
    for wrong, says in (
        (numbered, "between Period_3 and Period_5 .row 5 of .*test.csv"),
        ([numbered[1], numbered[0]], "row 3 .* is of Period_1, which comes before Period_2"),
        ([*numbered[:2], numbered[1]], "row 4 .* is of Period_2 like a row above it"),
    ):
        write(tmp_path / "lead_time_0" / "x", wrong)
        with pytest.raises(DataError, match=says):
            load_benchmark(tmp_path)
    for taken in (rows(["0", "0"]) + rows(["0"]), [row.replace("2019/2/", "Feb ") for row in rows(["0"] * 3)[::-1]]):
        write(tmp_path / "lead_time_0" / "x", taken)
        assert load_benchmark(tmp_path)[0].periods == 3


def test_folders_that_are_none_are_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no test\.csv"):
        load_benchmark(tmp_path)
    write(tmp_path / "somewhere", rows(["0"]))
    with pytest.raises(DataError, match="lies in no folder lead_time_0"):
        load_benchmark(tmp_path)
    (write(tmp_path / "lead_time_0" / "x", rows(["0"])) / "train.csv").unlink()
    with pytest.raises(DataError, match=r"train\.csv does not exist; expected train.csv and test.csv side by side"):
        load_benchmark(tmp_path / "lead_time_0")
