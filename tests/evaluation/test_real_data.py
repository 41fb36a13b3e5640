"""Known figures on real data: the directed neighbours of amazon_scientific, far above popularity."""

from pathlib import Path

import pytest

from agentrec.core.config import from_mapping
from agentrec.evaluation.tasks import load_task


@pytest.mark.data
def test_transitions_on_amazon_scientific(data_folder: Path) -> None:
    folder = data_folder / "amazon_scientific"
    task = load_task("next_item")
    values = {"data": str(folder / "interactions.csv"), "items": str(folder / "items.csv"), "bootstrap": 200}
    result = task.run(from_mapping(task.Config, {**values, "recommenders": "popularity,transitions"}))
    transitions, popularity = result.recommenders["transitions"], result.recommenders["popularity"]
    assert transitions["recall@10"].mean == pytest.approx(0.107, abs=0.003)
    assert transitions["ndcg@10"].mean == pytest.approx(0.078, abs=0.003)
    assert popularity["recall@10"].mean == pytest.approx(0.0231, abs=0.001)
    assert result.provenance["num_users"] == 8317
