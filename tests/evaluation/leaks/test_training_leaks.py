"""Methods that read held-out rows are planted and must be found; those that do not must pass."""

import numpy as np
import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.types import Catalogue, Recommendations
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import PARTS, Split, global_time, leave_one_out
from agentrec.evaluation.leaks.held_out_rows import held_out_starts
from agentrec.evaluation.leaks.training_leaks import held_out_invariance, recorded_split, with_other_targets
from agentrec.models.popularity import Popularity
from agentrec.models.ranking import recommend_by_scores
from agentrec.models.transitions import Transitions
from agentrec.training import cf

METHODS = [Popularity, Transitions]


@pytest.fixture(scope="module")
def dataset():
    return Shop.generate(ShopConfig(num_users=80, num_items=60)).dataset


def honest(method):
    return lambda dataset, split: method.fit(split.train, split.num_items)


def on_everything(method):
    return lambda dataset, split: method.fit(dataset.histories(), dataset.num_items)


def on_validation(method):
    return lambda dataset, split: method.fit(split.reveal("test").histories, split.num_items)


@pytest.mark.parametrize("make_split", [leave_one_out, global_time])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("method", METHODS)
def test_methods_that_read_train_alone_pass(dataset, method, part, make_split):
    finding = held_out_invariance(honest(method), dataset, make_split, part=part)
    assert (finding.violations, finding.is_leak) == (0, False)
    assert finding.checked == len(make_split(dataset).reveal(part))
    assert finding.facts["exchanged_rows"] > 0


@pytest.mark.parametrize("make_split", [leave_one_out, global_time])
@pytest.mark.parametrize("method", METHODS)
def test_methods_that_read_everything_are_found(dataset, method, make_split):
    finding = held_out_invariance(on_everything(method), dataset, make_split)
    assert finding.is_leak
    assert finding.share > 0.9
    assert finding.examples[0].startswith("user 'user-")


@pytest.mark.parametrize("method", METHODS)
def test_validation_rows_may_be_read_unless_they_are_exchanged_too(dataset, method):
    assert not held_out_invariance(on_validation(method), dataset, part="test").violations
    assert held_out_invariance(on_validation(method), dataset, part="validation").is_leak


def test_a_trained_network_passes_and_its_leaky_twin_does_not(dataset):
    model = {"embedding_dim": 8, "num_heads": 1, "num_layers": 1, "max_length": 10}

    def train(dataset, split):
        return cf.train_cf("sasrec", split, model=model, config=cf.Config(epochs=2))

    def cheat(dataset, split):
        held = {part: split.reveal(part) for part in PARTS}
        return train(dataset, Split(dataset, "leaky", dataset.histories(), held, {}))

    assert not held_out_invariance(train, dataset).violations
    assert held_out_invariance(cheat, dataset).is_leak


class Restless:
    """Other scores at every fit."""

    def __init__(self, num_items, rng):
        self.num_items, self.rng = num_items, rng

    def score(self, histories):
        return self.rng.random((len(histories), self.num_items), dtype=np.float32)

    def recommend(self, histories, n, *, exclude_seen=False):
        return recommend_by_scores(self, histories, n, exclude_seen=exclude_seen)


def test_a_method_that_does_not_repeat_itself_gives_a_warning(dataset):
    rng = np.random.default_rng(0)
    finding = held_out_invariance(lambda dataset, split: Restless(split.num_items, rng), dataset)
    assert (finding.severity, finding.is_leak) == ("warning", False)
    assert finding.violations == finding.checked
    assert "fix its seed" in finding.meaning


class OneScore:
    """The same list for everybody, with a score that tells how often an item was a test target."""

    def __init__(self, count):
        self.count = count
        self.num_items = 60

    def recommend(self, histories, n, *, exclude_seen=False):
        items = np.tile(np.arange(n), (len(histories), 1))
        return Recommendations(items, np.full(items.shape, self.count, np.float32))


def test_scores_alone_may_tell(dataset):
    finding = held_out_invariance(
        lambda dataset, split: OneScore((split.reveal("test").targets % 2).sum()), dataset, n=5, limit=20
    )
    assert finding.is_leak
    assert finding.checked == 20


@pytest.mark.parametrize("make_split", [leave_one_out, global_time])
@pytest.mark.parametrize("part", PARTS)
def test_only_held_out_rows_are_exchanged(dataset, make_split, part):
    split = make_split(dataset)
    changed = with_other_targets(dataset, split, part, seed=3)
    differs = changed.interactions.items != dataset.interactions.items
    place = np.concatenate([np.arange(length) for length in dataset.histories().lengths])
    held = place >= held_out_starts(dataset, split, part)[dataset.interactions.users]
    assert (differs == held).all()
    again = make_split(changed)
    assert again.train.items.tolist() == split.train.items.tolist()
    assert (again.reveal(part).targets != split.reveal(part).targets).all()
    assert with_other_targets(dataset, split, part, seed=3).fingerprint == changed.fingerprint


def test_a_single_item_cannot_be_exchanged():
    rows = Interactions.sort(np.zeros(3, int), np.zeros(3, int), np.arange(3))
    single = Dataset("single", ["u"], Catalogue(("i",)), rows)
    with pytest.raises(ConfigError, match="has 1 items; expected at least 2"):
        with_other_targets(single, leave_one_out(single), "test")


def test_records_of_training_are_compared(dataset):
    split = leave_one_out(dataset)
    trained = cf.train_cf("popularity", split)
    assert not recorded_split(trained.provenance, split).violations
    other = recorded_split(cf.train_cf("popularity", global_time(dataset)).provenance, split)
    assert other.is_leak
    assert split.fingerprint in other.examples[0]
    silent = recorded_split({}, split)
    assert (silent.violations, silent.severity, silent.is_leak) == (1, "warning", False)
