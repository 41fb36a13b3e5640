import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from agentrec.core.errors import AgentrecError, DataWarning
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.store import Store

KEY = "abcdef0123456789"
HOLD = f"""
import sys, time
from pathlib import Path
from agentrec.evaluation.store import Store
with Store(Path(sys.argv[1])).claim({KEY!r}, wait=True) as mine:
    print("held", mine, flush=True)
    time.sleep(60)
"""
PUT = f"""
import sys, warnings
from pathlib import Path
import pandas as pd
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.store import Store
store = Store(Path(sys.argv[1]))
units = pd.DataFrame({{"unit": [str(row) for row in range(2000)], "x": 1.0}})
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    store.put({KEY!r}, Measured(units, facts={{"who": sys.argv[2]}}))
"""


def measured(value=1.0):
    return Measured(pd.DataFrame({"unit": ["a", "b"], "x": [value, value]}), totals={"t": value})


def started(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_is_put_is_got_and_nothing_is_written_before(store):
    assert store.get(KEY) is None
    assert not store.root.exists()
    store.put(KEY, measured())
    assert store.get(KEY).totals == {"t": 1.0}
    assert store.get("0" * 16) is None
    store.put(KEY, measured(2.0))
    assert store.get(KEY).totals == {"t": 2.0}
    assert [file.name for file in store.folder(KEY).parent.iterdir()] == [KEY]


@pytest.mark.parametrize("damage", ["manifest gone", "manifest cut", "table gone", "table cut", "empty"])
def test_a_damaged_measurement_is_absent_with_a_warning_and_can_be_put_again(store, damage):
    store.put(KEY, measured())
    folder = store.folder(KEY)
    what, _, how = damage.partition(" ")
    files = {"manifest": ["agentrec.json"], "table": ["units.parquet"], "empty": ["agentrec.json", "units.parquet"]}
    for name in files[what]:
        (folder / name).write_bytes((folder / name).read_bytes()[:20]) if how == "cut" else (folder / name).unlink()
    with pytest.warns(DataWarning, match="it is measured again"):
        assert store.get(KEY) is None
    store.put(KEY, measured(3.0))
    assert store.get(KEY).totals == {"t": 3.0}


def test_a_claim_is_exclusive_and_given_back(store):
    with store.claim(KEY, wait=False) as mine:
        assert mine
        with store.claim("other", wait=False) as other:
            assert other
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: next(iter_claim(store))).result() is False
    with store.claim(KEY, wait=False) as again:
        assert again


def iter_claim(store):
    with store.claim(KEY, wait=False) as mine:
        yield mine


def test_a_claim_is_given_back_after_an_error(store):
    with pytest.raises(ZeroDivisionError), store.claim(KEY, wait=True):
        raise ZeroDivisionError
    with store.claim(KEY, wait=False) as mine:
        assert mine


def test_another_process_holds_and_its_death_frees(store):
    holder = started(HOLD, store.root)
    try:
        assert holder.stdout.readline().strip() == "held True"
        with store.claim(KEY, wait=False) as mine:
            assert not mine
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait_for, store)
            time.sleep(0.3)
            assert not waiting.done()
            os.kill(holder.pid, signal.SIGKILL)
            assert waiting.result(timeout=20)
    finally:
        holder.kill()
        holder.communicate()


def wait_for(store):
    with store.claim(KEY, wait=True) as mine:
        return mine


def test_two_processes_that_write_one_key_at_once_leave_a_whole_folder(store):
    writers = [started(PUT, store.root, name) for name in ("one", "two")]
    for writer in writers:
        assert writer.stdout.readline().strip() == "ready"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers] == [0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = store.get(KEY)
    assert found.facts["who"] in ("one", "two")
    assert len(found.units) == 2000
    assert [file.name for file in store.folder(KEY).parent.iterdir()] == [KEY]


def test_a_folder_that_cannot_be_written_is_named_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file")
    with pytest.raises(AgentrecError, match=r"could not be locked .* choose another store") as caught:
        next(iter_claim(store))
    assert "\n" not in str(caught.value)
    with pytest.raises(AgentrecError, match="could not be written"):
        store.put(KEY, measured())
    assert store.get(KEY) is None
