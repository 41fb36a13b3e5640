"""Every prompt file is asked for by the code, and renders; nothing asks for one that is not there."""

import re
from pathlib import Path

import pytest

import agentrec
from agentrec.prompts.files import Prompt, list_prompts

PACKAGE = Path(agentrec.__file__).parent
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
FACTS = {
    "product": "tea",
    "period": 2,
    "profit": 4.0,
    "holding": 1.0,
    "promised": 2,
    "on_hand": 5,
    "in_transit": 9,
    "history": [3, 4],
    "demand": [5, 6],
    "lead_times": [1],
    "waiting": [{"period": 0, "units": 9, "age": 2}],
}
ADVICE = {
    "policy": "or",
    "order": 7,
    "base_order": 8,
    "mean": 4.5,
    "deviation": 1.3,
    "lead_time": 2,
    "level": 20.0,
    "position": 14,
    "cap": 6.6,
}
NUMBERS = {
    "order": 7,
    "until": "2026-01-31",
    "recent": 4.5,
    "num_recent": 2,
    "mean": 4.5,
    "num_seen": 4,
    "deviation": 1.3,
    "on_hand": 5,
    "in_transit": 9,
    "overdue": 9,
    "promised": 2,
    "took": 1.0,
    "profit": 4.0,
    "holding": 1.0,
    "ratio": 0.8,
    "cover": 2.7,
}
EXAMPLES = {
    "facts": FACTS,
    "advice": ADVICE,
    "figures": NUMBERS,
    "proposal": {"order": 7, "source": "policy:x", "asked": 900},
    "memory": ["demand moved"],
    "situation": "a situation",
    "problems": ["order is missing"],
    "schema": "{}",
    **NUMBERS,
}


def named(prompt):
    """Whether the code asks for a prompt, by its whole name or by its step beside its agent's name."""
    who, _, step = prompt.partition("/")
    if f'"{prompt}"' in SOURCE:
        return True
    composed = rf'f"{who}/\{{\w+\}}'
    return bool(re.search(composed, SOURCE)) and bool(re.search(rf'"{re.escape(step)}"', SOURCE))


def method_prompts():
    """Prompts of fine-tuning tasks, which tasks name by their own file: they have tests of their own."""
    return {name for name in list_prompts() if name.startswith("sft/")}


@pytest.mark.parametrize("name", sorted(set(list_prompts()) - method_prompts()))
def test_every_prompt_is_used_and_renders_with_what_the_code_gives(name):
    assert named(name), f"nothing asks for {name}"
    prompt = Prompt.load(name)
    text = prompt.render(**{variable: EXAMPLES[variable] for variable in prompt.variables})
    assert text
    assert "{{" not in text
    assert "{%" not in text
    assert not re.search(r"\S  +\S", text)


@pytest.mark.parametrize("name", sorted(method_prompts()))
def test_every_prompt_of_a_fine_tuning_task_belongs_to_one(name):
    task, _, part = name.removeprefix("sft/").rpartition("_")
    assert part in ("system", "user")
    assert (PACKAGE / "prompts" / "tasks" / f"{task}.py").is_file()


def test_an_unused_prompt_would_be_found():
    assert not named("inventory/never_written")
    assert not named("nobody/system")


def test_every_prompt_that_code_names_is_there():
    asked = set(re.findall(r'[^.]\bprompt\("([\w/]+)"\)', SOURCE)) | set(
        re.findall(r'Prompt\.load\("([\w/]+)"\)', SOURCE)
    )
    assert asked <= set(list_prompts())
    assert {"inventory/situation", "chat/repair"} <= asked
