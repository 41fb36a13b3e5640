"""The trace of a run as one self-contained web page: every step with what went in, what came out, tokens and time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentrec.agents.agent import REGISTRY, Agent
from agentrec.agents.events import Step, read_steps
from agentrec.agents.run import RESULT, read_run
from agentrec.core.errors import ArtefactError
from agentrec.core.files import read_json, whole_file
from agentrec.core.types import JSON
from agentrec.pipeline.sid_report.web import render
from agentrec.serving.chat.private import redact_all

TEMPLATE = Path(__file__).parent / "trace.html.j2"


def trace_of(folder: str | Path) -> JSON:
    """The trace as JSON: what the run was started with, what came out, its marks, totals, and its steps.

    Raises:
        ArtefactError: no run lies there, or it made no step yet.
    """
    folder = Path(folder)
    record = read_run(folder)
    steps, marks = read_steps(folder / "events.jsonl")
    if not steps:
        raise ArtefactError(f"{folder} holds no steps; expected a run that began, so resume it first")
    result = read_json(folder / RESULT) if (folder / RESULT).is_file() else {}
    shown = [_step(number, step, steps[0].at) for number, step in enumerate(steps, 1)]
    calls = [call for step in steps for call in step.calls]
    found: JSON = redact_all(
        {
            "run": record,
            "result": result,
            "outcome": _outcome(record["agent"], result),
            "marks": [{"what": mark["what"], "at": _moment(mark["at"])} for mark in marks],
            "steps": shown,
            "totals": {
                "steps": len(steps),
                "calls": sum(call.get("calls", 0) for call in calls),
                "failed": sum(bool(call.get("error")) for call in calls),
                "repairs": sum(call.get("repairs", 0) for call in calls),
                "tokens": sum(step.tokens for step in steps),
                "cost": sum(call.get("cost", 0.0) for call in calls),
                "seconds": sum(step.seconds or 0.0 for step in steps),
            },
            "nodes": _by_node(steps),
        }
    )
    return found


def write_trace(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page; by default ``trace.html`` in the run's folder.

    Raises:
        ArtefactError: no run lies there, or it made no step yet.
    """
    found = trace_of(folder)
    path = Path(out) if out is not None else Path(folder) / "trace.html"
    text = render(TEMPLATE, {"trace": found, "title": f"Run of {found['run']['agent']}", "pretty": _pretty})
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _outcome(agent: str, result: JSON) -> JSON:
    """What came out as the agent tells it: ``columns`` and ``rows``, both empty before anything did."""
    told: Agent = REGISTRY.load(agent)()
    columns, rows = told.told(result) if result else ([], [])
    return {"columns": columns, "rows": rows}


def _step(number: int, step: Step, began: float) -> JSON:
    return {
        "number": number,
        "node": step.node,
        "after": step.at - began,
        "seconds": step.seconds,
        "status": _status(step),
        "tokens": step.tokens,
        "input": step.content,
        "output": step.update,
        "error": step.error,
        "questions": step.questions,
        "calls": step.calls,
    }


def _status(step: Step) -> str:
    if step.seconds is None:
        return "killed"
    return "failed" if step.error else "asked a person" if step.questions else "done"


def _by_node(steps: list[Step]) -> list[JSON]:
    """Times and tokens by node, in order of first appearance."""
    found: dict[str, JSON] = {}
    for step in steps:
        row = found.setdefault(step.node, {"node": step.node, "steps": 0, "seconds": 0.0, "tokens": 0, "calls": 0})
        row["steps"] += 1
        row["seconds"] += step.seconds or 0.0
        row["tokens"] += step.tokens
        row["calls"] += len(step.calls)
    return list(found.values())


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _pretty(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)
