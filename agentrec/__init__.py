"""agentrec: the toolkit for LLM recommenders and recommendation agents.

Public names are imported when first used, so that ``import agentrec`` loads neither numpy nor torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Dataset": "agentrec.data.dataset",
    "Shop": "agentrec.data.shop",
    "load_dataset": "agentrec.data.load",
    "leave_one_out": "agentrec.data.split",
    "Histories": "agentrec.core.types",
    "Popularity": "agentrec.models.popularity",
    "Transitions": "agentrec.models.transitions",
    "SASRec": "agentrec.models.sasrec",
    "SIDVocabulary": "agentrec.semantic_ids.vocabulary",
    "GenerativeRecommender": "agentrec.serving.generative",
    "load_recommender": "agentrec.serving.load",
    "evaluate": "agentrec.evaluation.ranking",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'agentrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
