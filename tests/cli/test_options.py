from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from agentrec.cli.options import parse_settings, parser_of
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError


@dataclass(frozen=True)
class Config:
    data: str = setting("shop", "data set, 100% of it")
    limit: int | None = setting(None, "how many users")
    part: Literal["validation", "test"] = setting("test", "which part")
    level: Literal[1, 2] = setting(1, "which level")
    exclude_seen: bool = setting(False, "leave items out")
    watts: float = setting(1.5, "power")
    folder: Path | None = field(default=None, metadata={"help": "where"})
    sizes: tuple[int, ...] = field(default=(1, 2), metadata={"help": "sizes"})
    names: list[str] = field(default_factory=list, metadata={"help": "names"})


def parse(text):
    return parse_settings(Config, text.split(), command="agentrec eval run mine")


def test_only_what_was_given_comes_back_in_its_type():
    assert parse("") == {}
    assert parse("--data x.csv --limit 5 --exclude-seen") == {"data": "x.csv", "limit": 5, "exclude_seen": True}
    assert parse("--no-exclude-seen --watts 2 --level 2") == {"exclude_seen": False, "watts": 2.0, "level": 2}
    assert parse("--folder a/b --sizes 3,4 --names x,y,") == {
        "folder": Path("a/b"),
        "sizes": (3, 4),
        "names": ["x", "y"],
    }
    assert parse("--data=a=b --limit -1") == {"data": "a=b", "limit": -1}


def test_what_is_parsed_fills_the_settings():
    words = "--limit 5 --part validation --level 2 --watts 3 --sizes 7 --names a,b --folder x"
    assert from_mapping(Config, parse(words)) == Config(
        limit=5, part="validation", level=2, watts=3.0, sizes=(7,), names=["a", "b"], folder=Path("x")
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--dat x", "unrecognized arguments: --dat x"),
        ("--limit five", "argument --limit: invalid int value: 'five'"),
        ("--part train", "invalid choice: 'train'"),
        ("--level 3", "invalid choice: 3"),
        ("--limit", "expected one argument"),
        ("x.csv", "unrecognized arguments: x.csv"),
        ("--sizes 1,a", "argument --sizes: invalid int,... value: '1,a'"),
        ("--data a --data b", "--data is given twice; expected it once, with commas between several values"),
        ("--exclude-seen --no-exclude-seen", "--no-exclude-seen is given twice"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_with_the_way_to_help(words, message):
    with pytest.raises(ConfigError) as caught:
        parse(words)
    text = str(caught.value)
    assert text.startswith("agentrec eval run mine: ")
    assert message in text
    assert text.endswith("see `agentrec eval run mine --help`")
    assert "\n" not in text


def test_help_names_every_setting_with_its_default():
    text = parser_of(Config, command="x").format_help()
    assert "--data STR" in text
    assert "100% of it (default: shop)" in text
    assert "--exclude-seen, --no-exclude-seen" in text
    assert "{validation,test}" in text
    assert "--sizes INT,..." in text
    assert "(default: None)" not in text


def test_settings_that_no_option_can_hold_are_refused():
    @dataclass
    class Nested:
        table: dict[str, int] = field(default_factory=dict)

    with pytest.raises(ConfigError, match=r"setting 'table' is of type dict.* cannot read; expected str, int"):
        parser_of(Nested, command="x")


def test_names_of_the_command_itself_are_taken():
    with pytest.raises(ConfigError, match="Config has a setting 'limit', which is an option of `run` itself"):
        parser_of(Config, command="run", taken={"limit", "json"})
