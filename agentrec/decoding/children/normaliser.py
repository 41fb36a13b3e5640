"""The logarithm of the sum of exponentials of every row of logits, which turns scores into log-probabilities.

A search needs one number per beam and not the log-probabilities of every token, so nothing of the size of the logits is
written. On CPUs a compiled loop does it in a fifth of the time of `torch.logsumexp`, equally exact: the exponential is
the polynomial of the Cephes library, which compilers vectorise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agentrec.core.errors import require

require("numba", "train")

from numba import njit  # noqa: E402 - after the sentence that says which extra brings it

from agentrec.decoding.children.kernels import INFINITE, largest_of_run, ordered  # noqa: E402
from agentrec.decoding.children.threads import spread  # noqa: E402

FAST = {"reassoc", "nsz", "contract"}  # sums in any order; what is not a number stays what it is
PER_CHILD = 4  # exponentials in the time of looking at one child


def log_total(logits: torch.Tensor) -> torch.Tensor:
    """``log sum_v exp logits[..., v]``, in float32 whatever the logits are.

    Args:
        logits: (..., V); a row of ``-inf`` gives ``-inf``, and one with NaN gives NaN.

    Returns:
        (...,) float32.
    """
    if logits.device.type != "cpu" or logits.requires_grad:
        return logits.float().logsumexp(dim=-1)
    lines = logits.float().contiguous().reshape(-1, logits.shape[-1]).numpy()
    out = np.empty(len(lines), np.float32)
    spread(lambda rows: _log_totals(rows, lines, out), len(lines), lines.size // PER_CHILD)
    return torch.from_numpy(out).reshape(logits.shape[:-1])


@njit(cache=True, nogil=True)
def _log_totals(rows: Any, lines: Any, out: Any) -> None:
    """`log_total` of some rows: lines (B, V) float32, out (B,) written."""
    parts, scales = np.empty(lines.shape[1], np.float32), np.empty(lines.shape[1], np.int32)
    top = np.empty(1, np.float32)
    for row in rows:
        line = lines[row]
        key = largest_of_run(line.view(np.int32))
        top.view(np.int32)[0] = ordered(key)
        if key == INFINITE:  # or something that is not a number
            for number in line:
                top[0] = number if number != number else top[0]
            out[row] = top[0]
        elif top[0] == -np.inf:
            out[row] = top[0]
        else:
            _exponentials(line, top[0], parts, scales)
            out[row] = top[0] + np.log(_product(parts, scales.view(np.float32)))


@njit(cache=True, nogil=True, fastmath=FAST)
def _exponentials(line: Any, top: Any, parts: Any, scales: Any) -> None:
    """``exp(line - top)`` as parts * 2**n, with the bits of 2**n in scales (int32). Nothing here is NaN or +inf."""
    for i in range(len(line)):
        x = max(line[i] - top, np.float32(-87.0))
        n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
        f = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)  # ln 2 in two parts
        p = np.float32(1.9875691500e-4)
        p = p * f + np.float32(1.3981999507e-3)
        p = p * f + np.float32(8.3334519073e-3)
        p = p * f + np.float32(4.1665795894e-2)
        p = p * f + np.float32(1.6666665459e-1)
        p = p * f + np.float32(5.0000001201e-1)
        parts[i] = p * f * f + f + np.float32(1.0)
        scales[i] = (np.int32(n) + 127) << 23


@njit(cache=True, nogil=True, fastmath=FAST)
def _product(parts: Any, scales: Any) -> Any:
    total = np.float32(0)
    for i in range(len(parts)):
        total += parts[i] * scales[i]
    return total
