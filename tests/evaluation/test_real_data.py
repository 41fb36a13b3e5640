"""Known figures on real data: the directed neighbours of amazon_scientific, far above popularity."""

from pathlib import Path

import pytest

from agentrec.evaluation.merge import Resampling
from agentrec.evaluation.run import Order, run_task


@pytest.mark.data
def test_transitions_on_amazon_scientific(data_folder: Path, tmp_path: Path) -> None:
    folder = data_folder / "amazon_scientific"
    values = {"data": str(folder / "interactions.csv"), "items": str(folder / "items.csv")}
    order = Order("next_item", {**values, "recommender": "popularity,transitions"}, store=tmp_path / "store")
    result = run_task(order, resampling=Resampling(200)).result
    transitions, popularity = result.systems["transitions"], result.systems["popularity"]
    assert transitions["recall@10"].mean == pytest.approx(0.107, abs=0.003)
    assert transitions["ndcg@10"].mean == pytest.approx(0.078, abs=0.003)
    assert popularity["recall@10"].mean == pytest.approx(0.0231, abs=0.001)
    assert result.provenance["num_units"] == 8317
    assert {row.winner for row in result.comparisons} == {"transitions"}
    assert transitions["novelty@10"].mean > popularity["novelty@10"].mean
