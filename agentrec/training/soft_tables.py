"""Soft labels of all training rows, computed once before training and kept in memory.

The teacher scores every target once; the collaborative tokenizer turns scores into shares of the tokens that may come
at each token of the target; these shares are kept, as float16 unless asked otherwise. For semantic IDs of 3 levels and
256 codes on 12,101 items that is about 310 shares, 730 bytes with their places, per target: 110 MB for amazon_beauty.
A training step then only gathers.

What it does not know: rows whose targets are no items of the trie; their label tokens are trained like any text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from agentrec.core.errors import DataError
from agentrec.core.types import Histories, IntArray
from agentrec.decoding.index.item_ranges import ItemRanges, spans
from agentrec.decoding.shares.collaborative_tokenizer import CollaborativeTokenizer
from agentrec.prompts.forms import IGNORE, Example
from agentrec.training.saved_scores import spread, top_scores
from agentrec.training.soft_labels import SoftLabels
from agentrec.training.teacher_mixture import TeacherMixture
from agentrec.training.teachers import Teacher, blocks


@dataclass(frozen=True)
class Targets:
    """Which items rows of training ask for.

    Attributes:
        rows: (R,) int64 training row of each target, rising.
        owners: (R,) int64 row of the histories.
        places: (R,) int64 place in that history.
    """

    rows: IntArray
    owners: IntArray
    places: IntArray

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Targets:
        """The targets of rows in order."""
        counts = np.array([len(example.targets) for example in examples], np.int64)
        rows = np.repeat(np.arange(len(examples)), counts)
        owners = np.array([example.owner for example in examples], np.int64)[rows]
        places = [place for example in examples for place in example.targets]
        return cls(rows, owners, np.array(places, np.int64))


@dataclass(frozen=True)
class SoftLabelTable:
    """Shares of the tokens that may come, for every label token of every training row.

    Attributes:
        ranges: the trie.
        starts: (rows + 1,) int64, the first label token of each row.
        nodes: (Q,) int32, the node at which each label token is chosen; ``-1`` for text.
        places: (Q + 1,) int64, where the shares of each label token begin.
        shares: (E,) float16 or float32.
        taught: (Q,) bool; the first item of a history has nothing to be predicted from, and text has no teacher.
    """

    ranges: ItemRanges
    starts: IntArray
    nodes: NDArray[np.int32]
    places: IntArray
    shares: NDArray[np.floating]
    taught: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, the trie left out."""
        return sum(part.nbytes for part in (self.starts, self.nodes, self.places, self.shares, self.taught))

    def batch(self, rows: IntArray) -> SoftLabels:
        """Soft labels of all label tokens of rows, row after row: (B,) int64 -> on the CPU."""
        asked = spans(self.starts[rows], self.starts[rows + 1] - self.starts[rows])
        nodes, widths = self.nodes[asked].astype(np.int64), self.places[asked + 1] - self.places[asked]
        tokens = self.ranges.tokens[spans(self.ranges.first[nodes], widths)]
        shares = self.shares[spans(self.places[asked], widths)]
        return SoftLabels(*map(torch.from_numpy, (tokens, shares, widths, self.taught[asked])))


def build_table(
    examples: Sequence[Example],
    histories: Histories,
    teacher: Teacher | TeacherMixture,
    tokenizer: CollaborativeTokenizer,
    *,
    top_m: int = 0,
    dtype: str = "float16",
    progress: bool = False,
) -> SoftLabelTable:
    """Ask the teacher for every target.

    Args:
        examples: training rows.
        histories: that they were made from; of each target only what came before is shown to the teacher.
        teacher: checked by `open_teachers`.
        tokenizer: over the tokens that the rows' targets are written in.
        top_m: keep so many scores per target and spread the mass of the rest evenly; 0 keeps all.
        dtype: float16 or float32.
        progress: show a bar.

    Raises:
        DataError: a row has other label tokens than its targets.
    """
    ranges, targets = tokenizer.ranges, Targets.of(examples)
    counts = [sum(label != IGNORE for label in example.labels) for example in examples]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    items = histories.items[histories.offsets[:-1][targets.owners] + targets.places]
    path = ranges.path(items)
    asked = _label_tokens(targets, path.widths, starts)
    nodes = np.full(int(starts[-1]), -1, np.int32)
    nodes[asked] = path.values
    known = np.repeat(targets.places > 0, path.widths)
    taught = np.zeros(len(nodes), bool)
    taught[asked] = known
    widths = np.where(nodes >= 0, ranges.first[nodes + 1] - ranges.first[nodes], 0)
    places = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    shares = np.zeros(int(places[-1]), dtype)
    table = SoftLabelTable(ranges, starts, nodes, places, shares, taught)
    chosen = np.flatnonzero(targets.places > 0)
    first = np.concatenate([[0], np.cumsum(path.widths)])  # label tokens of each target, in `asked`
    cuts = list(blocks(len(chosen), len(ranges.starts) - 1))
    for cut in tqdm(cuts, disable=not progress, desc="soft labels"):
        some = chosen[cut]
        scores = teacher.logits(histories, targets.owners[some], targets.places[some])
        if 0 < top_m < scores.shape[1]:
            scores = spread(*top_scores(scores, top_m, tokenizer.beta), scores.shape[1], tokenizer.beta)
        tokens = asked[spans(first[some], path.widths[some])]
        rows = np.repeat(np.arange(len(some)), path.widths[some])
        found = tokenizer.shares(scores, rows, nodes[tokens].astype(np.int64))
        shares[spans(places[tokens], widths[tokens])] = found
    return table


def _label_tokens(targets: Targets, widths: IntArray, starts: IntArray) -> IntArray:
    """Numbers of the label tokens of every target, among those of all rows.

    Raises:
        DataError: a row has other label tokens than its targets.
    """
    rows = len(starts) - 1
    wanted = np.bincount(targets.rows, widths, rows).astype(np.int64)
    given = np.diff(starts)
    teaching = np.bincount(targets.rows, minlength=rows) > 0
    wrong = np.flatnonzero(teaching & (wanted != given))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"training row {row} has {int(given[row])} label tokens and its targets have {int(wanted[row])}; expected "
            "as many, so build the rows and the trie from the same semantic IDs"
        )
    before = np.cumsum(wanted) - wanted
    shift = starts[:-1] - before
    numbers: IntArray = np.arange(int(wanted.sum())) + np.repeat(shift, wanted)
    return numbers
