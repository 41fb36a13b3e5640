"""Muon for hidden matrices, AdamW for everything else, behind one optimiser (MuonRec).

Muon replaces the momentum of a matrix by the nearest matrix with singular values of about one. That makes sense for
matrices that map hidden vectors to hidden vectors; embedding tables, output heads, norms, biases and LoRA factors stay
with AdamW. Matrices that hold several maps side by side (query, key and value in one) are orthogonalised part by part.

What it does not know: shards of matrices, as FSDP and DeepSpeed ZeRO-3 make them; use ``--optimizer adamw`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError

FUSED = {  # weights that hold several maps: (dimension, parts) by the end of their name
    "in_proj_weight": (0, 3),
    "c_attn.weight": (1, 3),
    "gate_up_proj.weight": (0, 2),
}
TRANSPOSED = ("Conv1D",)  # of transformers: (inputs, outputs) instead of (outputs, inputs)


@dataclass(frozen=True)
class MuonSettings:
    """Of the matrices; what AdamW gets is the trainer's own."""

    learning_rate: float = setting(0.02, "of the matrices, at the peak of the schedule that all groups share")
    weight_decay: float = setting(0.0, "decoupled, of the matrices")
    momentum: float = setting(0.95, "of the matrices")
    scale: Literal["original", "match_rms_adamw"] = setting(
        "original", "original: sqrt(max(1, rows / columns)); match_rms_adamw: steps as large as AdamW's at its rate"
    )
    lora: bool = setting(False, "orthogonalise LoRA factors too, which is another algorithm")

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.weight_decay < 0 or not 0 <= self.momentum < 1:
            raise ConfigError(
                f"Muon has learning_rate {self.learning_rate}, weight_decay {self.weight_decay} and momentum "
                f"{self.momentum}; expected above 0, 0 or more, and 0 to below 1"
            )


@dataclass(frozen=True)
class Matrix:
    """One map for Muon: a view of a parameter, or the whole of it.

    Attributes:
        name: of the parameter.
        parameter: it belongs to.
        view: of its data and gradient: rows are outputs.
    """

    name: str
    parameter: nn.Parameter
    view: Callable[[torch.Tensor], torch.Tensor]


def matrices_of(model: nn.Module, *, lora: bool = False) -> list[Matrix]:
    """The hidden matrices of a model: two-dimensional weights that are no embedding, no output head and no LoRA factor.

    Args:
        model: sequential recommender or language model.
        lora: count LoRA factors as matrices.
    """
    heads = getattr(model, "get_output_embeddings", lambda: None)()
    outside = {id(heads.weight)} if heads is not None and hasattr(heads, "weight") else set()
    outside |= {id(table.weight) for table in model.modules() if isinstance(table, nn.Embedding)}
    modules = [(module, type(module).__name__) for module in model.modules()]
    kinds = {id(parameter): kind for module, kind in modules for parameter in module.parameters(recurse=False)}
    found = []
    for name, parameter in model.named_parameters():
        wanted = parameter.ndim == 2 and parameter.requires_grad and id(parameter) not in outside
        if wanted and (lora or "lora_" not in name):
            found += _parts(name, parameter, kinds[id(parameter)])
    return found


def _parts(name: str, parameter: nn.Parameter, kind: str) -> list[Matrix]:
    dimension, count = next((rule for end, rule in FUSED.items() if name.endswith(end)), (0, 1))
    size, rest = divmod(parameter.shape[dimension], count)
    if rest:
        dimension, count, size = 0, 1, parameter.shape[0]
    turned = kind in TRANSPOSED

    def view(start: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def cut(tensor: torch.Tensor) -> torch.Tensor:
            part = tensor.narrow(dimension, start, size)
            return part.T if turned else part

        return cut

    return [Matrix(name, parameter, view(part * size)) for part in range(count)]


class MuonWithAuxAdam(torch.optim.Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` as one optimiser: one schedule, one state.

    Args:
        matrices: for Muon.
        others: parameter groups for AdamW, each with ``params``.
        muon: settings of Muon.
        adam: further settings of AdamW, such as ``lr``, ``betas`` and ``weight_decay``.

    Raises:
        ConfigError: a parameter is in both parts, or there is no matrix.
    """

    def __init__(
        self, matrices: Iterable[Matrix], others: Iterable[Mapping[str, Any]], muon: MuonSettings, **adam: Any
    ) -> None:
        self._matrices = list(matrices)
        groups = [{**group, "params": list(group["params"])} for group in others]
        first = {id(matrix.parameter): matrix for matrix in self._matrices}
        shared = [first[id(item)].name for group in groups for item in group["params"] if id(item) in first]
        if shared or not first:
            raise ConfigError(
                f"{shared[0]!r} is given to Muon and to AdamW; expected one of them"
                if shared
                else "the model has no hidden matrix that Muon could train; use the optimizer adamw"
            )
        self._parameters = [matrix.parameter for matrix in first.values()]
        self._parameters += [item for group in groups for item in group["params"]]
        super().__init__(self._parameters, {"lr": muon.learning_rate})
        self._views = [nn.Parameter(matrix.view(matrix.parameter.data)) for matrix in self._matrices]
        self._muon = torch.optim.Muon(
            self._views,
            lr=muon.learning_rate,
            weight_decay=muon.weight_decay,
            momentum=muon.momentum,
            adjust_lr_fn=muon.scale,
        )
        self._adam = torch.optim.AdamW([group for group in groups if group["params"]], **adam)
        self.param_groups = [*self._muon.param_groups, *self._adam.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for parameter in [*self._parameters, *self._views]:
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad.zero_()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for matrix, view in zip(self._matrices, self._views, strict=True):
            view.grad = None if matrix.parameter.grad is None else matrix.view(matrix.parameter.grad)
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adam.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """State of both."""
        return {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of both.

        Raises:
            ConfigError: it is the state of another optimiser.
        """
        if set(state_dict) != {"muon", "adam"}:
            raise ConfigError(
                f"the saved optimiser has the parts {', '.join(sorted(state_dict))}; expected muon and adam, so resume "
                "with the optimizer that began"
            )
        self._muon.load_state_dict(state_dict["muon"])
        self._adam.load_state_dict(state_dict["adam"])
        self.param_groups = [*self._muon.param_groups, *self._adam.param_groups]


def muon_for(
    model: nn.Module, settings: MuonSettings | None = None, *, weight_decay: float = 0.0, **adam: Any
) -> MuonWithAuxAdam:
    """Muon on a model's hidden matrices and AdamW on the rest, without decay on vectors.

    Args:
        model: only its trainable parameters count.
        settings: of Muon.
        weight_decay: AdamW's, on tables and heads.
        adam: further settings of AdamW.
    """
    settings = settings or MuonSettings()
    matrices = matrices_of(model, lora=settings.lora)
    taken = {id(matrix.parameter) for matrix in matrices}
    rest = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in taken]
    others = [
        {"params": [parameter for parameter in rest if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in rest if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return MuonWithAuxAdam(matrices, others, settings, **adam)
