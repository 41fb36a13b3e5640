import subprocess
import sys

import pytest

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.evaluation.tasks import load_task, task_files, task_summaries

TASK = '''"""Asks nothing.

More about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from agentrec.evaluation.measured import Measured
from agentrec.evaluation.task import Metric, System, Task, task


@dataclass(frozen=True)
class Config:
    size: int | None = None


@task
def mine(config: Config) -> Task:
    units = pd.DataFrame({"unit": [str(row) for row in range(config.size or 1)]})
    return Task("?", {}, units, (Metric("x"),), {"a": System(lambda seed: None, {})}, lambda made, progress: None)
'''


def test_tasks_are_listed_with_their_first_line():
    assert task_summaries()["next_item"].startswith("Next item: rank the whole catalogue")


def test_every_shipped_task_loads_and_has_a_question_and_helps():
    for name, file in task_files().items():
        found = load_task(name)
        assert (found.name, found.path) == (name, file)
        assert task_summaries()[name]
        fields = found.config.__dataclass_fields__.values()
        assert all(field.metadata.get("help") for field in fields), f"{name}: a setting without a help text"
        found.config()


def test_listing_imports_nothing_and_survives_broken_files(tmp_path, monkeypatch):
    (tmp_path / "loud.py").write_text('"""Loud."""\nraise RuntimeError("imported")\n')
    (tmp_path / "broken.py").write_text('"""Broken."""\ndef f(:\n')
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "bare.py").write_text("x = 1\n")
    (tmp_path / "_hidden.py").write_text('"""Not a task."""\n')
    monkeypatch.setattr("agentrec.evaluation.tasks.resource_folder", lambda name: tmp_path)
    found = task_summaries()
    assert list(found) == ["bare", "binary", "broken", "loud"]
    assert (found["bare"], found["loud"]) == ("", "Loud.")
    assert found["broken"] == "(broken: invalid syntax in line 2)"
    assert found["binary"].startswith("(broken: ")


def test_listing_loads_no_heavy_library():
    code = (
        "import sys; from agentrec.evaluation.tasks import task_summaries; task_summaries(); "
        "print(sorted({'torch', 'transformers', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_task_is_loaded_by_name_or_by_the_path_of_its_file(tmp_path, monkeypatch):
    assert load_task("next_item").config().part == "test"
    folder = tmp_path / "not a package"
    folder.mkdir()
    (folder / "mine.py").write_text(TASK)
    loaded = load_task(folder / "mine.py")
    assert len(loaded(loaded.config(size=3)).units) == 3
    assert loaded.path == folder / "mine.py"
    monkeypatch.chdir(folder)
    assert load_task("mine.py").name == load_task("./mine.py").name == "mine"


def test_a_file_may_build_on_another_task(tmp_path):
    (tmp_path / "base.py").write_text(TASK)
    child = f'''"""A variant."""
from agentrec.evaluation.task import Task, task
from agentrec.evaluation.tasks import load_task

mine = load_task({str(tmp_path / "base.py")!r})
Config = mine.config


@task
def variant(config: Config) -> Task:
    return mine(config)
'''
    (tmp_path / "variant.py").write_text(child)
    assert load_task(tmp_path / "variant.py").name == "variant"


def test_names_and_paths_that_lead_nowhere_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match=r"no evaluation task 'nothing'; those that exist are .*next_item"):
        load_task("nothing")
    with pytest.raises(UnknownNameError, match=r"nothing\.py"):
        load_task(tmp_path / "nothing.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Config = int\n", "holds 0 tasks; expected one function that wears"),
        (TASK + TASK.partition("@task")[2].join(["@task", ""]).replace("def mine", "def other"), "holds 2 tasks"),
        ("def f(:\n", "is not valid Python: .* in line 1"),
        ("import no_such_library\n", r"could not be imported \(ModuleNotFoundError: .*no_such_library"),
        ("1 / 0\n", r"could not be imported \(ZeroDivisionError"),
        ("raise SystemExit(0)\n", r"could not be imported \(SystemExit"),
        (TASK.replace("config: Config", "config"), "'mine' takes 1 parameters"),
        (TASK.replace("config: Config", "config: Confg"), "could not be imported .*Confg"),
    ],
)
def test_a_file_that_is_no_task_gets_one_clear_sentence(tmp_path, text, message):
    (tmp_path / "half.py").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_task(tmp_path / "half.py")
    assert "\n" not in str(caught.value)
