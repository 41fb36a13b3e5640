"""Drawn series have the features of their families, and depend on their seed alone."""

import numpy as np
import pytest

from agentrec.agents.inventory.demand import FAMILIES, FURTHER
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, Supply, generate
from agentrec.core.errors import ConfigError, UnknownNameError

MANY = Sizes(series=40)


def shares(family: str) -> np.ndarray:
    """Mean demand of the last ten periods over that of the first eight, per series."""
    demand = generate([family], MANY).demand
    return demand[:, -10:].mean(axis=1) / demand[:, :8].mean(axis=1)


def test_there_are_the_ten_families_and_three_more():
    assert len(FAMILIES) == 10
    assert len(FURTHER) == 3
    made = generate([*FAMILIES, *FURTHER], Sizes(series=1))
    assert made.demand.shape == (13, 50)
    assert made.history.shape == (13, 5)
    assert (made.demand.sum(axis=1) > 0).all()


def test_changes_go_the_right_way():
    assert (shares("mean_increase") > 1.15).all()
    assert (shares("mean_decrease") < 0.95).all()
    assert (shares("increasing_trend") > 1.1).all()
    assert (shares("decreasing_trend") < 0.85).all()
    assert abs(float(shares("stationary").mean()) - 1) < 0.1


def test_seasons_and_persistence_show_in_autocorrelation():
    def lagged(family: str) -> np.ndarray:
        demand = generate([family], MANY).demand.astype(float)
        away = demand - demand.mean(axis=1, keepdims=True)
        return np.array([np.correlate(row, row, "full")[len(row) :].max() / (row @ row) for row in away])

    assert lagged("seasonal").mean() > lagged("stationary").mean() + 0.3


def test_intermittent_demand_has_periods_of_none():
    assert 0.15 < (generate(["intermittent"], MANY).demand == 0).mean() < 0.65


def test_a_series_depends_on_family_number_and_seed_alone():
    whole = generate(sizes=Sizes(series=4), seed=3)
    alone = generate(["seasonal"], Sizes(series=2), seed=3)
    rows = [whole.names.index(name) for name in alone.names]
    assert (whole.demand[rows] == alone.demand).all()
    assert (generate(["seasonal"], Sizes(series=2), seed=4).demand != alone.demand).any()


def test_supplies_draw_what_they_list():
    made = generate(sizes=MANY, supply=SUPPLIES["lead_time_stochastic"])
    values, counts = np.unique(made.lead_times, return_counts=True)
    assert values.tolist() == [-1, 1, 2, 3]
    assert abs(counts / counts.sum() - 0.25).max() < 0.02
    assert (made.promised == 2).all()


def test_wrong_settings_are_named():
    with pytest.raises(UnknownNameError, match="no demand family 'wave'; those that exist are stationary, "):
        generate(["wave"])
    with pytest.raises(ConfigError, match="promises -1"):
        Supply(-1, (0,))
    with pytest.raises(ConfigError, match="at least 1 series"):
        Sizes(series=0)
