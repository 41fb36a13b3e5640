"""A Python function as a recommender, and how one is found by a text such as ``my_model.py:recommend``.

The function works with the user's own item ids: ``call(histories, n)`` gets one list of ids per user, oldest first, and
returns one list per user, best first: of ids, or of (id, score) pairs. Lists may be shorter than n; what is longer is
cut. Where seen items are to be left out, a function with a parameter ``exclude_seen`` does that itself; another is
asked for longer lists, from which they are taken out.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from agentrec.core.errors import ConfigError, RecommenderError
from agentrec.core.files import file_hash, json_hash
from agentrec.core.protocols import Recommender
from agentrec.core.types import JSON, PAD, Catalogue, Histories, Recommendations
from agentrec.evaluation.adapters.answers import Ranked, cut_or_fill, read_answer, to_recommendations, without_seen

Call = Callable[..., Sequence[Sequence[Any]]]
EXPECTED = "module:name or path/to/file.py:name"


class FunctionRecommender:
    """A function over item ids as a `agentrec.core.protocols.Recommender`.

    Args:
        call: ``(histories, n)`` -> one list per user, as above.
        catalogue: the items that it may recommend.
        name: what messages call it; the function's own name by default.
        provenance: what results record.

    Example:
        >>> recommender = FunctionRecommender(lambda histories, n: [["b", "a"][:n] for _ in histories],
        ...                                   Catalogue(("a", "b")))
        >>> recommender.recommend(Histories.from_lists([[0], [1]]), 2).items.tolist()
        [[1, 0], [1, 0]]
    """

    def __init__(
        self, call: Call, catalogue: Catalogue, *, name: str | None = None, provenance: JSON | None = None
    ) -> None:
        self._call = call
        self._ids = np.array(catalogue.ids, dtype=object)
        self._index = catalogue.index()
        self._name = str(name or getattr(call, "__name__", type(call).__name__))
        self._leaves_out = "exclude_seen" in _parameters(call)
        self.provenance = {"function": self._name, **(provenance or {})}

    @property
    def num_items(self) -> int:
        """N."""
        return len(self._ids)

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        """See `agentrec.core.protocols.Recommender`.

        Raises:
            RecommenderError: the function fails, or does not answer with one list of known, distinct items per user.
        """
        if not exclude_seen or self._leaves_out:
            options = {"exclude_seen": exclude_seen} if self._leaves_out else {}
            return to_recommendations(self._lists(histories, n, options), n)
        items = np.full((len(histories), n), PAD, np.int64)
        scores = np.full((len(histories), n), -np.inf, np.float32)
        # Powers of two: users share calls, and what is asked about a user does not depend on who else is there.
        widths = np.minimum(2 ** np.ceil(np.log2(n + histories.lengths)), self.num_items).astype(np.int64)
        for width in np.unique(widths).tolist():
            rows = np.flatnonzero(widths == width)
            group = histories.take(rows)
            found = to_recommendations(self._lists(group, width, {}), width)
            items[rows], scores[rows] = cut_or_fill(*without_seen(found, group, self.num_items), n)
        return Recommendations(items, scores)

    def _lists(self, histories: Histories, n: int, options: dict[str, bool]) -> list[Ranked]:
        if not len(histories):
            return []
        asked = [self._ids[history].tolist() for history in histories]
        try:
            answer = self._call(asked, n, **options)
        except Exception as error:  # somebody else's code may raise anything
            raise RecommenderError(
                f"{self._name} raised {type(error).__name__} ({' '.join(str(error).split())}) for {len(asked)} "
                f"histories and n = {n}; expected one list of item ids per history, so run it on its own"
            ) from error
        if isinstance(answer, (str, bytes)) or not hasattr(answer, "__len__") or len(answer) != len(asked):
            size = f" of length {len(answer)}" if hasattr(answer, "__len__") else ""
            raise RecommenderError(
                f"{self._name} returned a {type(answer).__name__}{size} for {len(asked)} histories; expected a list "
                "with one list of item ids per history"
            )
        return [self._one(entries, row) for row, entries in enumerate(answer)]

    def _one(self, entries: Any, row: int) -> Ranked:
        if isinstance(entries, (str, bytes, dict)) or not hasattr(entries, "__iter__"):
            raise RecommenderError(
                f"{self._name} returned {entries!r:.60} for history {row}; expected a list of item ids, best first"
            )
        return read_answer(list(entries), self._index, name=self._name, place=f"for history {row}")


class Found(NamedTuple):
    """What a text named.

    Attributes:
        value: the imported object.
        text: the text.
        file: the file of its source, or None.
    """

    value: Any
    text: str
    file: Path | None

    def identity(self) -> JSON:
        """Name and hash of the source file; files that it imports do not count."""
        return {"function": self.text, "source": None if self.file is None else file_hash(self.file)}


def import_function(text: str) -> Found:
    """Import ``package.module:name`` or ``path/to/file.py:name``.

    Modules are looked for in the working directory too, and a file may import its neighbours.

    Raises:
        ConfigError: the text has no colon, the module or file is not there or fails, or has nothing of that name.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise ConfigError(f"{text!r} names no function; expected {EXPECTED}")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place, text)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            public = ", ".join(key for key in vars(module) if not key.startswith("_") and callable(vars(module)[key]))
            raise ConfigError(f"{place} has no {name!r}; those that can be called are {public or 'none'}")
        value = getattr(value, part)
    source = getattr(module, "__file__", None)
    return Found(value, text, None if source is None else Path(source))


