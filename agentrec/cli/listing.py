"""``agentrec list``: every method that a name can pick."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from agentrec.cli.tables import print_table

ROOMS = {
    "models": "recommenders",
    "vectors": "item vectors",
    "semantic_ids": "quantisers",
    "prompts.tasks": "fine-tuning tasks",
    "agents.inventory.policies": "inventory policies",
    "serving.chat.backends": "chat backends",
}


def list_methods(json_: Annotated[bool, typer.Option("--json", help="Print JSON, on the last line.")] = False) -> None:
    """List recommenders, item vectors, quantisers, fine-tuning tasks, inventory policies, evaluation tasks and recipes.

    Example:

        agentrec list --json
    """
    from agentrec.core.registry import Registry
    from agentrec.evaluation.tasks import task_summaries
    from agentrec.pipeline.names import PRESET_SUMMARIES, recipe_summaries

    found = {label: Registry(f"agentrec.{room}").summaries() for room, label in ROOMS.items()}
    found["agents"] = Registry("agentrec.agents", "graph").summaries()
    found |= {"generators": PRESET_SUMMARIES, "evaluation tasks": task_summaries(), "recipes": recipe_summaries()}
    if json_:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    rows = [[kind, name, summary] for kind, methods in found.items() for name, summary in methods.items()]
    print_table(["kind", "name", "what it is"], rows)
