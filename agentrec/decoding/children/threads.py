"""Compiled loops on as many threads as torch has, where the work is worth it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import torch

from agentrec.core.types import IntArray

WORTH_A_THREAD = 20_000  # children looked at per call, below which another thread costs more than it saves

Found = TypeVar("Found")


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="decoding")


def spread(run: Callable[[IntArray], Found], rows: int, work: int) -> list[Found]:
    """Run something on all rows, in even parts, each on a thread.

    Args:
        run: takes row numbers, and lets go of the interpreter lock while it works.
        rows: how many.
        work: of all rows together, in children to look at.
    """
    threads = min(torch.get_num_threads(), 1 + work // WORTH_A_THREAD, rows)
    if threads <= 1:
        return [run(np.arange(rows))]
    return list(_pool().map(run, np.array_split(np.arange(rows), threads)))
