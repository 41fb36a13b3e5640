"""Rules choose what they say: renormalised ranks, samples by their distribution, fused scores, diverse beams."""

from typing import Any

import numpy as np
import pytest
import torch

from agentrec.core.errors import ConfigError
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.search.beam import Beams, search
from agentrec.decoding.search.plan import BeamPlan
from agentrec.decoding.search.prompt import read_prompts
from agentrec.decoding.search.rules import Fused, Likeliest, Renormalised, Sampled, WithoutReplacement, adaptive_fusion
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator

SIZES = (4, 3, 5)


class World:
    """A tiny model whose probabilities are far from even, its items, and their true probabilities."""

    def __init__(self, num_items: int = 12) -> None:
        self.vocabulary = SIDVocabulary(random_codes(num_items, SIZES), SIZES)
        self.model, self.tokenizer = tiny_generator(self.vocabulary)
        with torch.no_grad():
            self.model.get_input_embeddings().weight.mul_(8)
        self.index = StaticIndex.build(self.vocabulary.codes, SIZES)
        self.columns = [torch.from_numpy(ids) for ids in self.vocabulary.token_ids(self.tokenizer)]
        self.tokens = torch.tensor([[5, 9, 6, 7]])
        self.prompt = read_prompts(self.model, self.tokens, torch.ones_like(self.tokens))

    def search(self, width: int, rule: Any = None, **options: Any) -> Beams:
        plan = options.pop("plan", BeamPlan((width,)))
        return search(self.prompt, self.index, self.columns, plan=plan, rule=rule, **options)

    def logprobs(self) -> np.ndarray:
        """Log-probability of each code of each item, over the codes that some item goes on with: (N, L)."""
        items = torch.from_numpy(self.vocabulary.item_token_ids(self.tokenizer))
        rows = torch.cat([self.tokens.expand(len(items), -1), items], dim=1)
        with torch.inference_mode():
            logits = self.model(input_ids=rows).logits[:, self.tokens.shape[1] - 1 : -1].numpy()
        codes, found = self.vocabulary.codes, np.zeros(items.shape)
        for item, row in enumerate(codes):
            for level in range(len(SIZES)):
                alike = codes[(codes[:, :level] == row[:level]).all(axis=1)]
                line = logits[item, level][self.columns[level][np.unique(alike[:, level])].numpy()]
                own = logits[item, level][self.columns[level][row[level]]]
                found[item, level] = own - np.log(np.exp(line - line.max()).sum()) - line.max()
        return found


def test_renormalised_scores_are_probabilities_of_the_items() -> None:
    world = World()
    truth = world.logprobs().sum(axis=1)
    found = world.search(20, Renormalised(), n=12)
    assert found.items[0].tolist() == np.argsort(-truth, kind="stable").tolist()
    assert np.allclose(found.scores[0].exp().sum(), 1, atol=1e-5)
    assert found.items[0].tolist() != world.search(20, n=12).items[0].tolist()


def test_samples_with_replacement_follow_the_distribution() -> None:
    world = World()
    truth = np.exp(world.logprobs().sum(axis=1))
    generator, counts = torch.Generator().manual_seed(0), np.zeros(12)
    for _ in range(10):
        counts += np.bincount(world.search(500, Sampled(generator)).items[0], minlength=12)
    assert np.abs(counts / 5000 - truth).max() < 0.03


def test_samples_without_replacement_are_different_items_in_the_right_proportions() -> None:
    world = World()
    truth = np.exp(world.logprobs().sum(axis=1))
    generator, rounds = torch.Generator().manual_seed(0), 1500
    first, both = np.zeros(12), np.zeros(12)
    for _ in range(rounds):
        items = world.search(2, WithoutReplacement(generator), n=2).items[0].numpy()
        assert items[0] != items[1]
        first[items[0]] += 1
        both[items] += 1
    second = truth + sum(truth[other] * truth / (1 - truth[other]) * (np.arange(12) != other) for other in range(12))
    assert np.abs(first / rounds - truth).max() < 0.045
    assert np.abs(both / rounds - second).max() < 0.05


def test_without_replacement_a_wide_beam_holds_every_item_with_its_probability() -> None:
    world = World()
    found = world.search(12, WithoutReplacement(torch.Generator().manual_seed(3)), plan=BeamPlan((60,)), n=12)
    assert sorted(found.items[0].tolist()) == list(range(12))
    assert found.logprobs is not None
    truth = world.logprobs().sum(axis=1)[found.items[0]]
    assert np.allclose(found.logprobs[0], truth, atol=1e-4)
    assert (found.scores[0].diff() <= 0).all()


