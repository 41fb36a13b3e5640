"""What ``agentrec list`` shows beside the registries, without importing anything heavy."""

from __future__ import annotations

from agentrec.core.resources import resource_folder

PRESET_SUMMARIES = {
    "qwen3-tiny": "Qwen3 decoder of about 1 M parameters, built from config",
    "qwen3-small": "Qwen3 decoder of about 12 M parameters, built from config",
    "<name or folder>": "any causal language model of Hugging Face, full or LoRA",
}


def recipe_summaries() -> dict[str, str]:
    """Name -> first comment line of every shipped recipe."""
    files = sorted(resource_folder("recipes").glob("*.yaml"))
    return {file.stem: file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for file in files}
