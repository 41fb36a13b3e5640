"""Sets that are put over HTTP outlive the service: written before they are acknowledged, or not made at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentrec.core.errors import ConfigError
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender
from agentrec.serving.service.keeping import Keeper, NotKeptError


class Kept:
    """A service that keeps its sets in a folder, and begins with what is there."""

    def __init__(self, launch: Callable[..., Any], recommender: GenerativeRecommender, folder: Path) -> None:
        keeper = Keeper(folder)
        sets = ConstraintSets(recommender.index)
        if (folder / "agentrec.json").exists():
            sets = ConstraintSets.load(folder, recommender.index)
        self.running = launch(build=lambda: TreeEngine(recommender, sets), keeper=keeper)
        self.client = httpx.Client(base_url=self.running.url, timeout=60, trust_env=False)

    def sizes(self) -> dict[str, int]:
        return {row["name"]: row["items"] for row in self.client.get("/v1/constraints").json()["sets"]}

    def put(self, name: str, **content: Any) -> httpx.Response:
        return self.client.put(f"/v1/constraints/{name}", json=content)

    def stop(self) -> None:
        self.client.close()
        self.running.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sets"
    made.mkdir()
    return made


def test_a_restart_sees_what_was_acknowledged(
    launch: Callable[..., Any], recommender: GenerativeRecommender, folder: Path
) -> None:
    first = Kept(launch, recommender, folder)
    assert first.sizes() == {"all": 120}
    assert first.put("few/now", items=["i3", "i4"]).status_code == 200
    assert first.put("boots", column="kind", values=["boots"]).status_code == 200
    assert first.put("both", expression="few/now | boots").status_code == 200
    assert first.client.post("/v1/constraints", json={"name": "gone", "items": ["i1"]}).status_code == 200
    assert first.put("none", items=[], may_be_empty=True).status_code == 200
    assert first.put("few/now", items=["i5"]).status_code == 200
    assert first.client.delete("/v1/constraints/gone").status_code == 204
    expected = first.sizes()
    first.stop()
    again = Kept(launch, recommender, folder)
    assert again.sizes() == expected == {"all": 120, "few/now": 1, "boots": 30, "both": 32, "none": 0}
    asked = {"user_id": "anna", "constraint": "few/now"}
    assert [item["id"] for item in again.client.post("/v1/recommendations", json=asked).json()["items"]] == ["i5"]
    again.stop()


def test_a_refused_change_writes_nothing(
    launch: Callable[..., Any], recommender: GenerativeRecommender, folder: Path
) -> None:
    service = Kept(launch, recommender, folder)
    assert service.put("few", items=["i3"]).status_code == 200
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert service.put("few", items=["nothing"]).status_code == 404
    assert service.put("few", expression="few - few").status_code == 409
    assert service.client.delete("/v1/constraints/other").status_code == 404
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    service.stop()


def test_a_change_that_cannot_be_written_is_not_made(
    launch: Callable[..., Any], recommender: GenerativeRecommender, folder: Path
) -> None:
    service = Kept(launch, recommender, folder)
    assert service.put("few", items=["i3"]).status_code == 200
    away = folder.with_name("away")
    shutil.move(folder, away)
    folder.write_text("a file where the folder was")
    for refused in (
        service.put("few", items=["i4", "i5"]),
        service.put("new", items=["i4"]),
        service.client.delete("/v1/constraints/few"),
    ):
        assert refused.status_code == 507
        told = refused.json()["error"]
        assert "the sets stay as they were" in told
        assert str(folder) in told
    assert service.sizes() == {"all": 120, "few": 1}
    assert folder.read_text() == "a file where the folder was"
    folder.unlink()
    shutil.move(away, folder)
    assert service.put("few", items=["i4", "i5"]).status_code == 200
    assert ConstraintSets.load(folder, recommender.index).sizes() == {"all": 120, "few": 2}
    service.stop()


def test_one_service_per_folder(folder: Path) -> None:
    first = Keeper(folder)
    with pytest.raises(ConfigError, match="another service keeps its constraint sets"):
        Keeper(folder)
    first.close()
    Keeper(folder).close()


def test_what_killed_writers_left_is_cleared_away(folder: Path) -> None:
    for name in (".arrays-0123.safetensors.abcd", ".agentrec.json.xyz"):
        (folder / name).write_text("half")
    Keeper(folder).close()
    assert [file.name for file in folder.iterdir() if file.name != ".lock"] == []


def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder of constraint sets at"):
        Keeper(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="there is no folder"):
        Keeper(tmp_path / "file")
    (tmp_path / "odd" / ".lock").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot be kept in .* --no-save-sets"):
        Keeper(tmp_path / "odd")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_said_at_the_start_or_at_the_request(
    folder: Path, recommender: GenerativeRecommender
) -> None:
    keeper, sets = Keeper(folder), ConstraintSets(recommender.index)
    folder.chmod(0o500)
    try:
        with pytest.raises(NotKeptError, match="Permission denied"):
            keeper.change(sets, lambda given: given.put("few", [1]))
        assert sets.sizes() == {"all": 120}
        keeper.close()
        (folder.parent / "other").mkdir(mode=0o500)
        with pytest.raises(ConfigError, match="Permission denied"):
            Keeper(folder.parent / "other")
    finally:
        folder.chmod(0o700)