def test_draws_are_those_of_their_generator() -> None:
    world = World()
    one, two, other = (
        world.search(5, WithoutReplacement(torch.Generator().manual_seed(seed))).items for seed in (0, 0, 1)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_at_a_low_temperature_samples_are_the_likeliest() -> None:
    world = World()
    cold = world.search(6, Sampled(torch.Generator().manual_seed(0), temperature=1e-3)).items[0]
    assert len(set(cold.tolist())) == 1


def test_fusion_adds_up_as_the_rule_says() -> None:
    world = World()
    plain = world.search(60, Renormalised(), n=12)
    same = world.search(60, Fused(lambda prefix, line: prefix[..., None] + line, before=Renormalised()), n=12)
    assert torch.equal(plain.items, same.items)
    prefixes_only = world.search(60, Fused(lambda prefix, line: prefix[..., None] + 0 * line.clamp_min(-1)), n=12)
    assert len(set(prefixes_only.scores[0].tolist())) == len(np.unique(world.vocabulary.codes[:, :2], axis=0))


def test_adaptive_fusion_sharpens_where_prefixes_are_clearly_ranked() -> None:
    fuse = adaptive_fusion(tau=0.5)
    line = torch.tensor([[[0.6, 0.4], [0.5, 0.5]]]).log()
    flat, clear = fuse(torch.tensor([[-1.0, -1.0]]), line), fuse(torch.tensor([[-0.1, -4.0]]), line)
    share = [(scores - scores.logsumexp(-1, keepdim=True)).exp()[0, 0, 0] for scores in (flat, clear)]
    assert share[0] < 0.6 < share[1]
    spread = np.std([-0.1, -4.0])
    expected = 0.6 ** (spread / 0.5) / (0.6 ** (spread / 0.5) + 0.4 ** (spread / 0.5))
    assert float(share[1]) == pytest.approx(expected, abs=1e-5)
    dead = fuse(torch.tensor([[-1.0, -torch.inf]]), torch.tensor([[[0.0], [-torch.inf]]]))
    assert dead[0, 1, 0] == -torch.inf


def test_a_fusion_of_another_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match="fusion rule gave scores"):
        World().search(4, Fused(lambda prefix, line: prefix))


@pytest.mark.parametrize("bad", [0.0, float("inf"), float("nan")])
def test_temperatures_are_above_zero(bad: float) -> None:
    with pytest.raises(ConfigError, match="temperature"):
        World().search(4, Sampled(torch.Generator(), temperature=bad))


def test_groups_spread_the_list_over_first_codes() -> None:
    world = World(50)
    codes = world.vocabulary.codes
    plain = codes[world.search(8).items[0], 0]
    spread = codes[world.search(8, plan=BeamPlan((8,), groups=4)).items[0], 0]
    assert np.bincount(spread, minlength=4).tolist() == [2, 2, 2, 2]
    assert np.bincount(plain, minlength=4).max() > 2
    everything = world.search(60, n=len(codes)).items
    assert torch.equal(everything, world.search(240, n=len(codes), plan=BeamPlan((240,), groups=4)).items)


def test_a_precut_as_wide_as_the_level_changes_nothing_and_a_narrow_one_spreads() -> None:
    world = World(50)
    plain = world.search(6)
    assert torch.equal(plain.items, world.search(6, plan=BeamPlan((6,), precut=5)).items)
    items = world.search(6, plan=BeamPlan((6,), precut=1)).items[0]
    found = world.vocabulary.codes[items[items >= 0]]
    assert len(found) == 4
    assert len(np.unique(found[:, :2], axis=0)) == len(found)


def test_growing_widths_keep_what_each_level_allows() -> None:
    world = World(50)
    found = world.search(40, plan=BeamPlan((1, 2, 40)))
    codes = world.vocabulary.codes[found.items[0][found.items[0] >= 0]]
    assert len(np.unique(codes[:, 0])) == 1
    assert len(np.unique(codes[:, :2], axis=0)) == 2


def test_a_prompt_is_read_once_and_searched_often() -> None:
    world = World()
    calls = []
    world.model.register_forward_hook(lambda *_: calls.append(1))
    first = world.search(6)
    in_stock = StaticIndex.build(world.vocabulary.codes, SIZES, np.arange(0, 12, 2))
    other = search(world.prompt, in_stock, world.columns, plan=BeamPlan((6,)))
    again = world.search(6)
    assert len(calls) == 6  # two steps below the prompt, three times
    assert torch.equal(first.items, again.items)
    assert torch.equal(first.scores, again.scores)
    assert set(other.items[0].tolist()) <= {-1, *range(0, 12, 2)}


def test_a_precut_beside_a_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="precut"):
        World().search(4, Likeliest(), plan=BeamPlan((4,), precut=2))
    with pytest.raises(ConfigError, match="n is 9"):
        World().search(4, n=9)
