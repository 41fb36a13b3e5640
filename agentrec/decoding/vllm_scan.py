"""vLLM started beside compiled loops: a guard for its CPU platform.

vLLM 0.32 on CPUs looks at every attribute of every module that is loaded and asks it for its ``__dict__``. The handle
of llvmlite, on which numba builds, answers to any name with a function, and the engine stops with ``'_lib_fn_wrapper'
object has no attribute 'get'``. So that one module is out of sight while an engine starts.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

HIDDEN = "llvmlite.binding.ffi"


@contextlib.contextmanager
def engine_starts() -> Iterator[None]:
    """Wrap the making of a vLLM engine in this process; another thread should not import numba meanwhile."""
    module = sys.modules.pop(HIDDEN, None)
    try:
        yield
    finally:
        if module is not None:
            sys.modules[HIDDEN] = module
