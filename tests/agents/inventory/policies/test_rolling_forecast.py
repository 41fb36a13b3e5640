"""Rolling forecasts follow demand, and the option of statsforecast is what AutoETS says."""

import numpy as np
import pytest

from agentrec.agents.inventory.game import play
from agentrec.agents.inventory.generate import SUPPLIES, Sizes, generate
from agentrec.agents.inventory.observation import Observation
from agentrec.agents.inventory.policies import load_policy
from agentrec.agents.inventory.policies.rolling_forecast import Config, RollingForecast
from agentrec.core.errors import ConfigError


def observation(seen: np.ndarray, promised: int) -> Observation:
    none = np.zeros((1, 0), np.int64)
    levels = np.zeros(1, np.int64), np.array([promised]), np.full(1, 4.0), np.ones(1)
    return Observation(seen[None], none, none, none, *levels)


def test_it_orders_up_to_a_quantile_of_the_window():
    seen = np.array([900, 900, 90, 100, 110])
    found = RollingForecast(Config(window=3)).order(observation(seen, promised=3))
    assert int(found[0]) == int(np.ceil(4 * 100 + 0.8416212 * 2 * 10))


def test_it_follows_a_change_that_the_baseline_averages_away():
    known = generate(["mean_increase"], Sizes(series=9), supply=SUPPLIES["lead_time_0"])
    rolling, baseline = (play(load_policy(name)(), known).score.mean() for name in ("rolling_forecast", "or"))
    assert rolling > baseline + 0.02


def test_a_window_of_one_has_no_spread():
    with pytest.raises(ConfigError, match="window is 1; expected at least 2"):
        Config(window=1)


@pytest.mark.slow
def test_ets_is_asked_once_there_is_enough_to_fit():
    models = pytest.importorskip("statsforecast.models")
    seen = np.rint(np.random.default_rng(0).normal(100 + 3 * np.arange(30), 10)).astype(np.int64)
    policy = RollingForecast(Config(model="ets"))
    few = seen[:9]
    assert policy.order(observation(few, 2)) == RollingForecast().order(observation(few, 2))
    made = models.AutoETS(season_length=1).forecast(y=seen.astype(float), h=3, fitted=True)
    spread = 3**0.5 * np.std(seen - made["fitted"], ddof=1)
    expected = int(np.ceil(made["mean"].sum() + 0.8416212 * spread))
    assert int(policy.order(observation(seen, 2))[0]) == expected
