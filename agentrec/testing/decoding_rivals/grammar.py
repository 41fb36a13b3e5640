"""A grammar that is one long choice, compiled by xgrammar: how general engines constrain to a set of strings.

Every beam replays its prefix in a matcher, which fills a bitmask of the vocabulary. Compiling takes seconds for
thousands of items, so that larger catalogues are out of reach.
"""

from __future__ import annotations

import torch

from agentrec.core.errors import require
from agentrec.core.types import IntArray


class ChoiceGrammar:
    """The choice among all items, each written as its tokens.

    Args:
        codes: (N, L) int64.
        size: K, codes per level; the token of code c at level l is ``<l_c>``.

    Raises:
        MissingExtraError: xgrammar is not installed.
    """

    def __init__(self, codes: IntArray, size: int) -> None:
        require("xgrammar", "vllm")  # which brings it along
        import xgrammar

        levels = codes.shape[1]
        tokens = [f"<{level}_{code}>" for level in range(levels) for code in range(size)]
        info = xgrammar.TokenizerInfo([*tokens, "</s>"], stop_token_ids=[len(tokens)])
        choices = " | ".join(
            '"' + "".join(f"<{level}_{code}>" for level, code in enumerate(row)) + '"' for row in codes
        )
        grammar = xgrammar.GrammarCompiler(info).compile_grammar(f"root ::= {choices}")
        self.size = size
        self.matcher = xgrammar.GrammarMatcher(grammar)
        self._fill, self._words = xgrammar.allocate_token_bitmask, info.vocab_size

    def allowed(self, prefixes: torch.Tensor) -> torch.Tensor:
        """See `agentrec.testing.decoding_rivals.masked.PrefixMask`; a prefix of no item allows nothing."""
        level = prefixes.shape[1]
        masks: torch.Tensor = self._fill(len(prefixes), self._words)
        for row, prefix in enumerate(prefixes.tolist()):
            self.matcher.reset()
            if all(self.matcher.accept_token(step * self.size + code) for step, code in enumerate(prefix)):
                self.matcher.fill_next_token_bitmask(masks, row)
            else:
                masks[row] = 0
        bits: torch.Tensor = (masks[..., None] >> torch.arange(32, dtype=torch.int32)) & 1
        return bits.flatten(1)[:, level * self.size : (level + 1) * self.size].bool()
