"""Options of a command from a dataclass of settings: one per field, named, typed and explained.

The settings of an evaluation task are known only once its file is; so its options are read after the task's name, and
``--help`` after the name lists them.
"""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

from agentrec.core.errors import ConfigError


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}; see `{self.prog} --help`")


def parser_of(config: type[Any], *, command: str, help: str = "") -> argparse.ArgumentParser:
    """A parser with one option per field of a dataclass; ``metadata["help"]`` explains it."""
    shown = argparse.RawDescriptionHelpFormatter
    parser = _Parser(command, description=help, allow_abbrev=False, add_help=False, formatter_class=shown)
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        _add(parser, field, _plain(hints[field.name]))
    return parser


def parse_settings(config: type[Any], words: Sequence[str], *, command: str) -> dict[str, Any]:
    """Read ``--name value`` words against the fields of a dataclass; only those that were given come back.

    Args:
        config: dataclass of settings.
        words: of the command line, options only.
        command: what messages call the command.

    Raises:
        ConfigError: an option is unknown, or its value is of the wrong type.
    """
    return vars(parser_of(config, command=command).parse_args(list(words)))


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], kind: Any) -> None:
    flag = f"--{field.name.replace('_', '-')}"
    default = None if field.default is dataclasses.MISSING else field.default
    note = "" if default in (None, "", False) else f" (default: {default})"
    explained = f"{field.metadata.get('help', '')}{note}".replace("%", "%%")
    common: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": explained}
    if kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
    elif typing.get_origin(kind) is typing.Literal:
        parser.add_argument(flag, choices=typing.get_args(kind), **common)
    else:
        known = kind if kind in (int, float) else str
        parser.add_argument(flag, type=known, metavar=known.__name__.upper(), **common)


def _plain(hint: Any) -> Any:
    """The type itself, without ``| None``."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint
