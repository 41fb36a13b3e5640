"""Artefacts are whole or absent, whatever happens while they are written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agentrec.core.artefact import read_manifest
from agentrec.core.errors import AgentrecError, ArtefactError
from agentrec.core.files import whole_file, whole_folder
from agentrec.models.popularity import Popularity
from agentrec.semantic_ids.vocabulary import SIDVocabulary


def test_round_trip_with_provenance_and_card(tmp_path: Path) -> None:
    model = Popularity(np.array([3, 1, 2], np.float32)).stamp({"data": "abc"})
    model.save_pretrained(tmp_path / "model")
    again = Popularity.from_pretrained(tmp_path / "model")
    assert np.array_equal(again.item_counts, model.item_counts)
    assert again.provenance == {"data": "abc"}
    card = (tmp_path / "model" / "README.md").read_text()
    assert "library_name: agentrec" in card
    assert "| data | abc |" in card
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_the_wrong_class_is_told(tmp_path: Path) -> None:
    Popularity(np.ones(3, np.float32)).save_pretrained(tmp_path / "model")
    with pytest.raises(ArtefactError, match="expected semantic_ids/vocabulary"):
        SIDVocabulary.from_pretrained(tmp_path / "model")
    with pytest.raises(ArtefactError, match="holds no agentrec"):
        read_manifest(tmp_path)


def test_a_failure_while_writing_keeps_the_old_folder(tmp_path: Path) -> None:
    Popularity(np.ones(3, np.float32)).save_pretrained(tmp_path / "model")

    class Broken(Popularity):
        def state(self):
            raise OSError(28, "No space left on device")

    with pytest.raises(AgentrecError, match="No space left on device"):
        Broken(np.zeros(3, np.float32)).save_pretrained(tmp_path / "model")
    assert Popularity.from_pretrained(tmp_path / "model").item_counts.tolist() == [1, 1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_somebody_elses_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "interactions.csv").write_text("user,item\n")
    (tmp_path / "notes").write_text("a plain file")
    for name in ("mine", "notes"):
        with pytest.raises(AgentrecError, match="was not written by agentrec"):
            Popularity(np.ones(3, np.float32)).save_pretrained(tmp_path / name)
    assert (tmp_path / "mine" / "interactions.csv").exists()
    assert (tmp_path / "notes").read_text() == "a plain file"


def test_a_missing_folder_and_a_missing_part_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="neither a folder nor a hub repository"):
        Popularity.from_pretrained(tmp_path / "no" / "such" / "folder")
    Popularity(np.ones(3, np.float32)).save_pretrained(tmp_path / "model")
    manifest = (tmp_path / "model" / "agentrec.json").read_text()
    (tmp_path / "model" / "agentrec.json").write_text(manifest.replace('"config"', '"confg"'))
    with pytest.raises(ArtefactError, match="has no 'config'"):
        Popularity.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize("what", [whole_file, whole_folder])
def test_nothing_half_written_remains(tmp_path: Path, what) -> None:
    with pytest.raises(KeyError), what(tmp_path / "thing"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.argv = ["agentrec", "data", "shop", "--out", sys.argv[1]]
from agentrec.cli.app import main
main()
"""


def test_a_file_that_cannot_grow_ends_in_one_line(tmp_path: Path) -> None:
    """The kernel refuses to write past 20 kB, as a full disk would."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "shop")], capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
