"""The normaliser is the logarithm of the sum of exponentials, exactly and whatever the logits are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.decoding.children.normaliser import log_total


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from([(1, 1), (3, 7), (2, 5, 64), (2, 3, 1000)]),
    scale=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    shift=st.sampled_from([0.0, -1e5, 88.0]),
    dead=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_it_is_the_sum_in_double_precision(
    *, shape: tuple[int, ...], scale: float, shift: float, dead: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy((shift + scale * rng.normal(size=shape)).astype(np.float32))
    logits[torch.from_numpy(rng.random(shape) < dead)] = -np.inf
    expected = logits.double().logsumexp(dim=-1)
    found = log_total(logits)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, rtol=3e-7, atol=3e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_it_is_float32_for_every_kind(kind: torch.dtype) -> None:
    logits = torch.linspace(-3, 3, 50).view(2, 25).to(kind)
    assert torch.allclose(log_total(logits), logits.float().logsumexp(dim=-1))


def test_what_is_not_a_number_or_infinite_stays_so() -> None:
    logits = torch.zeros(5, 40)
    logits[0, 3], logits[1, 3], logits[2, 3], logits[2, 9] = np.nan, np.inf, np.inf, np.nan
    logits[3, 5] = torch.tensor(np.copysign(np.float32(np.nan), -1))
    found = log_total(logits)
    assert found.isnan().tolist() == [True, False, True, True, False]
    assert found[1] == np.inf
    assert found[4] == pytest.approx(np.log(40))


def test_threads_and_strides_change_nothing() -> None:
    logits = torch.randn(500, 2, 400, generator=torch.Generator().manual_seed(0)).transpose(0, 1)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(log_total(logits))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)
    assert found[0].shape == (2, 500)


def test_gradients_go_through() -> None:
    logits = torch.zeros(1, 4, requires_grad=True)
    log_total(logits).backward()
    assert logits.grad.tolist() == [[0.25] * 4]
