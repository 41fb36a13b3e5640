"""SASRec: contract, causality, padding, and the planted order it must find and its ablation must lose."""

import numpy as np
import torch

from agentrec.core.types import Histories
from agentrec.models.sasrec import Config, SASRec, left_aligned
from agentrec.testing.recommenders import RecommenderTests
from agentrec.testing.worlds import tiny_world
from agentrec.training import cf, descent

SMALL = Config(embedding_dim=32, num_layers=1, num_heads=2, max_length=10, dropout=0.1)
QUICK = cf.Config(epochs=15, batch_size=16, learning_rate=5e-3, warmup_steps=5, patience=15)


class TestSASRec(RecommenderTests):
    min_recall_at_1 = 0.95

    def make(self, train: Histories, num_items: int) -> SASRec:
        model = SASRec.build(num_items, SMALL)
        descent.descend(model, train, tiny_world().reveal("validation"), QUICK)
        return model


def test_no_position_sees_a_later_one() -> None:
    network = SASRec.build(20, SMALL).network
    items = torch.tensor([[3, 5, 7, 9]])
    changed = torch.tensor([[3, 5, 11, 2]])
    assert torch.allclose(network(items)[:, :2], network(changed)[:, :2], atol=1e-6)
    assert not torch.allclose(network(items)[:, 2:], network(changed)[:, 2:], atol=1e-3)


def test_padding_changes_no_score() -> None:
    model = SASRec.build(20, SMALL)
    rows = [[3], [4, 5, 6, 7], list(range(15))]
    together = model.score(Histories.from_lists(rows))
    alone = np.concatenate([model.score(Histories.from_lists([row])) for row in rows])
    assert np.allclose(together, alone, atol=1e-5)
    assert left_aligned(Histories.from_lists(rows), 3).tolist() == [[3, -1, -1], [5, 6, 7], [12, 13, 14]]


def test_full_softmax_loss_equals_the_loop() -> None:
    network = SASRec.build(9, Config(embedding_dim=8, num_layers=1, num_heads=1, dropout=0.0)).network.eval()
    items = torch.tensor([[1, 2, 3], [4, 5, -1]])
    hidden = network(items[:, :-1])
    table = torch.nn.functional.normalize(network.items.weight, dim=-1)
    losses = []
    for row, column in [(0, 0), (0, 1), (1, 0)]:
        logits = torch.nn.functional.normalize(hidden[row, column], dim=-1) @ table.T / network.config.temperature
        losses.append(-logits.log_softmax(-1)[items[row, column + 1]])
    assert torch.allclose(network.loss(items), torch.stack(losses).mean(), atol=1e-5)


def test_shuffled_histories_lose_the_planted_order() -> None:
    world = tiny_world()
    held = world.reveal("test")
    rng = np.random.default_rng(0)
    shuffled = Histories.from_lists([rng.permutation(row).tolist() for row in world.train])
    hits = []
    for train in (world.train, shuffled):
        model = SASRec.build(world.num_items, SMALL)
        descent.descend(model, train, world.reveal("validation"), QUICK)
        hits.append((model.recommend(held.histories, 1).items[:, 0] == held.targets).mean())
    assert hits[0] > hits[1] + 0.3
