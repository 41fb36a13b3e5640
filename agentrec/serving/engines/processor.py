"""The class that vLLM is given by name to hold a generator to its items: ``--logits-processors`` of this `FOLLOWED`.

It finds the items in the generator's folder, which is the model that vLLM serves unless the environment variable
``AGENTREC_GENERATOR`` names another, and the named sets in the folder ``AGENTREC_SETS``. For one engine, vLLM's
``--additional-config '{"agentrec": {"generator": ..., "sets": ..., "prompt_marker": ..., "prompt_constraint": ...}}'``
says the same and more. The process that answers HTTP reads the environment only; without it, a request for a set that
does not exist is accepted there, and ends without items.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError
from agentrec.core.files import MANIFEST
from agentrec.decoding.vllm import ConstrainedProcessor
from agentrec.models.generator import SIDS

if TYPE_CHECKING:
    from agentrec.decoding.asked import Served
    from agentrec.decoding.sets.named import ConstraintSets

FOLLOWED = "agentrec.serving.engines.processor:ItemsProcessor"
GENERATOR, SETS = "AGENTREC_GENERATOR", "AGENTREC_SETS"


@dataclass(frozen=True)
class Where:
    """Where items and sets lie."""

    generator: str = setting("", "Folder of the generator; the model that is served by default.")
    sets: str = setting("", "Folder of constraint sets, written by ConstraintSets.save; only 'all' by default.")
    prompt_marker: str = setting("", "Text in a prompt behind which there are items, also without extra_args.")
    prompt_constraint: str = setting("all", "The set of such prompts.")


class ItemsProcessor(ConstrainedProcessor):
    """Holds requests to the items of a generator's folder; does nothing for other models."""

    opened: ClassVar[Served | None] = None  # by the engine of this process

    @classmethod
    def open(cls, vllm_config: Any | None) -> Served | None:
        """See `ConstrainedProcessor`."""
        if cls.served is not None:
            return cls.served
        if vllm_config is None:
            return cls.opened or _open(Where(*(os.environ.get(name, "") for name in (GENERATOR, SETS))))
        given = (vllm_config.additional_config or {}).get("agentrec", {})
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"additional_config has agentrec {given!r}; expected a mapping such as {{'sets': folder}}"
            )
        known = {"generator": os.environ.get(GENERATOR, ""), "sets": os.environ.get(SETS, ""), **given}
        where = from_mapping(
            Where, {"generator": vllm_config.model_config.model, **{k: v for k, v in known.items() if v}}
        )
        ItemsProcessor.opened = _open(where)
        return ItemsProcessor.opened


class PluginProcessor(ItemsProcessor):
    """The same, as vLLM finds it installed: steps back where an engine names `ItemsProcessor` itself.

    Raises:
        ConfigError: an engine serves a generator of ours under asynchronous scheduling and does not name the class.
    """

    @classmethod
    def open(cls, vllm_config: Any | None) -> Served | None:
        """See `ConstrainedProcessor`; None for an engine that names a class itself, whose sets may be others."""
        named = () if vllm_config is None else vllm_config.model_config.logits_processors or ()
        if any(other == FOLLOWED or isinstance(other, type) for other in named):
            return None
        return super().open(vllm_config)

    def __init__(self, vllm_config: Any, *rest: Any) -> None:
        super().__init__(vllm_config, *rest)
        hidden = len(rest) > 1 and getattr(vllm_config.scheduler_config, "async_scheduling", False)
        if self._requests is not None and hidden:
            raise ConfigError(
                f"vLLM schedules asynchronously and shows an installed processor no tokens; start it with "
                f"--logits-processors {FOLLOWED}, or with --no-async-scheduling"
            )


@cache
def _open(where: Where) -> Served | None:
    """The items of a folder; None where it is no generator of ours."""
    if not where.generator or not (Path(where.generator) / SIDS / MANIFEST).is_file():
        return None
    return open_served(where)


def open_served(where: Where, sets: ConstraintSets | None = None) -> Served:
    """The items of a generator's folder, without its model.

    Args:
        where: the folders.
        sets: over an index on the host, which take the place of the folder of sets.

    Raises:
        ArtefactError: the folder is no generator, or damaged.
        ConfigError: the prompt marker is no text of its tokenizer.
    """
    from agentrec.decoding.asked import PromptForm, Served
    from agentrec.decoding.sets.watched import WatchedSets
    from agentrec.serving.engines.local_sets import sets_of_folder

    sets, layout, tokenizer = sets_of_folder(where.generator, sets)
    current = WatchedSets(where.sets, layout.index) if where.sets else _always(sets)
    form = None
    if where.prompt_marker:
        marker = tuple(tokenizer.encode(where.prompt_marker, add_special_tokens=False))
        form = PromptForm(marker, where.prompt_constraint)
    return Served(layout, current, tokenizer.get_vocab().get, form)


def _always(sets: ConstraintSets) -> Callable[[], ConstraintSets]:
    return lambda: sets
