"""Options of a command from a dataclass of settings: one per field, named, typed and explained.

The settings of an evaluation task are known only once its file is; so its options are read after the task's name, and
``--help`` after the name lists them.
"""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from agentrec.core.errors import ConfigError


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}; see `{self.prog} --help`")


class _Store(argparse.Action):
    """Refuses a second value, where argparse takes the last one silently."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        _refuse_second(parser, namespace, self.dest, option)
        setattr(namespace, self.dest, values)


class _Flag(argparse.BooleanOptionalAction):
    """Refuses to be given twice."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        _refuse_second(parser, namespace, self.dest, option)
        super().__call__(parser, namespace, values, option)


def _refuse_second(
    parser: argparse.ArgumentParser, namespace: argparse.Namespace, name: str, option: str | None
) -> None:
    if hasattr(namespace, name):
        parser.error(f"{option} is given twice; expected it once, with commas between several values")


def parser_of(
    config: type[Any], *, command: str, help: str = "", taken: Collection[str] = ()
) -> argparse.ArgumentParser:
    """A parser with one option per field of a dataclass; ``metadata["help"]`` explains it.

    Args:
        config: dataclass of settings: texts, numbers, paths, booleans, literals, and tuples or lists of such.
        command: what messages call the command.
        help: stands before the options.
        taken: names of the command's own options, which no field may have.

    Raises:
        ConfigError: a field has another type, or a name that is taken.
    """
    shown = argparse.RawDescriptionHelpFormatter
    parser = _Parser(command, description=help, allow_abbrev=False, add_help=False, formatter_class=shown)
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name in taken:
            raise ConfigError(
                f"{config.__qualname__} has a setting {field.name!r}, which is an option of `{command}` itself; "
                "expected another name"
            )
        _add(parser, field, _plain(hints[field.name]))
    return parser


def parse_settings(
    config: type[Any], words: Sequence[str], *, command: str, taken: Collection[str] = ()
) -> dict[str, Any]:
    """Read ``--name value`` words against the fields of a dataclass; only those that were given come back.

    Args:
        config: dataclass of settings.
        words: of the command line, options only.
        command: what messages call the command.
        taken: names of the command's own options.

    Raises:
        ConfigError: an option is unknown or given twice, or its value is of the wrong type.
    """
    return vars(parser_of(config, command=command, taken=taken).parse_args(list(words)))


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], kind: Any) -> None:
    flag = f"--{field.name.replace('_', '-')}"
    default = None if field.default is dataclasses.MISSING else field.default
    note = "" if default in (None, "", False) else f" (default: {default})"
    explained = f"{field.metadata.get('help', '')}{note}".replace("%", "%%")
    common: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": explained}
    if kind is bool:
        parser.add_argument(flag, action=_Flag, **common)
    elif typing.get_origin(kind) is typing.Literal:
        known = typing.get_args(kind)
        parser.add_argument(flag, type=type(known[0]), choices=known, action=_Store, **common)
    else:
        read, shown = _reader(field.name, kind)
        parser.add_argument(flag, type=read, metavar=shown, action=_Store, **common)


def _reader(name: str, kind: Any) -> tuple[Callable[[str], Any], str]:
    """How a word becomes a value, and what help calls it."""
    if kind in (int, float, str, Path):
        return kind, kind.__name__.upper()
    series, parts = typing.get_origin(kind), typing.get_args(kind)
    if series in (tuple, list) and parts[:1] and parts[0] in (int, float, str) and set(parts[1:]) <= {...}:

        def read(text: str) -> Any:
            return series(parts[0](part.strip()) for part in text.split(",") if part.strip())

        read.__name__ = f"{parts[0].__name__},..."  # as argparse calls it in its messages
        return read, f"{parts[0].__name__.upper()},..."
    raise ConfigError(
        f"setting {name!r} is of type {kind}, which the command line cannot read; expected str, int, float, bool, "
        "Path, a Literal, or a tuple or list of str, int or float"
    )


def _plain(hint: Any) -> Any:
    """The type itself, without ``| None``."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint
