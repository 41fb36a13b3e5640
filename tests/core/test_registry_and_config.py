"""Names pick files, settings are strict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from agentrec.core.config import from_mapping, parse_yaml, read_yaml, setting
from agentrec.core.errors import ConfigError, MissingExtraError, UnknownNameError, require
from agentrec.core.registry import Registry


def test_the_folder_is_the_registry() -> None:
    models = Registry("agentrec.models")
    assert models.names() == ["als", "popularity", "sasrec", "transitions"]
    assert all(models.summaries().values())
    assert models.load("popularity").method == "popularity"
    with pytest.raises(UnknownNameError, match="als, popularity, sasrec, transitions"):
        models.load("popularty")


@dataclass(frozen=True)
class Knobs:
    rate: float = setting(0.1, "a rate")
    size: int = setting(3, "a size")
    kind: Literal["a", "b"] = setting("a", "a kind")
    limit: int | None = setting(None, "a limit")


def test_values_are_converted_only_where_nothing_is_lost() -> None:
    assert from_mapping(Knobs, {"rate": 1, "limit": None}) == Knobs(rate=1.0)
    assert from_mapping(Knobs, parse_yaml("{rate: 1e-3, limit: 5}")) == Knobs(rate=0.001, limit=5)
    assert parse_yaml("[1e5, -2.5E-3, .5e1, 1e, e5, 12]") == [1e5, -2.5e-3, 5.0, "1e", "e5", 12]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sise": 3}, "no setting 'sise'"),
        ({"size": 3.5}, "'size' is 3.5"),
        ({"size": True}, "'size' is True"),
        ({"kind": "c"}, "one of a, b"),
        ({"rate": "fast"}, "'rate' is 'fast'"),
        ({"limit": "many"}, "'limit' is 'many'"),
    ],
)
def test_mistakes_are_named(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(Knobs, values)


def test_yaml_files(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    with pytest.raises(ConfigError, match="does not exist"):
        read_yaml(file)
    file.write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_yaml(file)
    file.write_text("- 1")
    with pytest.raises(ConfigError, match="holds list"):
        read_yaml(file)


def test_a_missing_library_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"agentrec\[train\]"):
        require("no_such_library", "train")
