"""What every test may rely on: one thread, no network, no display, and the folder of real data where there is one."""

import os
from pathlib import Path

import pytest

# Read by torch, huggingface_hub and matplotlib when first imported, hence before any test module.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

DATA = os.environ.get("AGENTREC_DATA", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests whose data or device this machine lacks, with the reason."""
    if not (DATA and Path(DATA).is_dir()):
        reason = f"AGENTREC_DATA is {DATA!r}; expected a folder of data sets"
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason=reason))
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and not _has_cuda():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets; tests that use it are marked ``data``."""
    if not DATA:
        pytest.skip("AGENTREC_DATA is not set; expected a folder of data sets")
    return Path(DATA)
