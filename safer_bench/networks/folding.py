"""Batch norms folded into the layers before them, as a network is deployed."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from safer_bench.errors import BadInput, text_of
from safer_bench.networks.inputs import Inputs
from safer_bench.networks.norms import BatchNorm, FoldsInto, followed_by, watched_pass
from safer_bench.networks.precision import plain_float32
from safer_bench.tables.columns import FOLDED

N_CHECKED = 16  # examples that have to be answered alike, at most
TOLERANCE = 1e-3  # of the largest logit: float32 rounds the folded weights anew
OVERFLOWS = "its layer's folded weights are not finite in float32"


@dataclass(frozen=True, slots=True)
class Folding:
    """What was folded.

    Attributes:
        into: path of each batch norm that was folded -> path of the layer's module that took it.
        left_out: path of each other batch norm -> why it stays.
    """

    into: dict[str, str]
    left_out: dict[str, str]

    @property
    def by_reason(self) -> dict[str, list[str]]:
        """Those that stay, by why they do."""
        found: dict[str, list[str]] = {}
        for norm, reason in self.left_out.items():
            found.setdefault(reason, []).append(norm)
        return found


def unfolded(name: str) -> str:
    """Return what a network is called where it is not folded."""
    return name.removesuffix(FOLDED)


def folded_copy(model: nn.Module, inputs: Tensor | Inputs, name: str) -> tuple[nn.Module, Folding]:
    """Return a copy of a model whose batch norms are folded where each scales the output of one layer and nothing else.

    A folded batch norm stays in its place and hands on the values that it is given.

    Args:
        model: in evaluation mode, returns logits; it is not changed.
        inputs: of at least one example, on the model's device; the first 16 have to be answered alike.
        name: of the network.

    Raises:
        BadInput: the folded model fails or answers otherwise.
    """
    changed = deepcopy(model)
    into, left_out = followed_by(changed, inputs[:1])
    for norm, layer in list(into.items()):
        if not fold_norm(changed, norm, layer):
            left_out[norm] = OVERFLOWS
            del into[norm]
    wrong = _wrong(model, changed, inputs[:N_CHECKED], into) if into else None
    if wrong:
        raise BadInput(f"network {name!r}: cannot be folded: with batch norms folded {wrong}; measure it without fold")
    return changed, Folding(into, left_out)


def fold_norm(model: nn.Module, of_norm: str, of_layer: str) -> bool:
    """Fold a batch norm into a layer of a model, in place; nothing is changed where float32 does not hold the result.

    Args:
        model: that has both.
        of_norm: path of the batch norm.
        of_layer: path of the convolution or linear layer before it.

    Returns:
        Whether it was folded.

    Raises:
        BadInput: the model has no such batch norm or layer.
    """
    modules = dict(model.named_modules())
    norm, layer = modules.get(of_norm), modules.get(of_layer)
    if not isinstance(norm, BatchNorm) or not isinstance(layer, FoldsInto):
        raise BadInput(f"the model has no batch norm {of_norm!r} behind a layer {of_layer!r}, to be folded into it")
    weight, bias = _folded(layer, norm)
    if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        return False
    with torch.no_grad():
        layer.weight.copy_(weight)
    layer.bias = nn.Parameter(bias.to(layer.weight.device), requires_grad=layer.weight.requires_grad)
    _switch_off(norm)
    return True


def _switch_off(norm: BatchNorm) -> None:
    """Make a batch norm hand on the values that it is given."""
    norm.register_parameter("weight", None)
    norm.register_parameter("bias", None)
    for key, value in (("running_mean", 0.0), ("running_var", 1.0)):
        norm.register_buffer(key, torch.full_like(norm.get_buffer(key), value))
    norm.eps, norm.affine = 0.0, False


def _folded(layer: FoldsInto, norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Return a layer's weight and bias with the scale and shift of a batch norm: in float64, rounded once.

    Only operations that IEEE 754 rounds correctly are used, on the CPU: every machine finds the same numbers.

    Source: W' = W gamma / sqrt(var + eps), b' = (b - mean) gamma / sqrt(var + eps) + beta; Jacob et al. 2018,
        arXiv 1712.05877, section 3.2.
    """
    mean, variance, weight = (_double(tensor) for tensor in (norm.running_mean, norm.running_var, layer.weight))
    scale = _double(norm.weight, 1.0) / torch.sqrt(variance + norm.eps)
    shifted = (_double(layer.bias) - mean) * scale + _double(norm.bias)
    kernel = [1] * (weight.ndim - 2)
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):  # its weight is (inputs, outputs of a group, *kernel)
        by_group = weight.reshape(layer.groups, -1, *weight.shape[1:])
        scaled = (by_group * scale.reshape(layer.groups, 1, -1, *kernel)).reshape(weight.shape)
    else:
        scaled = weight * scale.reshape(-1, 1, *kernel)
    return scaled.float(), shifted.float()


def _double(tensor: Tensor | None, otherwise: float = 0.0) -> Tensor:
    return torch.tensor(otherwise).double() if tensor is None else tensor.detach().cpu().double()


def _wrong(model: nn.Module, folded: nn.Module, inputs: Tensor | Inputs, into: Mapping[str, str]) -> str | None:
    """Return what is wrong with a folded model: it answers otherwise, or a batch norm does not hand on what it is given."""
    try:
        with torch.no_grad(), plain_float32():
            before, after = (each(inputs.clone()) for each in (model, folded))
        watched = watched_pass(folded, inputs[:1])
    except Exception as error:
        return f"a pass raised {text_of(error, typed=True):.300}"
    if any(call["eps"] for path in into for call in watched.calls(folded.get_submodule(path))):
        return "a batch norm has an epsilon that is not its module's"
    numbers = before[torch.isfinite(before)]
    largest = float(numbers.abs().max()) if len(numbers) else 0.0
    return None if torch.allclose(before, after, rtol=0.0, atol=TOLERANCE * largest, equal_nan=True) else "answers differ"
