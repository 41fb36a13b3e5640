"""Text and items in the tokens that an engine wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrec.decoding.stepping import OutputStates, TokenLayout
from agentrec.serving.engines.plan import TextPlan
from agentrec.serving.engines.protocol import TextResult


def text_result(plan: TextPlan, tokens: Sequence[int], layout: TokenLayout, tokenizer: Any) -> TextResult:
    """What an output says: the text in front of the marker, and the items behind it.

    Args:
        plan: of the request.
        tokens: of the output, with or without its end token.
        layout: the items as the model writes them.
        tokenizer: of the model.
    """
    written, items = list(tokens), tuple[int, ...]()
    text = written
    if plan.job is not None:
        states = OutputStates(layout, 1)
        states.begin(0, plan.job)
        states.push([0] * len(written), written)
        items = tuple(states.items(0))
        marker = plan.job.marker
        text = written[: written.index(marker)] if marker in written else [] if marker < 0 else written
    spoken = tokenizer.decode([token for token in text if token not in layout.eos])
    return TextResult(spoken, items, len(plan.request.prompt), len(written))
