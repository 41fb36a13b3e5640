"""The benchmark of constrained decoding runs from end to end, on small sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "bench_decoding.py"
FIGURES = {
    "flat_in_items",
    "speedup_vs_static",
    "speedup_vs_dict_trie",
    "speedup_vs_hf_generate",
    "memory_vs_hf_generate",
    "overhead_vs_unconstrained",
    "build_1m_s",
    "build_10m_s",
}


@pytest.mark.slow
def test_the_quick_run_writes_every_figure_and_a_picture(tmp_path: Path) -> None:
    out = tmp_path / "decoding.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--threads", "1", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    result = json.loads(out.read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == result
    assert set(result) >= FIGURES
    assert all(isinstance(result[name], float) for name in FIGURES)
    assert result["same_ranking_as_hf_generate"] == 1.0
    assert "STATIC" in out.with_suffix(".svg").read_text()
