"""The folder of a trained generator: a Hugging Face checkpoint, its semantic IDs, and one manifest.

``AutoModelForCausalLM.from_pretrained(folder)`` opens it like any other model. ``agentrec.json`` adds how prompts are
built and what the model was trained on, and ``sids/`` holds the `SIDVocabulary` artefact. The folder is written whole
or not at all. Training writes it, serving reads it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agentrec.core.artefact import FORMAT, card_text, read_manifest, writing_weights
from agentrec.core.errors import ArtefactError
from agentrec.core.files import MANIFEST, whole_folder, write_json
from agentrec.core.protocols import Saved

ROOM, METHOD_NAME = "serving", "generative"
SIDS = "sids"
SUMMARY = "A causal language model that writes semantic IDs of real items."
LOG = "training_log.json"


class SavedGenerator(NamedTuple):
    """What a generator's folder holds.

    Attributes:
        model: Hugging Face causal language model, in eval mode.
        tokenizer: its tokenizer.
        config: the form's settings and defaults of serving.
        provenance: what it was trained on.
    """

    model: Any
    tokenizer: Any
    config: dict[str, Any]
    provenance: dict[str, Any]


def save_generator(
    folder: str | Path,
    model: Any,
    tokenizer: Any,
    vocabulary: Saved,
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]] = (),
    weights: Mapping[str, Any] | None = None,
) -> None:
    """Write the folder.

    Args:
        folder: to write; an older one stays if writing fails.
        model: a Hugging Face model (a LoRA model merged first).
        tokenizer: extended by the vocabulary.
        vocabulary: the `SIDVocabulary`.
        config: the form's settings.
        provenance: data and semantic-ID hashes, settings, seed, versions.
        log: of training, one mapping per logging step.
        weights: name -> tensor, where the model's own are spread over processes.
    """
    with whole_folder(folder) as temporary:
        write_generator(temporary, model, tokenizer, vocabulary, config=config, provenance=provenance, weights=weights)
        write_json(temporary / LOG, [dict(entry) for entry in log])


def write_generator(
    folder: Path,
    model: Any,
    tokenizer: Any,
    vocabulary: Saved,
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    weights: Mapping[str, Any] | None = None,
) -> None:
    """Write the parts into an existing folder."""
    with no_bars(), writing_weights(folder):
        model.save_pretrained(folder, state_dict=weights)
        _save_tokenizer(tokenizer, folder)
    vocabulary.save_pretrained(folder / SIDS)
    names = {"module": "agentrec.serving.generative", "name": "GenerativeRecommender"}
    card = card_text({**config, **provenance}, summary=SUMMARY, room=ROOM, method=METHOD_NAME, **names)
    (folder / "README.md").write_text(card, encoding="utf-8")
    manifest = {"format": FORMAT, "room": ROOM, "method": METHOD_NAME}
    write_json(folder / MANIFEST, {**manifest, "config": dict(config), "provenance": dict(provenance)})


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write it; without chat template where it knows no text, because vLLM 0.32's server falls over such a chat."""
    template = tokenizer.chat_template
    if template is not None and not tokenizer.encode("x", add_special_tokens=False):
        tokenizer.chat_template = None
    try:
        tokenizer.save_pretrained(folder)
    finally:
        tokenizer.chat_template = template


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Keep transformers from drawing its bars for reading and writing weights, and put back what was set."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def read_generator(folder: str | Path) -> SavedGenerator:
    """Load model, tokenizer and manifest.

    Raises:
        ArtefactError: the folder holds something else, or a file of it is missing or truncated.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    manifest = read_manifest(folder)
    if (manifest["room"], manifest["method"]) != (ROOM, METHOD_NAME):
        raise ArtefactError(
            f"{folder} holds {manifest['room']}/{manifest['method']}; expected a trained generator, so point to "
            "another folder"
        )
    try:
        with no_bars():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True)
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise ArtefactError(
            f"the checkpoint in {folder} cannot be read ({str(error).splitlines()[0]}); it is truncated or incomplete, "
            "so train or copy it again"
        ) from error
    return SavedGenerator(model.eval(), tokenizer, manifest["config"], manifest["provenance"])
