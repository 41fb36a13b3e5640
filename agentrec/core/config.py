"""Settings: frozen dataclasses filled strictly from mappings and YAML files."""

from __future__ import annotations

import dataclasses
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
        ConfigError: a key is unknown, or a value has the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(
            f"{cls.__qualname__} has no setting {unknown[0]!r}; those that exist are {', '.join(sorted(fields))}"
        )
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
    if hint is float and isinstance(value, str):  # YAML reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            pass
    if hint in (bool, int, float, str) and type(value) is not hint:
        raise ConfigError(f"setting {name!r} is {value!r}; expected a value of type {hint.__name__}")
    return value


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds something else.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; expected a YAML file there, so check its name") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds {type(content).__name__}; expected a mapping of settings")
    return content
