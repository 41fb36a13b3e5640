"""A shop's own file: read as it is, or refused in one sentence that says what to do."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from agentrec.agents.inventory.own_data import OwnData, load_own
from agentrec.core.errors import ConfigError, DataError

DAYS = [f"2026-01-{day:02d}" for day in range(1, 13)]


def write(folder: Path, header: str, rows: list[str]) -> Path:
    path = folder / "sales.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def daily(folder: Path, **changed: str) -> Path:
    """Twelve days at profit 4 and lead time 1; ``changed`` replaces cells of the ninth, row 10."""
    rows = []
    for place, day in enumerate(DAYS):
        cells = {"date": day, "demand": str(10 + place), "profit": "4", "holding_cost": "1", "lead_time": "1"}
        rows.append(",".join((cells | (changed if place == 8 else {})).values()))
    return write(folder, "date,demand,profit,holding_cost,lead_time", rows)


def test_a_good_file_becomes_an_instance(tmp_path):
    known = load_own(daily(tmp_path))
    assert known.names == ("sales",)
    assert known.history.tolist() == [[10, 11, 12, 13, 14]]
    assert known.demand.tolist() == [[15, 16, 17, 18, 19, 20, 21]]
    assert (known.lead_times == 1).all()
    assert (known.promised.tolist(), known.profit.tolist(), known.holding.tolist()) == ([1], [4.0], [1.0])


def test_settings_stand_in_for_columns(tmp_path):
    rows = [f"Period_{number},{number}.0" for number in range(1, 9)]
    path = write(tmp_path, "Week,Sales", rows)
    known = load_own(path, OwnData(profit=2.5, holding_cost=0.5, lead_time=3, history=2))
    assert known.demand.tolist() == [[3, 4, 5, 6, 7, 8]]
    assert (known.promised.tolist(), known.profit.tolist(), known.holding.tolist()) == ([3], [2.5], [0.5])
    assert (known.lead_times == 3).all()


def test_months_may_differ_in_length(tmp_path):
    months = ["2025-11", "2025-12", "2026-01", "2026-02", "2026-03", "2026-04"]
    path = write(tmp_path, "month,units", [f"{month},5" for month in months])
    assert load_own(path, OwnData(profit=1, holding_cost=1)).demand.tolist() == [[5]]


def test_weeks_of_iso_8601_go_on_over_the_year(tmp_path):
    weeks = ["2026-W51", "2026-W52", "2026-W53", "2027-W01", "2027-W02", "2027-W03"]
    path = write(tmp_path, "week,demand", [f"{week},5" for week in weeks])
    assert load_own(path, OwnData(profit=1, holding_cost=1)).periods == 1
    path = write(tmp_path, "week,demand", [f"{week},5" for week in (*weeks[:3], *weeks[4:])])
    with pytest.raises(DataError, match=r"between 2026-W53 and 2027-W02 .*14 days apart where others are 7"):
        load_own(path, OwnData(profit=1, holding_cost=1))


@pytest.mark.parametrize("layout", ["%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d"])
@pytest.mark.parametrize("step", [1, 7])
def test_dates_are_read_as_spreadsheets_write_them(tmp_path, layout, step):
    days = [date(2026, 1, 29) + timedelta(step * place) for place in range(9)]
    path = write(tmp_path, "date,demand", [f"{day.strftime(layout)},{place}" for place, day in enumerate(days)])
    known = load_own(path, OwnData(profit=1, holding_cost=1))
    assert known.demand.tolist() == [[5, 6, 7, 8]]
    gap = write(tmp_path, "date,demand", [f"{day.strftime(layout)},5" for day in [*days[:4], *days[5:]]])
    with pytest.raises(DataError, match=f"{2 * step} days apart where others are {step}"):
        load_own(gap, OwnData(profit=1, holding_cost=1, history=2))


def test_files_of_spreadsheets_may_have_other_separators_and_empty_rows(tmp_path):
    path = daily(tmp_path)
    expected, text = load_own(path), path.read_text(encoding="utf-8")
    for separator in (";", "\t"):
        path.write_text("\ufeff" + text.replace(",", separator), encoding="utf-8")
        assert load_own(path).fingerprint == expected.fingerprint
    path.write_text(text.replace("2026-01-02", "\n,,\n2026-01-02"), encoding="utf-8")
    assert load_own(path).fingerprint == expected.fingerprint
    path.write_text(text.replace("2026-01-02,11", "\n,,\n2026-01-02,-11"), encoding="utf-8")
    with pytest.raises(DataError, match="demand in row 5 "):
        load_own(path)
    path.write_text(text.replace("demand", "größe"), encoding="latin-1")
    with pytest.raises(DataError, match=r"no CSV in UTF-8 .* as CSV UTF-8"):
        load_own(path)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"demand": "-3"}, "demand in row 10 .* is '-3'; expected a whole number of 0 or more"),
        ({"demand": "2.5"}, "demand in row 10 .* is '2.5'; expected a whole number"),
        ({"demand": ""}, "demand in row 10 .* is ''; expected a whole number"),
        ({"demand": "many"}, "demand in row 10 .* is 'many'; expected a whole number"),
        (
            {"lead_time": "inf"},
            "lead time in row 10 .* is 'inf'; expected a whole number of periods of 0 or more, 1000 at most, so",
        ),
        ({"lead_time": "soon"}, "lead time in row 10 .* is 'soon'; expected a whole number of periods"),
        ({"lead_time": "5000"}, "lead time in row 10 .* is '5000'; .* 1000 at most"),
        ({"demand": "1e30"}, "demand in row 10 .* is '1e30'; .* at most 1000000000"),
        ({"demand": '"1,200"'}, "demand in row 10 .* is '1,200'; .* such as 1200"),
        ({"profit": "0"}, "profit in row 10 .* is '0'; expected a number above 0"),
        ({"profit": "5"}, "profit in row 10 .* is 5 after 4; expected one value"),
        ({"holding_cost": "nan"}, "holding cost in row 10 .* is 'nan'; expected a number above 0"),
        (
            {"date": "2025-12-31"},
            "row 10 .* is of 2025-12-31, which comes before 2026-01-08 above it; .* sort",
        ),
        ({"date": "2026-01-05"}, "row 10 .* is of 2026-01-05 like a row above it; .* a column sku"),
        ({"date": "2026-01-08"}, "row 10 .* is of 2026-01-08 like a row above it; .* a column sku"),
        ({"date": "someday"}, "the period in row 10 .* is 'someday'; expected a date such as"),
        ({"date": "Sep 2026"}, "the period in row 10 .* is 'Sep 2026'; expected a date such as"),
        ({"date": "7"}, "mix dates and period numbers"),
    ],
)
def test_bad_cells_are_named(tmp_path, changed, says):
    with pytest.raises(DataError, match=says) as caught:
        load_own(daily(tmp_path, **changed))
    assert "\n" not in str(caught.value)


def test_missing_periods_are_named(tmp_path):
    rows = [f"{day},5" for day in DAYS if day != "2026-01-07"]
    with pytest.raises(DataError, match=r"between 2026-01-06 and 2026-01-08 .*2 days apart where others are 1; .* add"):
        load_own(write(tmp_path, "date,demand", rows), OwnData(profit=1, holding_cost=1))
    rows = [f"Period_{number},5" for number in (1, 2, 3, 4, 5, 6, 9)]
    with pytest.raises(DataError, match=r"between Period_6 and Period_9 .*3 periods apart where others are 1"):
        load_own(write(tmp_path, "period,demand", rows), OwnData(profit=1, holding_cost=1))


def test_two_products_are_not_mixed(tmp_path):
    rows = [f"{day},{sku},{amount}" for day in DAYS for sku, amount in (("tea", 5), ("milk", 9))]
    path, costs = write(tmp_path, "date,sku,demand", rows), {"profit": 1.0, "holding_cost": 1.0}
    with pytest.raises(DataError, match=r"mixes 2 products \(milk, tea\); expected one, so choose it by sku"):
        load_own(path, OwnData(**costs))
    known = load_own(path, OwnData(**costs, sku="tea"))
    assert (known.names, known.demand.tolist()) == (("tea",), [[5] * 7])
    with pytest.raises(DataError, match="no product 'rum'; those that exist are milk, tea"):
        load_own(path, OwnData(**costs, sku="rum"))
    unnamed = write(tmp_path, "date,demand", [f"{day},5" for day in DAYS for _ in range(2)])
    with pytest.raises(DataError, match=r"row 3 .* like a row above it; .* column sku"):
        load_own(unnamed, OwnData(**costs))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"is no file; expected a CSV file"):
        load_own(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match=r"0 columns for demand among date, amount; expected one called demand or"):
        load_own(write(tmp_path, "date,amount", ["2026-01-01,5"]))
    with pytest.raises(DataError, match=r"no column profit, and none was given; .* --profit 2\.5"):
        load_own(write(tmp_path, "date,demand", [f"{day},5" for day in DAYS]))
    with pytest.raises(DataError, match="holds 3 periods of sales; expected at least 6"):
        load_own(write(tmp_path, "date,demand", [f"{day},5" for day in DAYS[:3]]), OwnData(profit=1, holding_cost=1))
    with pytest.raises(DataError, match="0 columns for period"):
        load_own(write(tmp_path, "", []))
    with pytest.raises(ConfigError, match="history is 0"):
        OwnData(history=0)
