"""Settings of a recipe's rows, checked before anything is trained: a slip in the last row costs no hours of the first.

What it does not know: settings of semantic IDs, which are fitted first and within seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentrec.core.config import from_mapping
from agentrec.core.errors import ConfigError
from agentrec.pipeline.recipe import GENERATIVE, ORACLE, Method


def check_rows(rows: Mapping[str, Method]) -> None:
    """Build the settings of every row, and train nothing.

    Args:
        rows: recommenders of a recipe by label, those that teach among them.

    Raises:
        ConfigError: a setting is unknown or out of range; the message names the row.
    """
    for label, row in rows.items():
        try:
            _check(row, rows)
        except ConfigError as error:
            raise ConfigError(f"recommender {label!r}: {error}") from error


def _check(row: Method, rows: Mapping[str, Method]) -> None:
    if row.method == ORACLE:
        return
    if row.method != GENERATIVE:
        from agentrec.training import cf

        from_mapping(cf.Config, row.training)
        cf.model_settings(row.method, row.model)
        return
    from agentrec.training.sft_settings import Config, check_training

    check_training(from_mapping(Config, row.config), row.training)
    if row.tca4rec:
        from agentrec.training.tca4rec import Alignment
        from agentrec.training.teacher_mixture import folds_of

        asked = from_mapping(Alignment, row.tca4rec)
        folds_of([rows[label].method for label in row.teachers], asked.folds)
