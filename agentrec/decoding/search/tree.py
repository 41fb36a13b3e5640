"""The beams of a request as a tree in one row of the model.

At each level the M newest beam tokens of a request enter as M query tokens of the *same* row: a 4-D mask lets each see
the prompt and its own ancestors, and its position is prompt length + depth. The key-value cache is only appended to,
never reordered: T + M(L-1) rows instead of the M(T+L) of replicated beams.
"""

from __future__ import annotations

import torch

from agentrec.decoding.search.prompt import Prompt


class BeamTree:
    """Beams that grow token by token behind prompts.

    Args:
        prompt: B prompts; the root of each row.
        room: beam tokens per row that will be fed, all levels together.

    Attributes:
        logits: (B, M, V) of the newest beams; (B, 1, V) at the root.
    """

    def __init__(self, prompt: Prompt, room: int) -> None:
        self.logits = prompt.logits
        self._model, self._cache = prompt.model, prompt.fork(room)
        self._lengths = prompt.lengths
        self._visible = prompt.mask[:, None, :]  # (B, M, S): which cached rows each beam may attend to
        self._depth = 0
        self._dtype = next(prompt.model.parameters()).dtype

    def grow(self, parents: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Continue beams by one token each; one forward pass.

        Args:
            parents: (B, M') int64, which newest beam is continued.
            tokens: (B, M') int64.

        Returns:
            Logits (B, M', V) behind the new tokens.
        """
        inherited = self._visible.gather(1, parents[:, :, None].expand(-1, -1, self._visible.shape[2]))
        own = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device).expand(len(tokens), -1, -1)
        self._visible = torch.cat([inherited, own], dim=2)
        hidden = torch.zeros(self._visible.shape, dtype=self._dtype, device=tokens.device)
        hidden.masked_fill_(~self._visible, torch.finfo(self._dtype).min)
        out = self._model(
            input_ids=tokens,
            attention_mask=hidden[:, None],
            position_ids=(self._lengths + self._depth)[:, None].expand_as(tokens),
            past_key_values=self._cache,
        )
        self._depth += 1
        self.logits = out.logits
        return self.logits
