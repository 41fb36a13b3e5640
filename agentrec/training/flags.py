"""Flags of the commands that train generators: ours beside all of `trl.SFTConfig`, from the line or a YAML file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trl import SFTConfig, TrlParser

from agentrec.core.config import setting
from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.training.sft_settings import COMMON, Config, defaults


@dataclass(frozen=True)
class Paths:
    """Where things lie, for the command line."""

    data: str = setting("", "data set: a saved folder or anything load_dataset reads")
    sids: str = setting("", "folder of the semantic IDs")
    out: str = setting("", "folder to write the generator to")


def read_flags(arguments: Sequence[str] | None, *more: type[Any]) -> tuple[Paths, Config, SFTConfig, *tuple[Any, ...]]:
    """Read flags and ``--config file.yaml``: fields of `Paths`, `Config`, `trl.SFTConfig`, and of ``more`` dataclasses.

    Raises:
        ConfigError: a flag is unknown or its value of the wrong type, or a folder is not given.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)

    def parse(values: Mapping[str, Any]) -> tuple[Any, ...]:
        parser = TrlParser((Paths, Config, SFTConfig, *more))
        parser.set_defaults(**values)
        return tuple(parser.parse_args_and_config(argv))

    try:
        _, config, *_ = parse(COMMON)
        paths, config, args, *others = parse(defaults(config))  # they depend on whether the model is a preset
    except AgentrecError:
        raise
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"the flags or the file of --config cannot be used: {' '.join(str(error).split())}"
        ) from error
    missing = next((name for name in ("data", "sids", "out") if not getattr(paths, name)), None)
    if missing is not None:
        raise ConfigError(f"--{missing} is not given; expected a folder")
    args.output_dir = f"{paths.out}.checkpoints"
    return paths, config, args, *others
