"""How evaluation tasks are found: files of the top-level folder ``evals``, paths, and entry points.

A file holds one function that wears `agentrec.evaluation.task.task`, and the function's name is the file's. Listing
parses files and imports nothing. Other packages add tasks by entry points in the group ``agentrec.evals`` that name
such a module.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from agentrec.core.errors import AgentrecError, ConfigError, UnknownNameError
from agentrec.core.resources import resource_folder
from agentrec.evaluation.task import TaskFile

GROUP = "agentrec.evals"


def task_summaries() -> dict[str, str]:
    """Name -> first line of the docstring (or the entry point's target), sorted by name."""
    found = {point.name: point.value for point in entry_points(group=GROUP)}
    for name, file in task_files().items():
        try:
            found[name] = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        except SyntaxError as error:
            found[name] = f"(broken: {error.msg} in line {error.lineno})"
        except (ValueError, OSError) as error:  # not text, or not readable
            found[name] = f"(broken: {error})"
    return dict(sorted(found.items()))


def load_task(name: str | Path) -> TaskFile:
    """Import a task by its name, or by the path of its file.

    Raises:
        UnknownNameError: no task has that name, or no file lies there.
        ConfigError: the file cannot be imported, or holds no task.
    """
    files, points = task_files(), {point.name: point for point in entry_points(group=GROUP)}
    if str(name) in files:
        module = _import_file(files[str(name)])
    elif str(name).endswith(".py") and Path(name).is_file():
        module = _import_file(Path(name))
    elif str(name) in points:
        with _importing(points[str(name)].value):
            module = importlib.import_module(points[str(name)].module)
    else:
        known = ", ".join(sorted({*files, *points}))
        raise UnknownNameError(
            f"there is no evaluation task {str(name)!r}; those that exist are {known}, or give the path of a .py file"
        )
    tasks = {id(value): value for value in vars(module).values() if isinstance(value, TaskFile)}
    found = [value for value in tasks.values() if value.build.__module__ == module.__name__]
    if len(found) != 1:
        raise ConfigError(
            f"{module.__file__} holds {len(found)} tasks; expected one function that wears "
            "@agentrec.evaluation.task.task"
        )
    return found[0]


def task_files() -> dict[str, Path]:
    """The files of the folder ``evals``, by name."""
    return {file.stem: file for file in sorted(resource_folder("evals").glob("*.py")) if not file.stem.startswith("_")}


def _import_file(path: Path) -> ModuleType:
    name = f"{GROUP}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported; expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    with _importing(path):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _importing(what: str | Path) -> Iterator[None]:
    """Say in one sentence why a task cannot be imported."""
    try:
        yield
    except AgentrecError:
        raise
    except SyntaxError as error:
        raise ConfigError(
            f"{error.filename or what} is not valid Python: {error.msg} in line {error.lineno}; correct it and run "
            "again"
        ) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{what} could not be imported ({type(error).__name__}: {error}); expected a task that imports, so try "
            f"`python {what}`"
        ) from error
