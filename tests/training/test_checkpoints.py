"""Checkpoints are gone on from only when complete and made under the same settings; nothing else is touched."""

from pathlib import Path

import pytest

from agentrec.core.errors import AgentrecError, TrainingWarning
from agentrec.training.checkpoints import resumable_checkpoint


def test_checkpoints_of_other_settings_are_not_gone_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "out.checkpoints"
    assert resumable_checkpoint(folder, {"seed": 0}) is None
    (folder / "checkpoint-5").mkdir()
    with pytest.warns(TrainingWarning, match="starts anew"):
        assert resumable_checkpoint(folder, {"seed": 1}) is None
    assert not (folder / "checkpoint-5").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(AgentrecError, match="did not write"):
        resumable_checkpoint(tmp_path / "mine", {})
    assert (tmp_path / "mine" / "thesis.txt").exists()
