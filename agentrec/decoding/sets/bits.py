"""Packed bits: eight flags in a byte, the lowest bit first, compiled for CPUs and in plain torch for any device."""

from __future__ import annotations

import numpy as np
import torch

from agentrec.decoding.index import kernels
from agentrec.decoding.index.offsets import Offsets


def packed(flags: torch.Tensor) -> torch.Tensor:
    """(E,) bool -> (E / 8,) uint8."""
    full = torch.nn.functional.pad(flags.to(torch.uint8), (0, -len(flags) % 8)).view(-1, 8)
    return (full << torch.arange(8, device=flags.device, dtype=torch.uint8)).sum(dim=1, dtype=torch.uint8)


def unpacked(bits: torch.Tensor) -> torch.Tensor:
    """(E / 8,) uint8 -> (E,) uint8, 0 or 1, up to whole bytes."""
    return ((bits[:, None] >> torch.arange(8, device=bits.device, dtype=torch.uint8)) & 1).flatten()


def count(bits: torch.Tensor) -> int:
    """How many are set."""
    return int(np.bitwise_count(bits.cpu().numpy()).sum())


def at(bits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Bits at places: (...,) int64 of any shape -> 0 or 1; a negative place reads nothing of meaning."""
    return (bits[places.clamp_min(0) >> 3] >> (places & 7)) & 1


def gathered(bits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Bits at E places, packed again: (E / 8,) uint8."""
    if bits.device.type != "cpu":
        return gathered_plainly(bits, places)
    found = torch.empty((len(places) + 7) // 8, dtype=torch.uint8)
    kernels.gather_bits(bits.numpy(), places.numpy(), found.numpy())
    return found


def gathered_plainly(bits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """`gathered` in plain torch."""
    return packed(at(bits, places.long()).bool())


def any_below(offsets: Offsets, below: torch.Tensor) -> torch.Tensor:
    """Bits of n nodes from the bits of their children, set where any child's is: (n / 8,) uint8."""
    if below.device.type != "cpu":
        return any_below_plainly(offsets, below)
    above = torch.zeros((len(offsets.small) + 6) // 8, dtype=torch.uint8)
    kernels.any_below(offsets.base.numpy(), offsets.small.numpy(), below.numpy(), above.numpy())
    return above


def any_below_plainly(offsets: Offsets, below: torch.Tensor) -> torch.Tensor:
    """`any_below` in plain torch."""
    counted = torch.nn.functional.pad(unpacked(below).cumsum(0), (1, 0))
    first = counted[offsets.at(torch.arange(len(offsets.small), device=below.device))]
    return packed(first[1:] > first[:-1])
