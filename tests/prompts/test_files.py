"""Prompt files: every shipped one renders, declares what it uses, and refuses what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.prompts.files import Prompt, list_prompts

HISTORY = [{"title": "Tea & <b>honey</b>", "sid": "<a_1><b_2>"}, {"title": "{{ 7 * 7 }}", "sid": "<a_3><b_4>"}]
EXAMPLES = {"sft/next_item_system": {}, "sft/next_item_user": {"history": HISTORY}}


def write(folder: Path, text: str, name: str = "who/step") -> Path:
    file = folder / f"{name}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", list_prompts())
def test_every_shipped_prompt_loads_with_the_variables_it_uses(name: str) -> None:
    prompt = Prompt.load(name)
    assert prompt.name == name
    assert prompt.version >= 1


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_prompts_render_with_example_values(name: str) -> None:
    text = Prompt.load(name).render(**EXAMPLES[name])
    assert text
    assert text == text.strip()
    assert "{%" not in text


def test_history_is_numbered_and_nothing_is_escaped_or_run() -> None:
    text = Prompt.load("sft/next_item_user").render(history=HISTORY)
    assert "1. Tea & <b>honey</b> <a_1><b_2>\n2. {{ 7 * 7 }} <a_3><b_4>\n" in text


def test_hash_follows_the_content_and_not_the_name(tmp_path: Path) -> None:
    text = "---\nvariables: [x]\nversion: 1\n---\nHello {{ x }}\n"
    first = Prompt.parse("a/b", text)
    assert first.hash == Prompt.parse("c/d", text).hash
    assert first.hash != Prompt.parse("a/b", text.replace("Hello", "Hallo")).hash
    assert first.hash != Prompt.parse("a/b", text.replace("version: 1", "version: 2")).hash


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"missing \['x'\]"),
        ({"x": 1, "y": 2}, r"unknown \['y'\]"),
        ({"x": {}}, "could not be filled in"),
        ({"x": {"z": None}}, "could not be filled in"),
    ],
)
def test_rendering_is_strict(values: dict[str, object], message: str) -> None:
    prompt = Prompt.parse("a/b", "---\nvariables: [x]\nversion: 1\n---\n{% for i in x.z %}{{ i }}{% endfor %}")
    with pytest.raises(ConfigError, match=message):
        prompt.render(**values)


def test_templates_are_sandboxed() -> None:
    prompt = Prompt.parse("a/b", "---\nvariables: [x]\nversion: 1\n---\n{{ x.__class__.__mro__ }}")
    with pytest.raises(ConfigError, match="could not be filled in"):
        prompt.render(x="")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hello", "no front matter"),
        ("---\nvariables: [x\n---\n{{ x }}", "not YAML"),
        ("---\n- x\n---\n{{ x }}", "expected variables and version"),
        ("---\nvariables: [x]\n---\n{{ x }}", "expected variables and version"),
        ("---\nvariables: [x]\nversion: true\n---\n{{ x }}", "version True"),
        ("---\nvariables: [1]\nversion: 1\n---\n{{ x }}", "list of names"),
        ("---\nvariables: [x, y]\nversion: 1\n---\n{{ x }}", "declares the variables"),
        ("---\nvariables: []\nversion: 1\n---\n{{ x }}", "declares the variables"),
        ("---\nvariables: [x]\nversion: 1\n---\n{{ x ", "not a valid Jinja template"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Prompt.load("who/step", write(tmp_path, text))


@pytest.mark.parametrize("name", ["who/steps", "../who/step", "step"])
def test_an_unknown_name_lists_those_that_exist(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "prompts", "---\nvariables: []\nversion: 1\n---\nHi")
    with pytest.raises(UnknownNameError, match="those that exist are who/step"):
        Prompt.load(name, folder)
