"""What every test may rely on: one thread, no network, no display, and the folder of real data where there is one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")  # while Playwright runs, its thread has an event loop, so it must not outlive the file
def browser() -> Iterator[Any]:
    """A real Chromium that asks nobody for anything."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on PATH; expected one to look at pages")
    playwright = pytest.importorskip("playwright.sync_api")
    off = ("gpu", "quic", "background-networking", "component-update", "sync")
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in off)]
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()
