import warnings

import numpy as np
import pytest

from agentrec.agents.inventory.context import Config
from agentrec.agents.inventory.world import open_world
from agentrec.core.errors import ConfigError, DataError, DataWarning

SHOP = """week,sku,demand,profit,holding_cost,on_hand,ordered,arrived,unit_cost,volume
1,tea,20,4,1,30,0,,2,1
2,tea,25,4,1,5,40,3,2,1
3,tea,22,4,1,23,20,4,2,1
4,tea,40,4,1,3,25,,2.5,1
1,coffee,5,3,1,10,0,,5,2
2,coffee,6,3,1,4,8,3,5,2
3,coffee,4,3,1,8,0,,5,2
"""


@pytest.fixture
def shop(tmp_path):
    def write(text=SHOP, **settings):
        path = tmp_path / "shop.csv"
        path.write_text(text)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "products of", DataWarning)  # coffee ends before tea
            return open_world(Config(data=str(path), **settings))

    return write


def test_a_shop_is_seen_as_its_file_says(shop):
    world = shop()
    coffee, tea = world.observe([])
    assert (world.names, world.periods, world.game) == (("coffee", "tea"), 1, None)
    assert (tea["demand"], tea["on_hand"], tea["unit_cost"]) == ([20, 25, 22, 40], 3, 2.5)
    assert (tea["in_transit"], tea["lead_times"]) == (25, [1, 1])
    assert tea["waiting"] == [{"period": 3, "units": 25, "age": 1}]
    assert (coffee["demand"], coffee["on_hand"], coffee["volume"], coffee["in_transit"]) == ([5, 6, 4], 8, 2.0, 0)
    assert (coffee["until"], tea["until"]) == ("3", "4")
    assert shop(sku="tea").names == ("tea",)
    assert world.fingerprint == shop().fingerprint != shop(SHOP.replace("40,4,1,3,25", "41,4,1,3,25")).fingerprint


def test_limits_without_a_column_for_them_are_told(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text("week,demand,profit,holding_cost,on_hand\n1,5,2,1,3\n2,7,2,1,3\n")
    with pytest.warns(DataWarning, match="no column unit_cost: each unit counts as 1"):
        open_world(Config(data=str(path), order_budget=10.0))
    with pytest.warns(DataWarning, match="no column volume: each unit counts as 1"):
        open_world(Config(data=str(path), capacity=10.0))


def test_products_that_end_at_different_periods_are_told(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text(SHOP)
    with pytest.warns(DataWarning, match=r"\(coffee at 3, tea at 4\)"):
        open_world(Config(data=str(path)))
    open_world(Config(data=str(path), sku="tea"))


def test_stock_may_be_given_or_is_taken_as_none_with_a_warning(shop):
    plain = "week,demand\n1,5\n2,7\n"
    seen = shop(plain, profit=2.0, holding_cost=1.0, on_hand=9, in_transit=4).observe([])[0]
    assert (seen["on_hand"], seen["in_transit"], seen["demand"]) == (9, 4, [5, 7])
    with pytest.warns(DataWarning, match="taken as 0"):
        assert shop(plain, profit=2.0, holding_cost=1.0).observe([])[0]["on_hand"] == 0


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("20,4,1,30", "-20,4,1,30", "demand in row 2 .*'-20'"),
        ("3,tea,22,4,1,23,20,4,2,1\n", "", "row 4 .*week|row 4"),
        ("1,tea,20,4,1", "1,tea,20,0,1", "profit in row 2 .*'0'"),
        ("40,4,1,3,25", "40,4,1,x,25", "on_hand in row 5 .*'x'"),
        ("25,4,1,5,40,3", "25,4,1,5,many,3", "ordered in row 3 .*'many'"),
        ("25,4,1,5,40,3", "25,4,1,5,40,1", "arrived in row 3 .*'1'"),
        ("25,4,1,5,40,3", "25,4,1,5,40,inf", "arrived in row 3 .*'inf'"),
        ("20,4,1,30,0,,", "20,4,1,30,0,2,", "arrived in row 2"),
        ("40,4,1,3,25,,2.5", "40,4,1,3,25,,0", "unit cost in row 5 .*'0'"),
        ("ordered", "bought", "none called ordered"),
    ],
)
def test_bad_files_say_what_to_mend(shop, before, after, match):
    with pytest.raises(DataError, match=match) as caught:
        shop(SHOP.replace(before, after))
    assert str(caught.value).count(";") >= 1


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"on_hand": 3}, "holds 2 products"),
        ({"sku": "tea", "in_transit": 3}, "column ordered"),
        ({"sku": "milk"}, "'milk'"),
        ({"play": True, "history": 1}, "2 different numbers of periods"),
    ],
)
def test_settings_that_do_not_fit_the_file(shop, settings, match):
    with pytest.raises((ConfigError, DataError), match=match):
        shop(**settings)


def test_settings_that_do_not_fit_a_game(tmp_path):
    with pytest.raises(ConfigError, match="on_hand is set"):
        open_world(Config(on_hand=1))
    with pytest.raises(DataError, match="no folder"):
        open_world(Config(data=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="memory is -1"):
        Config(memory=-1)


def test_a_file_may_be_played_and_a_game_is_played_again_from_its_orders(shop):
    world = shop(play=True, history=2, sku="tea")
    assert (world.periods, world.one(0).periods) == (2, 2)
    after = world.observe([[30]])[0]
    assert (after["demand"], after["on_hand"], after["history"]) == ([22], 8, [20, 25])
    drawn = open_world(Config(limit=2, periods=4))
    orders = [[5, 6], [7, 8], [9, 1]]
    facts = drawn.observe(orders)
    assert [part["orders"] for part in facts] == np.array(orders).T.tolist()
    assert drawn.observe(orders) == facts
    with pytest.raises(DataError, match="product is 2"):
        drawn.one(2)