def takes_seed(value: Any) -> bool:
    """Whether an imported object makes a recommender from a seed."""
    return not isinstance(value, Recommender) and "seed" in _parameters(value) and _is_factory(value)


def as_recommender(value: Any, catalogue: Catalogue, *, name: str, seed: int = 0) -> Recommender:
    """Make a recommender of an imported object.

    Args:
        value: a recommender; a class or function without required parameters (``seed`` apart) that makes one, or that
            makes a function of histories and n; or such a function.
        catalogue: the items.
        name: what messages call it.
        seed: handed to a class or function with a parameter ``seed``.

    Raises:
        ConfigError: it is nothing of these.
    """
    if _is_recommender(value):
        return value  # type: ignore[no-any-return]
    if not callable(value):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}; expected a recommender or a function of histories and n"
        )
    if _is_factory(value):
        made = value(**({"seed": seed} if "seed" in _parameters(value) else {}))
        if _is_recommender(made):
            return made  # type: ignore[no-any-return]
        if not callable(made):
            raise ConfigError(
                f"{name}() makes a {type(made).__name__}; expected an object with `num_items` and `recommend`, or a "
                "function of histories and n"
            )
        value = made
    _check_call(value, name)
    return FunctionRecommender(value, catalogue, name=name)


def _is_recommender(value: Any) -> bool:
    return not inspect.isclass(value) and isinstance(value, Recommender)


def _is_factory(value: Any) -> bool:
    if inspect.isclass(value):
        return True
    parameters = _parameters(value)
    starred = [key for key, parameter in parameters.items() if parameter.kind is parameter.VAR_POSITIONAL]
    required = [key for key, parameter in parameters.items() if parameter.default is parameter.empty]
    named = [key for key in required if parameters[key].kind is not inspect.Parameter.VAR_KEYWORD]
    return not starred and set(named) <= {"seed"}


def _check_call(value: Any, name: str) -> None:
    try:
        signature = inspect.signature(value)
    except ValueError:  # built-in functions may have none
        return
    try:
        signature.bind([], 1)
    except TypeError as error:
        raise ConfigError(
            f"{name} has the parameters {signature}; expected a function of histories and n (or a recommender, or a "
            "class or function without parameters that makes one)"
        ) from error


def _parameters(value: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return {"unknown": inspect.Parameter("unknown", inspect.Parameter.POSITIONAL_ONLY)}


def _import_module(name: str, text: str) -> ModuleType:
    with _importable(Path.cwd()):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                raise ConfigError(
                    f"there is no module {name!r} to import for {text!r}; expected {EXPECTED}, so check the name and "
                    "the working directory"
                ) from error
            raise _failed(name, error) from error
        except Exception as error:  # somebody else's code may raise anything
            raise _failed(name, error) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; expected a Python file there, so check its name")
    name = f"agentrec_function_{path.stem}_{json_hash(str(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported; expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    with _importable(path.resolve().parent):
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # somebody else's code may raise anything
            raise _failed(str(path), error) from error
    return module


def _failed(what: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"importing {what} raised {type(error).__name__} ({' '.join(str(error).split())}); expected a module that "
        "imports, so run it on its own"
    )


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let imports look into a folder, after everywhere else."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
