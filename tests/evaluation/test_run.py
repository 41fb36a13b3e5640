"""The harness: what is measured, what is kept, and what is left after anything goes wrong."""

import collections
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from agentrec.core.errors import AgentrecError, ConfigError, DataError, DataWarning
from agentrec.core.provenance import code_hash
from agentrec.evaluation.merge import Resampling
from agentrec.evaluation.result import Result
from agentrec.evaluation.run import Order, parse_seeds, run_task
from agentrec.evaluation.store import Store

TASK = '''"""Draws scores, and keeps a log of whom it made."""

import os
import time
import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from agentrec.core.config import setting
from agentrec.core.errors import DataError
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.task import Metric, System, Task, task


@dataclass(frozen=True)
class Config:
    log: str
    systems: str = setting("a,b", "s...: seeded; web...: a service; label=name")
    size: int = 20
    shift: float = 0.0
    delay: float = 0.0
    fail: str = ""
    die: str = ""
    nested: bool = False
    slices: str = "even"
    typo: bool = False


@task
def drawn(config: Config) -> Task:
    units = pd.DataFrame({"unit": [f"u{row}" for row in range(config.size)]})
    units["half"] = [config.slices if row % 2 else "odd" for row in range(config.size)]

    def made(name):
        def make(seed):
            with open(config.log, "a") as log:
                log.write(f"{name} {seed}\\n")
            time.sleep(config.delay)
            if name in config.fail.split(","):
                raise DataError(f"{name} has no data")
            if name == config.die:
                os._exit(9)
            return name, seed

        return make

    def measure(system, *, progress=False):
        name, seed = system
        scores = np.random.default_rng([zlib.crc32(name.encode()), seed]).normal(size=config.size) + config.shift
        return Measured(units[["unit"]].assign(score=scores), costs={"seconds": time.time()})

    pairs = [part.partition("=")[::2] if "=" in part else (part, part) for part in config.systems.split(",")]
    systems = {
        label: System(made(name), {"name": name}, seeded=name.startswith("s"), reusable=not name.startswith("web"))
        for label, name in pairs
    }
    return Task(
        question="Which is larger?",
        data={"name": "none", "fingerprint": None},
        units=units,
        metrics=(Metric("score", headline=True),),
        systems=systems,
        measure=measure,
        settings={"shift": config.shift},
        slices=("half",),
        nested=config.nested,
    )
'''
SCRIPT = """
import json, sys
from agentrec.evaluation import run
from agentrec.evaluation.merge import Resampling
from agentrec.evaluation.run import Order, run_task
task, store, values, code = sys.argv[1:]
run.code_hash = lambda: code  # somebody may be editing the package while tests run
print("ready", flush=True)
print(run_task(Order(task, json.loads(values), (0, 1), store), resampling=Resampling(50)).folder)
"""


