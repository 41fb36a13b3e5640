"""Prompts of models that think before they answer: the same chat, with the template told to let them."""

from __future__ import annotations

from agentrec.core.types import IntArray
from agentrec.prompts.forms import Form, InstructionForm
from agentrec.serving.engines.plan import token_of
from agentrec.serving.service.failures import ConflictError


def thinking_prompt(form: Form, history: IntArray, marker: str) -> list[int]:
    """Token ids behind which the model writes what it thinks.

    Args:
        form: of the model.
        history: (k,) int64 item indexes.
        marker: token by which the model ends what it thinks.

    Raises:
        ConflictError: the model reads semantic IDs alone and cannot write text, or it has no such token.
    """
    if not isinstance(form, InstructionForm):
        raise ConflictError(
            f"the model reads the {form.name} form, which has no words, so it cannot think; expected a model of the "
            "instruction form, so ask with mode 'direct'"
        )
    if token_of(form.tokenizer, marker) is None:
        raise ConflictError(
            f"the model has no token {marker!r}, which ends what a model thinks, so it cannot think; expected one that "
            "has it, or the service to be started with its own as --marker, so ask with mode 'direct'"
        )
    encoded = form.tokenizer.apply_chat_template(
        form.messages(history), add_generation_prompt=True, enable_thinking=True, tokenize=True, return_dict=True
    )
    return list(encoded["input_ids"])
