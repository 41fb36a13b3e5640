"""Lists of all users: the same as one by one, whole files only, shared by processes, and killed runs go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ArtefactError, ConfigError
from agentrec.core.types import Histories, Recommendations
from agentrec.data.load import load_dataset
from agentrec.models.transitions import Transitions
from agentrec.serving.batch import PARTS, Batch, Share, read_lists, recommend_all
from agentrec.testing.worlds import TinyWorld, tiny_world

WORLD = tiny_world(num_users=25)
IDS = ([f"user {row}" for row in range(25)], WORLD.catalogue.ids)


class Counting:
    """The oracle of a world, which counts whom it was asked about and may fail."""

    num_items = WORLD.num_items

    def __init__(self, world: TinyWorld = WORLD, fails_at: int = -1) -> None:
        self.oracle, self.fails_at = world.oracle(), fails_at
        self.users: list[int] = []

    def recommend(self, histories: Histories, n: int, *, exclude_seen: bool = False) -> Recommendations:
        if self.fails_at in histories.users:
            raise KeyboardInterrupt
        self.users += histories.users.tolist()
        return self.oracle.recommend(histories, n, exclude_seen=exclude_seen)


def write(out: Path, recommender: Any = None, share: str = "0/1", **more: Any) -> Any:
    batch = Batch(**{"n": 4, "users_per_part": 4, **more})
    recommender = recommender or Counting()
    return recommend_all(recommender, WORLD.sequences, IDS, out, batch=batch, share=Share.parse(share))


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 30), shares=st.integers(1, 4), n=st.integers(1, 24), seen=st.booleans())
def test_the_files_hold_what_the_recommender_says(
    tmp_path_factory: pytest.TempPathFactory, size: int, shares: int, n: int, seen: bool
) -> None:
    out = tmp_path_factory.mktemp("lists")
    for number in range(shares):
        write(out, share=f"{number}/{shares}", n=n, users_per_part=size, exclude_seen=seen)
    table = read_lists(out)
    assert table["user_id"].to_pylist() == IDS[0]
    own = WORLD.oracle().recommend(WORLD.sequences, n, exclude_seen=seen)
    names = [[IDS[1][item] for item in row if item >= 0] for row in own.items]
    assert table["item_ids"].to_pylist() == names
    scores = [row[: len(name)].tolist() for row, name in zip(own.scores, names, strict=True)]
    assert table["scores"].to_pylist() == scores
    assert sorted(file.name for file in (out / PARTS).iterdir() if file.name.startswith(".")) == []


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, Counting(fails_at=9))
    with pytest.raises(ArtefactError, match="lacks 5 of 7 parts, for example part-00002"):
        read_lists(tmp_path)
    (tmp_path / PARTS / ".part-00002-of-00007.parquet.x1").write_text("what a killed process leaves")
    (tmp_path / PARTS / "part-00003-of-00007.parquet").write_text("cut off")
    again = Counting()
    done = write(tmp_path, again)
    assert (done.new, done.users, again.users) == (5, 17, list(range(8, 25)))
    assert write(tmp_path).new == 0
    assert len(read_lists(tmp_path)) == 25
    assert not list(tmp_path.glob("parts/.*"))


def test_other_lists_are_not_mixed_in(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ArtefactError, match="made with n 4, and this run has 5; expected the same"):
        write(tmp_path, n=5)
    with pytest.raises(ArtefactError, match="made with model None, and this run has 'b'"):
        recommend_all(Counting(), WORLD.sequences, IDS, tmp_path, batch=Batch(4, False, 4), made_from={"model": "b"})


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "0/0", "a/b", "1/2/3", "½/2"])
def test_a_share_is_a_fraction(text: str) -> None:
    with pytest.raises(ConfigError, match="expected i/k"):
        Share.parse(text)


def test_shares_part_the_work(tmp_path: Path) -> None:
    one, two = Counting(), Counting()
    write(tmp_path, one, "0/2")
    write(tmp_path, two, "1/2")
    assert not set(one.users) & set(two.users)
    assert sorted(one.users + two.users) == list(range(25))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = load_dataset("shop")
    folder = tmp_path_factory.mktemp("model") / "transitions"
    Transitions.fit(dataset.histories(), dataset.num_items).save_pretrained(folder)
    return folder


def command(model: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    words = ["recommend", "--model", model, "--data", "shop", "--users", "all", "--out", out, "-n", "5", *more]
    return subprocess.Popen([sys.executable, "-m", "agentrec", *map(str, words)], stdout=subprocess.PIPE, text=True)


def test_two_processes_share_a_folder_and_a_killed_one_goes_on(model: Path, tmp_path: Path) -> None:
    out, size = tmp_path / "lists", ("--shard-size", "4")
    first, second = (command(model, out, *size, "--shard", f"{number}/2", "--json") for number in (0, 1))
    until = time.monotonic() + 180
    while not list(out.glob("parts/part-*[02468]-of-*.parquet")):
        assert time.monotonic() < until
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (-signal.SIGKILL, 0)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("parts/part-*")}
    assert 250 < len(before) < 500
    again = command(model, out, *size, "--json", "--shard", "0/2")
    told, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert f'"new_parts": {500 - len(before)}' in told
    assert {name: path for name, path in before.items() if (out / PARTS / name).stat().st_mtime_ns != path} == {}
    dataset = load_dataset("shop")
    own = Transitions.from_pretrained(model).recommend(dataset.histories(), 5)
    names = [[dataset.catalogue.ids[item] for item in row if item >= 0] for row in own.items]
    table = read_lists(out)
    assert table["user_id"].to_pylist() == list(dataset.user_ids)
    assert table["item_ids"].to_pylist() == names
    np.testing.assert_allclose(np.concatenate(table["scores"].to_pylist()), own.scores[own.items >= 0], rtol=1e-6)
    assert pq.read_table(out / PARTS, columns=["user_id"]).num_rows == 2000  # any reader of Parquet folders takes it
