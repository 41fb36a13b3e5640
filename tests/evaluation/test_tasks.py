import pytest

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.evaluation.tasks import load_task, task_summaries

TASK = '''"""Asks nothing.

More about it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    size: int | None = None


def run(config: Config, *, progress: bool = False) -> int | None:
    return config.size
'''


def test_tasks_are_listed_with_their_first_line():
    assert task_summaries()["next_item"].startswith("Next item: rank the whole catalogue")


def test_listing_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "loud.py").write_text('"""Loud."""\nraise RuntimeError("imported")\n')
    monkeypatch.setattr("agentrec.evaluation.tasks.resource_folder", lambda name: tmp_path)
    assert task_summaries() == {"loud": "Loud."}


def test_a_task_is_loaded_by_name_or_by_path(tmp_path):
    assert load_task("next_item").Config().part == "test"
    (tmp_path / "mine.py").write_text(TASK)
    task = load_task(tmp_path / "mine.py")
    assert task.run(task.Config(size=3)) == 3


def test_what_is_no_task_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match=r"no evaluation task 'nothing'; those that exist are .*next_item"):
        load_task("nothing")
    with pytest.raises(UnknownNameError, match=r"nothing\.py"):
        load_task(tmp_path / "nothing.py")
    (tmp_path / "half.py").write_text("Config = int\n")
    with pytest.raises(ConfigError, match="has no 'run'; expected a task with"):
        load_task(tmp_path / "half.py")
