"""The layers of a model: which weights they are, in which order a pass first uses them, and what work they do."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from safer_bench.errors import BadInput

LAYER_MODULES = (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding)
CONVOLUTIONS = {"convolution", "_convolution"}
MATRIX_PRODUCTS = {"addmm", "mm", "bmm", "linear", "matmul", "mkldnn_linear"}


Candidate = tuple[str, nn.Module, nn.Parameter]  # name of the parameter, its module, itself


@dataclass(frozen=True, slots=True)
class Layer:
    """One weight tensor that is perturbed and ranked.

    Attributes:
        name: dotted path of the owning module, or of the parameter where a module owns several weights.
        index: order of first use in the clean pass.
        kind: class name of the owning module, such as ``Conv2d``.
        shape: shape of the weight.
        output_axis: axis of the weight that runs over its outputs.
        fan_in: number of weights that feed one output.
        parameters: number of entries of the weight.
        macs: multiply-accumulates of the weight for one example.
        parameter: name of the parameter in ``model.named_parameters()``.
    """

    name: str
    index: int
    kind: str
    shape: tuple[int, ...]
    output_axis: int
    fan_in: int
    parameters: int
    macs: int
    parameter: str


def candidate_weights(model: nn.Module) -> Iterator[Candidate]:
    """Yield (parameter name, owning module, parameter) of each weight that counts as a layer; a tied one once."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            in_projection = isinstance(module, nn.MultiheadAttention) and key.endswith("proj_weight")
            owns = (isinstance(module, LAYER_MODULES) and key == "weight") or in_projection
            if owns and parameter.ndim >= 2 and id(parameter) not in seen:
                seen.add(id(parameter))
                yield f"{path}.{key}" if path else key, module, parameter


class _FirstUse(TorchDispatchMode):
    """Notes when an operation first reads each weight's storage, and what is done with it.

    Attributes:
        order: names of the weights, as they are first read.
        macs: multiply-accumulates done with each.
        looked_up: entries that lookups in each returned.
    """

    def __init__(self, weights: dict[int, str]) -> None:
        super().__init__()
        self.weights = weights  # storage -> name
        self.order: list[str] = []
        self.macs: Counter[str] = Counter()
        self.looked_up: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor):
                self._note(func, tensor, args, result)
        return result

    def _note(self, func: Any, tensor: torch.Tensor, args: Any, result: Any) -> None:
        name = self.weights.get(tensor.untyped_storage().data_ptr())
        if name is None:
            return
        if name not in self.order:
            self.order.append(name)
        operation = func.overloadpacket.__name__
        if operation in CONVOLUTIONS:  # each output meets a filter; transposed: each input meets all entries of its channel
            meeting = args[0] if args[6] else result
            self.macs[name] += meeting.numel() * tensor.numel() // tensor.shape[0]
        elif operation in MATRIX_PRODUCTS:
            left = args[1] if operation == "addmm" else args[0]
            self.macs[name] += result.numel() * left.shape[-1]
        elif operation == "embedding":
            self.looked_up[name] += result.numel()


@contextmanager
def no_fast_path() -> Iterator[None]:
    """Keep transformer layers from their fused kernels within the block."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def discover_layers(model: nn.Module, images: torch.Tensor) -> tuple[Layer, ...]:
    """Find the layers of a model by one clean pass over one example.

    Args:
        model: in evaluation mode.
        images: one example, ``(1, ...)``.

    Returns:
        Layers in order of first use by any operation (not of their modules' calls); weights never read come last,
        with index -1. Position embeddings, from which all examples take the same rows, are none.

    Raises:
        BadInput: a weight that is computed at every pass, or two weights in one storage.
    """
    _refuse_recomputed(model)
    candidates = list(candidate_weights(model))
    _refuse_shared_storage(candidates)
    use = _uses(model, images, candidates)
    fixed = _position_embeddings(model, images, candidates, use)
    candidates = [each for each in candidates if each[0] not in fixed]
    position = {name: index for index, name in enumerate(name for name in use.order if name not in fixed)}
    layers = [_layer(name, module, p, position.get(name, -1), use.macs[name]) for name, module, p in candidates]
    return tuple(sorted(layers, key=lambda layer: (layer.index < 0, layer.index)))


def _uses(model: nn.Module, images: torch.Tensor, candidates: Sequence[Candidate]) -> _FirstUse:
    storages = {parameter.untyped_storage().data_ptr(): name for name, _, parameter in candidates}
    with torch.no_grad(), no_fast_path(), _FirstUse(storages) as use:  # fused attention would hide what reads a weight
        model(images)
    return use


def _position_embeddings(
    model: nn.Module, images: torch.Tensor, candidates: Sequence[Candidate], one: _FirstUse
) -> set[str]:
    """Return the embeddings that are only looked up, and return no more for two examples than for one."""
    asked = {name for name, _, _ in candidates if one.looked_up[name] and not one.macs[name]}
    if not asked:
        return set()
    two = _uses(model, torch.cat([images, images]), candidates)
    return {name for name in asked if two.looked_up[name] == one.looked_up[name]}


def _refuse_recomputed(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, LAYER_MODULES) and module._parameters.get("weight") is None:
            raise BadInput(
                f"layer {path or type(module).__name__!r}: its weight is computed from other parameters at every pass (as "
                "by weight_norm or spectral_norm), so that there is none to perturb; make it a parameter first: "
                "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"
            )


def _refuse_shared_storage(candidates: Sequence[Candidate]) -> None:
    names: dict[int, str] = {}
    for name, _, parameter in candidates:
        other = names.setdefault(parameter.untyped_storage().data_ptr(), name)
        if other != name:
            raise BadInput(
                f"weights {other} and {name} lie in one storage, where they cannot be told apart; give each its own: "
                "for p in model.parameters(): p.data = p.data.clone()"
            )


def _output_axis(module: nn.Module) -> int:
    return 1 if isinstance(module, nn.modules.conv._ConvTransposeNd | nn.Embedding) else 0


def _groups_sharing(module: nn.Module) -> int:
    """Return how many groups of outputs the output axis stands for: a transposed convolution's is of one group alone."""
    return module.groups if isinstance(module, nn.modules.conv._ConvTransposeNd) else 1


def _layer(name: str, module: nn.Module, parameter: nn.Parameter, index: int, macs: int) -> Layer:
    axis = _output_axis(module)
    path = name.removesuffix("_weight").removesuffix(".weight")
    return Layer(
        name=path,
        index=index,
        kind=type(module).__name__,
        shape=tuple(parameter.shape),
        output_axis=axis,
        fan_in=parameter.numel() // int(parameter.shape[axis]) // _groups_sharing(module),
        parameters=parameter.numel(),
        macs=macs,
        parameter=name,
    )
