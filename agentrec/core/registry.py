"""The folder is the registry: a method's name is its file's name.

A module is a method when it binds ``METHOD`` (its class) at top level; where methods are folders, one file in each of
them does, and the folder's name is the method's. Listing parses files and imports nothing;
`Registry.load` imports the one module asked for. Other packages add methods by entry points in the group of the
room's name, for example ``[project.entry-points."agentrec.models"]``.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from agentrec.core.errors import UnknownNameError


@dataclass(frozen=True)
class Registry:
    """The methods of one package.

    Attributes:
        package: import name of the folder, which is the entry point group too.
        file: where methods are folders, the name of the module in each that binds ``METHOD``.
    """

    package: str
    file: str = ""

    @cached_property
    def _local(self) -> dict[str, str]:
        spec = find_spec(self.package)
        folders = [] if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations
        found = {}
        for folder in folders:
            for file in sorted(Path(folder).glob(f"*/{self.file}.py" if self.file else "*.py")):
                tree = ast.parse(file.read_text(encoding="utf-8"))
                if any(_binds_method(node) for node in tree.body):
                    name = file.parent.name if self.file else file.stem
                    found[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
        return found

    @cached_property
    def _foreign(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.package)}

    def names(self) -> list[str]:
        """The names of all methods, sorted."""
        return sorted({*self._local, *self._foreign})

    def summaries(self) -> dict[str, str]:
        """Name -> first line of the method's docstring (or the entry point's target)."""
        foreign = {name: point.value for name, point in self._foreign.items()}
        return {name: self._local.get(name) or foreign.get(name, "") for name in self.names()}

    def module(self, name: str) -> ModuleType:
        """Import the module of one method.

        Raises:
            UnknownNameError: no method has that name.
        """
        if name in self._local:
            return importlib.import_module(".".join(part for part in (self.package, name, self.file) if part))
        if name in self._foreign:
            return importlib.import_module(self._foreign[name].module)
        room = self.package.rpartition(".")[2]
        raise UnknownNameError(f"{room} has no method {name!r}; those that exist are {', '.join(self.names())}")

    def load(self, name: str) -> Any:
        """Import one method's class.

        Raises:
            UnknownNameError: no method has that name.
        """
        return self.module(name).METHOD


def _binds_method(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "METHOD" for target in targets)
