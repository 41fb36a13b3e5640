"""Settings: frozen dataclasses filled strictly from mappings and YAML files."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from agentrec.core.errors import ConfigError

Settings = TypeVar("Settings")


def setting(default: Any, help: str) -> Any:
    """A dataclass field with a default and a help text, as HfArgumentParser and the documentation read it."""
    return dataclasses.field(default=default, metadata={"help": help})


def from_mapping(cls: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Fill a dataclass from a mapping.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(
            f"{cls.__qualname__} has no setting {unknown[0]!r}; those that exist are {', '.join(sorted(fields))}"
        )
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{cls.__qualname__} has no value for its setting {name!r}; expected one, so give it")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _checked(name, value, hints[name]) for name, value in values.items()})


def _checked(name: str, value: Any, hint: Any) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kinds = typing.get_args(hint)
        if value is None and type(None) in kinds:
            return None
        hint = next(kind for kind in kinds if kind is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        if value not in typing.get_args(hint):
            known = ", ".join(map(str, typing.get_args(hint)))
            raise ConfigError(f"setting {name!r} is {value!r}; expected one of {known}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = typing.get_origin(hint) or hint
    if kind in (dict, list) and not isinstance(value, kind):
        raise ConfigError(f"setting {name!r} is {value!r}; expected a {'mapping' if kind is dict else 'list'}")
    if hint in (bool, int, float, str) and type(value) is not hint:
        raise ConfigError(f"setting {name!r} is {value!r}; expected a value of type {hint.__name__}")
    return value


def parse_yaml(text: str) -> Any:
    """Parse YAML safely; ``1e-3`` is a number, as in YAML 1.2, where PyYAML alone reads a text."""
    import yaml

    class Loader(yaml.SafeLoader):
        """SafeLoader with the numbers of YAML 1.2."""

    pattern = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", pattern, list("-+.0123456789"))
    return yaml.load(text, Loader)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds something else.
    """
    import yaml

    try:
        content = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; expected a YAML file there, so check its name") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds {type(content).__name__}; expected a mapping of settings")
    return content
