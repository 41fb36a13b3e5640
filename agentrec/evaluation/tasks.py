"""How evaluation tasks are found: files of the top-level folder ``evals``, paths, and entry points.

A task is a Python file with a docstring, ``Config`` (a frozen dataclass of settings) and
``run(config, *, progress=False) -> Result``. Its name is its file's name. Listing parses files and imports nothing.
Other packages add tasks by entry points in the group ``agentrec.evals`` that name such a module.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.core.resources import resource_folder

GROUP = "agentrec.evals"


def task_summaries() -> dict[str, str]:
    """Name -> first line of the docstring (or the entry point's target), sorted by name."""
    found = {point.name: point.value for point in entry_points(group=GROUP)}
    for name, file in _files().items():
        found[name] = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    return dict(sorted(found.items()))


def load_task(name: str | Path) -> ModuleType:
    """Import a task by its name, or by the path of its file.

    Raises:
        UnknownNameError: no task has that name, or no file lies there.
        ConfigError: the file is no task.
    """
    files, points = _files(), {point.name: point for point in entry_points(group=GROUP)}
    if str(name) in files:
        module = _import_file(files[str(name)])
    elif str(name).endswith(".py") and Path(name).is_file():
        module = _import_file(Path(name))
    elif str(name) in points:
        module = importlib.import_module(points[str(name)].module)
    else:
        known = ", ".join(sorted({*files, *points}))
        raise UnknownNameError(
            f"there is no evaluation task {str(name)!r}; those that exist are {known}, or give the path of a .py file"
        )
    missing = [part for part in ("Config", "run") if not hasattr(module, part)]
    if missing:
        raise ConfigError(f"{module.__file__} has no {missing[0]!r}; expected a task with `Config` and `run(config)`")
    return module


def _files() -> dict[str, Path]:
    return {file.stem: file for file in sorted(resource_folder("evals").glob("*.py")) if not file.stem.startswith("_")}


def _import_file(path: Path) -> ModuleType:
    name = f"{GROUP}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported; expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
