"""Training of CF models: best epoch kept, seeded, validation only, unknown names refused."""

import numpy as np
import pytest

from agentrec.core.artefact import plain
from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.models.sasrec import Config, SASRec
from agentrec.testing.worlds import tiny_world
from agentrec.training import cf, descent

SMALL = {"embedding_dim": 16, "num_layers": 1, "num_heads": 1, "max_length": 10}
QUICK = cf.Config(epochs=4, batch_size=16, learning_rate=5e-3, warmup_steps=2)


def test_the_best_validated_epoch_is_kept() -> None:
    world = tiny_world()
    model = SASRec.build(world.num_items, Config(**SMALL))
    seen = descent.descend(
        model, world.train, world.reveal("validation"), cf.Config(epochs=8, batch_size=8, patience=8)
    )
    assert descent.validation_ndcg(model, world.reveal("validation")) == pytest.approx(max(seen.ndcgs))
    assert seen.losses[-1] < seen.losses[0]


def test_patience_stops_early() -> None:
    world = tiny_world()
    model = SASRec.build(world.num_items, Config(**SMALL))
    frozen = cf.Config(epochs=50, batch_size=64, learning_rate=0.0, patience=2)
    assert len(descent.descend(model, world.train, world.reveal("validation"), frozen).losses) == 3


def test_one_seed_one_model_and_provenance() -> None:
    world = tiny_world()
    first, second = (cf.train_cf("sasrec", world, model=SMALL, config=QUICK) for _ in range(2))
    other = cf.train_cf("sasrec", world, model=SMALL, config=cf.Config(**{**plain(QUICK), "seed": 1}))
    history = world.reveal("test").histories
    assert np.array_equal(first.score(history), second.score(history))
    assert not np.array_equal(first.score(history), other.score(history))
    assert first.provenance["split"] == world.fingerprint
    assert first.provenance["training"]["epochs"] == 4


def test_muon_learns_the_order_too_and_is_part_of_what_a_model_is_known_by() -> None:
    world = tiny_world()
    model = SASRec.build(world.num_items, Config(**SMALL))
    settings = cf.Config(epochs=8, batch_size=8, patience=8, learning_rate=5e-3, warmup_steps=2, optimizer="muon")
    seen = descent.descend(model, world.train, world.reveal("validation"), settings)
    assert seen.losses[-1] < 0.8 * seen.losses[0]
    assert seen.ndcgs[-1] > 2 * seen.ndcgs[0]
    assert settings.chosen()["optimizer"] == "muon"
    assert set(QUICK.chosen()) == set(cf.FIRST)
    with pytest.raises(ConfigError, match="expected adamw or muon"):
        cf.Config(optimizer="sgd")


def test_closed_form_models_are_counted() -> None:
    world = tiny_world()
    model = cf.train_cf("transitions", world, model={"window": 1})
    assert model.config.window == 1


@pytest.mark.parametrize(
    ("name", "settings", "error"),
    [
        ("sasrek", {}, UnknownNameError),
        ("sasrec", {"embeding_dim": 3}, ConfigError),
        ("sasrec", {"embedding_dim": 7}, ConfigError),
        ("transitions", {"window": 0}, ConfigError),
        ("popularity", {"window": 1}, ConfigError),
    ],
)
def test_mistakes_are_named(name: str, settings: dict, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"sasrec|embedding_dim|window"):
        cf.train_cf(name, tiny_world(), model=settings)
