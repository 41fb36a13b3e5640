"""A vLLM engine started inside this process, beside compiled loops.

vLLM asks the environment whether an engine may start processes, so that is answered while it starts, and put back.
vLLM 0.32 on CPUs looks at every attribute of every module that is loaded and asks it for its ``__dict__``. The handle
of llvmlite, on which numba builds, answers to any name with a function, and the engine stops with ``'_lib_fn_wrapper'
object has no attribute 'get'``. So that one module is out of sight while an engine starts.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

HIDDEN = "llvmlite.binding.ffi"
PROCESSES = "VLLM_ENABLE_V1_MULTIPROCESSING"


@contextlib.contextmanager
def engine_starts() -> Iterator[None]:
    """Wrap the making of a vLLM engine in this process; another thread should not import numba meanwhile."""
    module, asked = sys.modules.pop(HIDDEN, None), os.environ.get(PROCESSES)
    os.environ[PROCESSES] = "0"
    try:
        yield
    finally:
        os.environ.pop(PROCESSES)
        if asked is not None:
            os.environ[PROCESSES] = asked
        if module is not None:
            sys.modules[HIDDEN] = module
