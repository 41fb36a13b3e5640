"""The scoreboard of this repository is complete and fresh, and the task that evals/README.md shows works."""

import re
from pathlib import Path

from agentrec.evaluation.run import Order, run_task
from agentrec.evaluation.scoreboard.board import problems

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "evals" / "README.md").read_text(encoding="utf-8")


def test_nothing_is_missing_stale_or_decided_by_hand():
    assert problems(ROOT) == []


def test_the_task_shown_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    file = tmp_path / "coin.py"
    file.write_text(code)
    order = Order(str(file), {"tosses": 300}, seeds=(0, 1, 2), store=tmp_path / "store")
    result, _ = run_task(order)
    assert result["heads"]["hit"] > 0.6
    assert result.comparisons[0].winner == "heads"
    assert result.provenance["seeds"] == {"heads": [0], "chance": [0, 1, 2]}
