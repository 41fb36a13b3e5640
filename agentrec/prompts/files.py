"""Finds, renders and hashes prompt files: ``prompts/<who>/<step>.md`` with YAML front matter and a Jinja body.

The front matter declares ``variables`` (a list) and ``version`` (an integer). Rendering is strict, runs in Jinja's
sandbox, since values come from data, and escapes nothing, since a prompt is not HTML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

import yaml
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.core.files import json_hash
from agentrec.core.resources import resource_folder

FRONT = re.compile(r"\A---\n(.*?\n)---\n(.*)\Z", re.DOTALL)
ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
)


@dataclass(frozen=True)
class Prompt:
    """One prompt file.

    Attributes:
        name: ``"<who>/<step>"``.
        version: raised by hand whenever the meaning changes.
        variables: the names that `render` takes.
        body: the Jinja source.
    """

    name: str
    version: int
    variables: tuple[str, ...]
    body: str

    @classmethod
    def load(cls, name: str, folder: str | Path | None = None) -> Self:
        """Read a prompt file.

        Args:
            name: ``"<who>/<step>"``, for example ``"sft/next_item_user"``.
            folder: where to look; by default the prompts of this installation.

        Raises:
            UnknownNameError: there is no such prompt.
            ConfigError: the file is malformed.
        """
        known = list_prompts(folder)
        if name not in known:
            raise UnknownNameError(f"no prompt is called {name!r}; those that exist are {', '.join(known)}")
        return cls.parse(name, (_folder(folder) / f"{name}.md").read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Read a prompt from the text of its file.

        Raises:
            ConfigError: front matter or template is malformed, or they disagree about the variables.
        """
        match = FRONT.match(text)
        if match is None:
            raise ConfigError(f"prompt {name!r} has no front matter; expected variables and version between '---'")
        version, variables = _front(name, match[1])
        try:
            used = find_undeclared_variables(ENVIRONMENT.parse(match[2]))
        except TemplateError as error:
            raise ConfigError(f"prompt {name!r} is not a valid Jinja template: {error}") from error
        if used != set(variables):
            raise ConfigError(
                f"prompt {name!r} declares the variables {sorted(variables)} and uses {sorted(used)}; expected the same"
            )
        return cls(name, version, variables, match[2])

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits over version, variables and body."""
        return json_hash([self.version, sorted(self.variables), self.body])

    @cached_property
    def _template(self) -> Template:
        return ENVIRONMENT.from_string(self.body)

    def render(self, **variables: Any) -> str:
        """Fill in the variables; white space at both ends is cut off.

        Raises:
            ConfigError: a variable is missing, unknown, or lacks a part that the template asks for.
        """
        given, wanted = set(variables), set(self.variables)
        if given != wanted:
            raise ConfigError(
                f"prompt {self.name!r} was given {sorted(given)}; expected {sorted(wanted)}"
                f" (missing {sorted(wanted - given)}, unknown {sorted(given - wanted)})"
            )
        try:
            return self._template.render(variables).strip()
        except (TemplateError, TypeError) as error:
            raise ConfigError(f"prompt {self.name!r} could not be filled in ({error}); check the values") from error


@cache
def prompt(name: str) -> Prompt:
    """A prompt of this installation, read and compiled once per process.

    Raises:
        UnknownNameError: there is no such prompt.
        ConfigError: the file is malformed.
    """
    return Prompt.load(name)


def list_prompts(folder: str | Path | None = None) -> list[str]:
    """The names of all prompts, sorted."""
    root = _folder(folder)
    return sorted(file.relative_to(root).with_suffix("").as_posix() for file in root.glob("*/*.md"))


def _folder(folder: str | Path | None) -> Path:
    return resource_folder("prompts") if folder is None else Path(folder)


def _front(name: str, text: str) -> tuple[int, tuple[str, ...]]:
    """Version and variables of the front matter."""
    try:
        front = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"prompt {name!r} has front matter that is not YAML ({reason}); correct the file") from error
    if not isinstance(front, dict) or set(front) != {"variables", "version"}:
        found = sorted(map(str, front)) if isinstance(front, dict) else repr(front)
        raise ConfigError(f"prompt {name!r} has front matter with {found}; expected variables and version")
    version, variables = front["version"], front["variables"]
    if type(version) is not int or version < 1:
        raise ConfigError(f"prompt {name!r} has version {version!r}; expected a whole number from 1")
    if not isinstance(variables, list) or not all(isinstance(each, str) and each.isidentifier() for each in variables):
        raise ConfigError(f"prompt {name!r} has variables {variables!r}; expected a list of names")
    return version, tuple(variables)
