"""Value-aware fine-tuning: the loss is a weighted mean, weights come from a file, and mistakes in it are named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from agentrec.core.errors import DataError
from agentrec.training.weights import (
    WeightedCollator,
    Weights,
    bucket_weights,
    label_weight,
    read_weights,
    weighted_loss,
)

USERS, ITEMS = ("ann", "bob", "eve"), ("tent", "boot")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 5))
def test_the_loss_is_a_weighted_mean_over_label_tokens(seed: int, size: int) -> None:
    """Against a loop over tokens; weights of one are plain cross entropy; a whole step is the sum of its batches."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn((size, 6, 9), generator=rng, dtype=torch.float64)
    labels = torch.randint(0, 9, (size, 6), generator=rng)
    labels[torch.rand((size, 6), generator=rng) < 0.4] = -100
    labels[:, 3] = 1  # no row without a label
    weights = torch.rand(size, generator=rng) + 0.1
    above, below = 0.0, 0.0
    for row in range(size):
        for place in range(5):
            if labels[row, place + 1] != -100:
                chance = logits[row, place].float().softmax(-1)[labels[row, place + 1]]
                above -= float(weights[row] * chance.log())
                below += float(weights[row])
    assert float(weighted_loss(logits, labels, weights)) == pytest.approx(above / below, rel=1e-5)
    assert float(label_weight(labels, weights)) == pytest.approx(below, rel=1e-5)
    plain = cross_entropy(logits[:, :-1].reshape(-1, 9).float(), labels[:, 1:].reshape(-1))
    assert float(weighted_loss(logits, labels, torch.ones(size))) == pytest.approx(float(plain), rel=1e-5)
    whole = label_weight(labels, weights)
    parts = [
        weighted_loss(logits[row : row + 1], labels[row : row + 1], weights[row : row + 1], whole)
        for row in range(size)
    ]
    assert float(sum(parts)) == pytest.approx(float(weighted_loss(logits, labels, weights)), rel=1e-5)


def test_rows_of_no_weight_teach_nothing() -> None:
    logits = torch.zeros((2, 3, 4), requires_grad=True)
    labels = torch.tensor([[-100, 1, 2], [-100, 3, 3]])
    weighted_loss(logits, labels, torch.tensor([1.0, 0.0])).backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() > 0
    assert logits.grad[1].abs().sum() == 0
    assert float(weighted_loss(logits.detach(), labels, torch.zeros(2))) == 0


def test_weights_of_users_and_actions_multiply(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("user_id,item_id,weight\nbob,,3\nbob,tent,0.5\neve,boot,2\n")
    found = read_weights(tmp_path / "w.csv", USERS, ITEMS)
    users, items = np.array([0, 1, 1, 2, 2, -1]), np.array([0, 0, 1, 0, 1, 1])
    assert found.of(users, items).tolist() == [1, 1.5, 3, 1, 2, 1]
    (tmp_path / "users.csv").write_text("user,weight\nann,0\n")
    assert read_weights(tmp_path / "users.csv", USERS, ITEMS).of(users, items).tolist() == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,value\nann,1\n", "has the columns user_id, value; expected one called 'weight'"),
        ("who,weight\nann,1\n", "user"),
        ("user_id,weight\nann,1\nmax,1\n", r"line 3 of .*w.csv names the user 'max', which the data set does not know"),
        ("user_id,item_id,weight\nann,hat,1\n", "line 2 of .* names the item 'hat'"),
        ("user_id,weight\nann,-1\n", "line 2 of .* has the weight '-1'; expected a number of 0 or more"),
        ("user_id,weight\nann,lots\n", "has the weight 'lots'"),
        ("user_id,weight\nann,inf\n", "has the weight 'inf'"),
        ("user_id,weight\nann,1\nann,2\n", "line 3 of .* gives a weight that an earlier line gave"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_weights(tmp_path / "w.csv", USERS, ITEMS)
    with pytest.raises(DataError, match="all 2 training rows have the weight 0"):
        Weights({0: 0.0}).of(np.array([0, 0]), np.array([1, 1]))


def test_buckets_of_amounts() -> None:
    amounts = np.array([5.0, 1.0, 900.0, 3.0, 20.0, 1.0], np.float32)
    assert bucket_weights(amounts, num_buckets=3, highest=2.0).tolist() == [1.5, 1.0, 2.0, 1.5, 2.0, 1.0]
    assert bucket_weights(amounts, num_buckets=1).tolist() == [1.0] * 6


def test_the_collator_keeps_weights() -> None:
    batch = WeightedCollator(lambda rows: {"rows": len(rows)})([{"weight": 0.5}, {"weight": 2.0}])
    assert batch["rows"] == 2
    assert batch["weight"].tolist() == [0.5, 2.0]
