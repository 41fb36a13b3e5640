"""TCA4Rec on two processes: each looks up the soft labels of its own rows, and the losses are those of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agentrec.data.dataset import Dataset, Interactions
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes
from agentrec.testing.worlds import tiny_world


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    """`accelerate launch` on two CPU processes (gloo), without dropout."""
    world = tiny_world()
    rows = world.sequences
    users = np.repeat(np.arange(len(rows)), rows.lengths)
    order = np.concatenate([np.arange(length) for length in rows.lengths])
    names = [f"user-{user}" for user in range(len(rows))]
    interactions = Interactions(users, rows.items, order, None, False)
    Dataset("tiny", names, world.catalogue, interactions).save_pretrained(tmp_path / "data")
    codes = random_codes(200, (6, 6))[: world.num_items]
    SIDVocabulary(codes, (6, 6), world.catalogue.ids).save_pretrained(tmp_path / "sids")
    where = ["--data", str(tmp_path / "data"), "--sids", str(tmp_path / "sids")]
    how = ["--teacher", "transitions", "--alpha", "0.4", "--dropout", "0", "--max_steps", "8", "--logging_steps", "1"]
    common = ["-m", "agentrec.training.tca4rec", *where, *how]
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    quiet = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    one = [sys.executable, *common, "--per_device_train_batch_size", "12", "--out", str(tmp_path / "one")]
    two = [*launch, *quiet, *common, "--per_device_train_batch_size", "6", "--out", str(tmp_path / "two")]
    subprocess.run(one, check=True, env=environment, capture_output=True)
    done = subprocess.run([sys.executable, *two], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    logs = [json.loads((tmp_path / name / "training_log.json").read_text()) for name in ("one", "two")]
    losses = [np.array([entry["loss"] for entry in log]) for log in logs]
    assert len(losses[0]) == 8
    assert np.allclose(losses[0], losses[1], rtol=2e-4)
