"""The task of semantic IDs: fitted quantisers and published files on the same items, worse ones behind better ones."""

import json

import numpy as np
import pytest

from agentrec.data.shop import Shop, ShopConfig
from agentrec.evaluation.merge import Resampling
from agentrec.evaluation.run import Order, run_task


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sids")
    shop = Shop.generate(ShopConfig(num_users=100, num_items=240)).dataset
    shop.save_pretrained(folder / "shop")
    rng = np.random.default_rng(0)
    index = {item: [f"<a_{rng.integers(16)}>", f"<b_{rng.integers(16)}>"] for item in shop.catalogue.ids}
    (folder / "random.json").write_text(json.dumps(index))
    return folder


def test_random_codes_lose_to_fitted_ones(place):
    values = {"data": str(place / "shop"), "ids": f"rq_kmeans,random={place / 'random.json'}"}
    values |= {"num_levels": 2, "codebook_size": 16}
    order = Order("semantic_ids", values, seeds=(0, 1), store=place / "store")
    result = run_task(order, resampling=Resampling(100)).result
    assert result["rq_kmeans"]["neighbours_1"] > 3 * result["random"]["neighbours_1"]
    assert 0 < result["rq_kmeans"]["error"] < 1
    assert "error" not in result.systems["random"] or result.systems["random"]["error"].mean is None
    assert result.systems["rq_kmeans"]["error"].deviation is not None
    ahead = [row.winner for row in result.comparisons if row.metric == "neighbours_1"]
    assert ahead == ["rq_kmeans"]
    assert 0 < result["random"]["collides"] < 1