class Bench:
    """A task file, a store, and the log of what was made."""

    def __init__(self, folder):
        self.folder, self.log, self.task = folder, folder / "log.txt", folder / "drawn.py"
        self.log.write_text("")
        self.task.write_text(TASK)

    def run(self, seeds=(0,), *, nonce="", jobs=1, out=None, say=lambda line: None, **values):
        order = Order(str(self.task), {"log": str(self.log), **values}, seeds, self.folder / "store", nonce)
        return run_task(order, jobs=jobs, resampling=Resampling(50), out=out, say=say)

    def start(self, **values):
        settings = json.dumps({"log": str(self.log), **values})
        command = [sys.executable, "-c", SCRIPT, str(self.task), str(self.folder / "store"), settings, code_hash()]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def made(self):
        """What was made since the last look, in order."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines

    def wait_for_lines(self, number):
        end = time.monotonic() + 180
        while len(self.log.read_text().splitlines()) < number:
            assert time.monotonic() < end, "the process made nothing"
            time.sleep(0.02)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def content(folder):
    """The bytes that must not differ between equal runs."""
    text = (folder / "result.json").read_text()
    found = {"result.json": text.replace(json.loads(text)["created_at"], "then")}
    return found | {name: (folder / name).read_bytes() for name in ("per_unit.parquet", "units.parquet")}


def test_a_second_run_measures_nothing_and_gives_the_same_bytes(bench):
    first = bench.run((0, 1), systems="a,s1")
    assert bench.made() == ["a 0", "s1 0", "s1 1"]
    assert first.folder.parent == bench.folder / "store"
    assert first.folder.name.startswith("drawn-")
    before = content(first.folder)
    said = []
    second = bench.run((0, 1), systems="a,s1", say=said.append)
    assert bench.made() == []
    assert said == ["a, seed 0: kept from before", "s1, seed 0: kept from before", "s1, seed 1: kept from before"]
    assert second.folder == first.folder
    assert content(second.folder) == before
    assert second.result.costs == first.result.costs
    assert Result.load(first.folder).provenance["task"]["config"]["systems"] == "a,s1"


def test_only_what_is_new_is_measured(bench):
    bench.run((0,), systems="a,s1")
    bench.made()
    bench.run((0,), systems="a,b,s1")
    assert bench.made() == ["b 0"]
    bench.run((0, 1), systems="a,b,s1")
    assert bench.made() == ["s1 1"]
    bench.run((5,), systems="a,b,s1")
    assert bench.made() == ["s1 5"]  # what has no seed is the same at each
    bench.run((0,), systems="b")
    assert bench.made() == []


def test_a_measurement_does_not_depend_on_what_it_is_called(bench):
    first = bench.run(systems="mine=a,again=a")
    assert bench.made() == ["a 0"]
    second = bench.run(systems="yours=a")
    assert bench.made() == []
    assert first.result["mine"] == first.result["again"] == second.result["yours"]


@pytest.mark.parametrize("change", [{"shift": 1.0}, {"size": 21}, "source"])
def test_another_setting_other_units_and_another_source_measure_again(bench, change):
    first = bench.run()
    bench.made()
    if change == "source":
        bench.task.write_text(TASK + "\n# changed\n")
        second = bench.run()
    else:
        second = bench.run(**change)
    assert bench.made() == ["a 0", "b 0"]
    assert second.folder != first.folder


def test_other_resamples_and_slices_are_another_result_of_the_same_measurements(bench):
    first = bench.run()
    second = bench.run(slices="pair")
    order = Order(str(bench.task), {"log": str(bench.log)}, store=str(bench.folder / "store"))
    third = run_task(order, resampling=Resampling(51))
    assert bench.made() == ["a 0", "b 0"]
    assert len({first.folder, second.folder, third.folder}) == 3


def test_seeds_of_a_simulation_are_measured_for_systems_without_one(bench):
    result = bench.run((0, 1), systems="a,s1", nested=True).result
    assert bench.made() == ["a 0", "a 1", "s1 0", "s1 1"]
    assert result.provenance["seeds"] == {"a": [0, 1], "s1": [0, 1]}
    assert result.systems["a"]["score"].deviation > 0


def test_services_are_asked_again_unless_told_otherwise(bench):
    first = bench.run(systems="a,web1", nonce="monday")
    assert bench.made() == ["a 0", "web1 0"]
    again = bench.run(systems="a,web1", nonce="tuesday")
    assert bench.made() == ["web1 0"]
    assert again.folder != first.folder
    bench.run(systems="a,web1", nonce="tuesday")  # another process of the same run
    bench.run(systems="a,web1", nonce="")  # --resume takes whatever was measured last
    assert bench.made() == []


def test_what_a_broken_run_had_of_a_service_can_be_taken(bench):
    with pytest.raises(DataError):
        bench.run(systems="web1,bad", fail="bad", nonce="monday")
    bench.made()
    bench.run(systems="web1,bad", nonce="")
    assert bench.made() == ["bad 0"]


def test_a_system_that_fails_loses_nothing_of_the_others(bench):
    with pytest.raises(
        DataError, match=r"^b \(seed 0\): b has no data; what was measured \(2\) is kept, and the next run"
    ):
        bench.run(systems="a,b,c", fail="b")
    assert bench.made() == ["a 0", "b 0", "c 0"]
    with pytest.raises(DataError, match=r"b has no data; 1 more failed; what was measured \(1\) is kept"):
        bench.run(systems="a,b,d", fail="b,d")
    assert bench.made() == ["b 0", "d 0"]
    with pytest.raises(DataError, match=r"^b \(seed 0\): b has no data$"):
        bench.run(systems="b", fail="b")
    bench.made()
    assert set(bench.run(systems="a,b,c").result.systems) == {"a", "b", "c"}
    assert bench.made() == ["b 0"]


def test_a_damaged_measurement_is_made_again_with_a_warning(bench):
    folder = bench.run().folder
    before = content(folder)
    bench.made()
    victim = next((bench.folder / "store" / "measured").glob("*/*/units.parquet"))
    victim.write_bytes(victim.read_bytes()[:50])
    with pytest.warns(DataWarning, match="measured again"):
        bench.run()
    assert len(bench.made()) == 1
    assert content(folder) == before


def test_processes_divide_the_work_and_change_no_byte(bench, tmp_path, monkeypatch):
    (tmp_path / "alone").mkdir()
    alone = Bench(tmp_path / "alone")
    settings = {"systems": "a,b,s1,s2", "delay": 0.2}
    expected = alone.run((0, 1), **settings, log=str(bench.log))
    bench.made()
    found = bench.run((0, 1), jobs=2, **settings)
    if code_hash.__wrapped__() != code_hash():
        pytest.skip("the package was edited while this process ran; others measure under other keys then")
    counted = collections.Counter(bench.made())
    assert counted == dict.fromkeys(["a 0", "b 0", "s1 0", "s1 1", "s2 0", "s2 1"], 1)
    assert content(found.folder) == content(expected.folder)
    monkeypatch.delattr("agentrec.evaluation.run.ProcessPoolExecutor")  # needless where nothing is due
    bench.run((0, 1), jobs=2, **settings)


def test_a_process_that_dies_is_told_in_one_sentence(bench):
    with pytest.raises(AgentrecError, match=r"one of 2 measuring processes died, .* run again with fewer jobs"):
        bench.run(systems="a,b", die="b", jobs=2)


def test_a_killed_run_goes_on_where_it_stopped(bench):
    running = bench.start(systems="a,b,c,d", delay=0.4)
    bench.wait_for_lines(3)  # the third is being measured
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert not list((bench.folder / "store").glob("drawn-*"))
    result = bench.run((0, 1), systems="a,b,c,d", delay=0.4).result
    assert bench.made() == ["a 0", "b 0", "c 0", "c 0", "d 0"]
    assert len(result.systems) == 4


def test_two_runs_at_once_measure_everything_once(bench):
    other = bench.start(systems="a,b,s1,s2", delay=0.25)
    assert other.stdout.readline().strip() == "ready"
    bench.wait_for_lines(1)
    mine = bench.run((0, 1), systems="a,b,s1,s2", delay=0.25)
    folder, _ = other.communicate(timeout=60)
    assert other.returncode == 0
    assert folder.strip() == str(mine.folder)
    assert collections.Counter(bench.made()) == dict.fromkeys(["a 0", "b 0", "s1 0", "s1 1", "s2 0", "s2 1"], 1)
    assert Result.load(mine.folder).to_json()["systems"] == mine.result.to_json()["systems"]


def test_launchers_start_their_processes_at_different_places(bench, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    bench.run(systems="a,b,c")
    assert bench.made() == ["b 0", "c 0", "a 0"]


def test_folders_of_other_files_are_refused_before_anything_is_measured(bench):
    out = bench.folder / "precious"
    out.mkdir()
    (out / "thesis.tex").write_text("")
    for folder in (out, out / "thesis.tex"):
        with pytest.raises(AgentrecError, match=r"exists and holds no result; .* choose another"):
            bench.run(out=folder)
    assert bench.made() == []
    assert (out / "thesis.tex").exists()
    bench.run(out=bench.folder / "new")
    (bench.folder / "new" / "notes.txt").write_text("mine")
    bench.run(out=bench.folder / "new", systems="b")
    assert (bench.folder / "new" / "notes.txt").read_text() == "mine"
    assert list(Result.load(bench.folder / "new").systems) == ["b"]


def test_what_a_kill_left_of_a_result_is_no_obstacle(bench):
    folder = bench.run().folder
    for name in ("result.json", "report.html"):
        (folder / name).unlink()
    (folder / ".report.html.x7k2").write_text("half")
    bench.run()
    assert Result.load(folder)


def test_a_store_that_cannot_be_written_is_named_in_one_sentence(bench):
    (bench.folder / "store").write_text("")
    with pytest.raises(AgentrecError, match=r"^a \(seed 0\): .*could not be locked .* choose another store") as caught:
        bench.run()
    assert "\n" not in str(caught.value)
    assert bench.made() == []


def test_a_store_need_not_be_writable_to_be_read(bench):
    bench.run()
    bench.made()
    locks = bench.folder / "store" / "locks"
    for file in locks.iterdir():
        file.unlink()
    locks.rmdir()
    locks.write_text("")  # nothing can be locked any more
    assert bench.run(out=bench.folder / "out").result["a"]
    assert bench.made() == []


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"sise": 3}, {}, "Config has no setting 'sise'; those that exist are"),
        ({"size": "3"}, {}, "setting 'size' is '3'"),
        ({}, {"jobs": 0}, "jobs is 0"),
        ({}, {"seeds": ()}, r"seeds are \(\)"),
        ({}, {"seeds": (1, 1)}, r"seeds are \(1, 1\)"),
        ({}, {"seeds": (-1,)}, r"seeds are \(-1,\)"),
    ],
)
def test_settings_that_make_no_sense_are_refused(bench, values, options, message):
    with pytest.raises(ConfigError, match=message):
        bench.run(**options, **values)
    assert bench.made() == []


def test_a_setting_without_a_default_must_be_given(bench):
    with pytest.raises(ConfigError, match="Config has no value for its setting 'log'"):
        run_task(Order(str(bench.task), store=bench.folder / "store"))


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1", (0,)), ("3", (0, 1, 2)), ("4,7", (4, 7)), ("4,", (4,)), (" 0, 5 ", (0, 5)), (" 2 ", (0, 1))],
)
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", ",", "0", "-1", "a", "1,b", "1.5", "²", "1 2"])
def test_other_seeds_are_refused(text):
    with pytest.raises(ConfigError, match="expected how many, such as 3, or which, such as 0,1,5"):
        parse_seeds(text)


def test_measurements_lie_in_the_store_under_their_keys(bench):
    bench.run((0, 1), systems="a,s1")
    folders = list((bench.folder / "store" / "measured").glob("*/*"))
    assert len(folders) == 3
    store = Store(bench.folder / "store")
    assert all(store.folder(folder.name) == folder and store.get(folder.name) is not None for folder in folders)
