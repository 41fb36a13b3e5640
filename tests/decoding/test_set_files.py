"""A folder of sets is written while others read it: whatever kills the writer, it says what it said, or what is new."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.artefact import read_manifest
from agentrec.core.errors import AgentrecError, ArtefactError
from agentrec.core.files import MANIFEST
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.files import holds_no_sets
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.testing.generators import random_codes

CODES = random_codes(300, (6, 7, 8))[:100]
INDEX = StaticIndex.build(CODES, (6, 7, 8))


def sets_of(content: dict[str, list[int]]) -> ConstraintSets:
    made = ConstraintSets(INDEX)
    for name, items in content.items():
        made.put(name, items, may_be_empty=True)
    return made


def content_of(sets: ConstraintSets) -> dict[str, list[int]]:
    found = {name: sets.get(name).items().tolist() if size else [] for name, size in sets.sizes().items()}
    del found["all"]
    return found


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))


ITEMS = st.lists(st.integers(0, 99), unique=True, max_size=12).map(sorted)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), ITEMS, max_size=4), min_size=1, max_size=4))
def test_a_folder_says_what_was_written_last(
    tmp_path_factory: pytest.TempPathFactory, contents: list[dict[str, list[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("sets")
    assert holds_no_sets(folder)
    for content in contents:
        sets_of(content).save(folder)
        assert content_of(ConstraintSets.load(folder, INDEX)) == content
        assert len(visible(folder)) <= 3  # the manifest, its bits, and those before
    assert not holds_no_sets(folder)


def test_who_has_read_the_old_manifest_still_finds_its_bits(tmp_path: Path) -> None:
    sets_of({"a": [1]}).save(tmp_path)
    bits = read_manifest(tmp_path)["config"]["arrays"]
    sets_of({"a": [2]}).save(tmp_path)
    assert (tmp_path / bits).is_file()
    sets_of({"a": [3]}).save(tmp_path)
    assert not (tmp_path / bits).exists()


def killed_at(rename: int, work: Any) -> None:
    """Do work in another process that is killed when it is about to rename a file for the n-th time."""
    child = os.fork()
    if child == 0:
        renamed, replace = 0, Path.replace

        def counted(self: Path, target: Any) -> Any:
            nonlocal renamed
            renamed += 1
            if renamed == rename:
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(self, target)

        try:
            Path.replace = counted  # type: ignore[method-assign, assignment]
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # the child does nothing that takes a lock
@pytest.mark.parametrize("before", [{}, {"a": [1, 2], "b": []}])
@pytest.mark.parametrize("rename", [1, 2])
def test_a_writer_that_is_killed_before_a_rename_leaves_what_was_there(
    tmp_path: Path, before: dict[str, list[int]], rename: int
) -> None:
    folder = tmp_path / "sets"
    folder.mkdir()
    if before:
        sets_of(before).save(folder)
    manifest = (folder / MANIFEST).read_bytes() if before else None
    after = sets_of({"a": [5], "c": [7, 8]})
    killed_at(rename, lambda: after.save(folder))
    if manifest is None:
        assert holds_no_sets(folder)
    else:
        assert (folder / MANIFEST).read_bytes() == manifest
        assert content_of(ConstraintSets.load(folder, INDEX)) == before
    after.save(folder)
    assert content_of(ConstraintSets.load(folder, INDEX)) == {"a": [5], "c": [7, 8]}


def test_folders_of_the_older_form_are_read_and_replaced(tmp_path: Path) -> None:
    sets_of({"a": [4]}).save(tmp_path)
    next(tmp_path.glob("arrays-*")).rename(tmp_path / "arrays.safetensors")
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    del manifest["config"]["arrays"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert content_of(ConstraintSets.load(tmp_path, INDEX)) == {"a": [4]}
    for item in (5, 6):
        sets_of({"a": [item]}).save(tmp_path)
        assert content_of(ConstraintSets.load(tmp_path, INDEX)) == {"a": [item]}
    assert "arrays.safetensors" not in visible(tmp_path)


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/etc/passwd", "arrays-x.safetensors", None])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, name: Any) -> None:
    sets_of({"a": [4]}).save(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["config"]["arrays"] = name
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match="it was edited"):
        ConstraintSets.load(tmp_path, INDEX)


def test_what_is_something_else_is_not_written_over(tmp_path: Path) -> None:
    file, folder, index = tmp_path / "file", tmp_path / "folder", tmp_path / "index"
    file.write_text("mine")
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    INDEX.save(index)
    for path in (file, folder, index):
        before = visible(path) if path.is_dir() else path.read_text()
        with pytest.raises(AgentrecError, match="expected"):
            sets_of({"a": [1]}).save(path)
        assert before == (visible(path) if path.is_dir() else path.read_text())


def test_a_copy_goes_its_own_way() -> None:
    sets = sets_of({"a": [1, 2], "b": [2, 3]})
    assert sets.get("a & b").items().tolist() == [2]
    after = sets.copy()
    after.put("a", [3])
    after.remove("b")
    assert content_of(sets) == {"a": [1, 2], "b": [2, 3]}
    assert content_of(after) == {"a": [3]}
    assert sets.get("a | b").items().tolist() == [1, 2, 3]
    sets.put("a", after.get("a"))
    assert sets.get("a & b").items().tolist() == [3]
