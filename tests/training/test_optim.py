"""Muon reaches exactly the matrices it should, part by part, and its state survives a round trip."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agentrec.core.errors import ConfigError
from agentrec.models.sasrec import Config, Network
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator
from agentrec.training.optim import MuonSettings, MuonWithAuxAdam, matrices_of, muon_for

SIZES = (4, 4)


def generator(family: Any) -> Any:
    return tiny_generator(SIDVocabulary(random_codes(10, SIZES), SIZES), family=family).model.train()


def with_gradients(model: nn.Module, seed: int = 0) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw) if parameter.requires_grad else None
    return model


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_tables_heads_and_norms_of_language_models_stay_with_adamw(family: str) -> None:
    names = {matrix.name for matrix in matrices_of(generator(family))}
    assert names
    assert not [name for name in names if "embed" in name or "wte" in name or "wpe" in name or "lm_head" in name]
    assert not [name for name in names if "norm" in name or "ln_" in name]
    ends = {name.rsplit(".", 2)[1] for name in names}
    assert ends >= ({"c_attn", "c_proj", "c_fc"} if family == "gpt2" else {"q_proj", "o_proj", "down_proj"})


def test_sasrec_gives_its_blocks_and_keeps_its_tables() -> None:
    names = [matrix.name for matrix in matrices_of(Network(20, Config(embedding_dim=16)))]
    assert len([name for name in names if name.endswith("in_proj_weight")]) == 2 * 3
    assert not [name for name in names if name.startswith(("items", "positions"))]


def test_lora_factors_stay_with_adamw_unless_asked_for() -> None:
    from peft import LoraConfig, get_peft_model

    adapted: Any = get_peft_model(generator("qwen3"), LoraConfig(r=2, target_modules=["q_proj"]))
    assert matrices_of(adapted) == []
    assert all("lora_" in matrix.name for matrix in matrices_of(adapted, lora=True))
    with pytest.raises(ConfigError, match="no hidden matrix"):
        muon_for(adapted)


@pytest.mark.parametrize("family", ["gpt2", "sasrec"])
def test_fused_matrices_are_orthogonalised_part_by_part(family: str) -> None:
    model = Network(20, Config(embedding_dim=16)) if family == "sasrec" else generator(family)
    name = "blocks.0.self_attn.in_proj_weight" if family == "sasrec" else "transformer.h.0.attn.c_attn.weight"
    dimension = 0 if family == "sasrec" else 1
    before = {key: value.clone() for key, value in model.named_parameters()}
    optimiser = muon_for(with_gradients(model), MuonSettings(learning_rate=1.0), lr=0.0)
    optimiser.step()
    change = dict(model.named_parameters())[name] - before[name]
    for part in change.detach().chunk(3, dim=dimension):
        values = torch.linalg.svdvals(part)
        assert float(values.median()) > 0.6
        assert float(values.max()) < 1.3
    assert float(torch.linalg.svdvals(change.detach()).max()) > 1.3  # as one matrix it would have been about 1


def test_a_step_is_that_of_torchs_muon_and_adamw() -> None:
    torch.manual_seed(0)
    layers: list[nn.Linear] = [nn.Linear(6, 9), nn.Linear(9, 4)]
    one, other = nn.Sequential(*copy.deepcopy(layers)), nn.Sequential(*layers)
    ours = muon_for(one, MuonSettings(learning_rate=0.1), lr=0.01, weight_decay=0.3)
    muon: Any = torch.optim.Muon([layer.weight for layer in layers], lr=0.1, weight_decay=0.0)
    adam = torch.optim.AdamW([layer.bias for layer in layers], lr=0.01, weight_decay=0.0)
    for step in range(3):
        with_gradients(one, step)
        with_gradients(other, step)
        ours.step()
        muon.step()
        adam.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_frozen_parameters_are_untouched_and_gradients_forgotten() -> None:
    model = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 4))
    first: Any = model[0]
    first.weight.requires_grad_(False)
    frozen = first.weight.clone()
    optimiser = muon_for(with_gradients(model), lr=0.1)
    optimiser.step()
    assert torch.equal(first.weight, frozen)
    optimiser.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_one_schedule_scales_all_groups() -> None:
    model = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 4))
    optimiser = muon_for(with_gradients(model), MuonSettings(learning_rate=0.1), lr=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5**step)
    optimiser.step()
    schedule.step()
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.05, 0.005])


def test_training_goes_on_from_saved_state_as_if_it_had_not_stopped() -> None:
    models = [nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 4)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (muon_for(model, lr=0.01) for model in models)
    for step in range(2):
        with_gradients(models[0], step)
        first.step()
    models[1].load_state_dict(models[0].state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for model, optimiser in zip(models, (first, second), strict=True):
        with_gradients(model, 7)
        optimiser.step()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert np.array_equal(one.detach().numpy(), other.detach().numpy())
    with pytest.raises(ConfigError, match="resume with the optimizer that began"):
        second.load_state_dict({"state": {}, "param_groups": []})


def test_a_parameter_in_both_parts_is_refused() -> None:
    layer = nn.Linear(3, 3)
    with pytest.raises(ConfigError, match="Muon and to AdamW"):
        MuonWithAuxAdam(matrices_of(layer), [{"params": layer.parameters()}], MuonSettings())
