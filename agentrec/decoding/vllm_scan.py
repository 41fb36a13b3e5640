"""vLLM started beside compiled loops and beside training: two guards for its CPU platform.

vLLM 0.32 on CPUs looks at every attribute of every module that is loaded and asks it for its ``__dict__``. The handle
of llvmlite, on which numba builds, answers to any name with a function, and the engine stops with ``'_lib_fn_wrapper'
object has no attribute 'get'``. So that one module is out of sight while an engine starts.

It also copies the weights of linear layers into a layout of oneDNN and drops them; of the output layer it keeps them,
and reads the copy. Weights that are loaded later find no place, or nobody who reads them. Who trains beside an engine
makes it without that.
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


@contextlib.contextmanager
def weights_stay_in_place() -> Iterator[None]:
    """Wrap the making of a vLLM engine whose weights are to be replaced: on CPUs its layers keep reading them.

    It covers engines in float32; in bfloat16, processors with AMX pack small layers all the same.
    """
    from vllm import _custom_ops

    packs = getattr(_custom_ops, "_supports_onednn", None)
    if packs is None:
        yield
        return
    _custom_ops._supports_onednn = False
    try:
        yield
    finally:
        _custom_ops._supports_onednn = packs
