"""Residual dropout by hooks: on in training, gone in evaluation, gone when removed."""

import pytest
import torch
from torch import nn

from agentrec.core.errors import ConfigError
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.training.dropout import add_residual_dropout


def test_hooks_act_in_training_only_and_can_be_removed() -> None:
    model = tiny_generator(SIDVocabulary(random_codes(20, (4, 4)))).model
    ids = torch.tensor([[1, 5, 6, 7]])
    plain = model(ids).logits
    handles = add_residual_dropout(model, 0.5)
    assert len(handles) == 1 + 2 * model.config.num_hidden_layers
    assert torch.equal(model.eval()(ids).logits, plain)
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)
    for handle in handles:
        handle.remove()
    assert torch.equal(model(ids).logits, plain)
    assert add_residual_dropout(model, 0.0) == []


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ConfigError, match="Linear has no layers named"):
        add_residual_dropout(nn.Linear(2, 2), 0.1)
