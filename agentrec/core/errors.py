"""Errors and warnings that a user can act on.

Every message names the thing, the value found, what was expected and the remedy, in one sentence. The command line
prints them without a traceback and exits with code 2.
"""

from __future__ import annotations


class AgentrecError(ValueError):
    """Something a user can fix."""


class DataError(AgentrecError):
    """Interactions, items or a split are not usable as they are."""


class EmptySetError(DataError):
    """A set of allowed items holds none; nothing allowed is never taken for everything allowed."""


class ConfigError(AgentrecError):
    """A setting is unknown, of the wrong type or out of range."""


class ArtefactError(AgentrecError):
    """A saved folder is missing, truncated, of another kind, or does not match what it is used with."""


class UnknownNameError(AgentrecError):
    """No implementation of that name exists; the message lists those that do."""


class RecommenderError(AgentrecError):
    """A recommender broke its contract: wrong shape, unknown item, duplicates or scores that are not numbers."""


class TrainingError(AgentrecError):
    """Training cannot go on, for example because the loss is no number; what was trained so far is kept."""


class MissingExtraError(AgentrecError, ImportError):
    """An optional library is not installed; the message says which extra brings it."""


class AgentrecWarning(UserWarning):
    """Base of every warning of this project."""


class DataWarning(AgentrecWarning):
    """Data was accepted, with something a user should know."""


class TrainingWarning(AgentrecWarning):
    """Training does something a user may not expect."""


class ServingWarning(AgentrecWarning):
    """A service does something a user may not expect."""


def require(module: str, extra: str) -> None:
    """Raise unless an optional library can be imported.

    Args:
        module: import name, for example ``"torch"``.
        extra: the extra of this project that installs it.

    Raises:
        MissingExtraError: the library is not installed.
    """
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MissingExtraError(
            f"the library {module!r} is not installed, and this step needs it; install it with "
            f"`pip install 'agentrec[{extra}]'`"
        )
