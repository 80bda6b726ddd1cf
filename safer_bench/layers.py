"""The layers of a model: which weights they are, in which order a pass first uses them, and what work they do."""

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
MATRIX_OPERATIONS = {"convolution", "addmm", "mm", "bmm", "linear", "matmul", "_convolution", "mkldnn_linear"}


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


def candidate_weights(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
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
    """Notes when an operation first reads each weight's storage, and the multiply-accumulates done with it."""

    def __init__(self, weights: dict[int, tuple[str, int, int]]) -> None:
        super().__init__()
        self.weights = weights  # storage -> (name, entries, outputs)
        self.order: list[str] = []
        self.macs: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor):
                self._note(func, tensor, args, result)
        return result

    def _note(self, func: Any, tensor: torch.Tensor, args: Any, result: Any) -> None:
        found = self.weights.get(tensor.untyped_storage().data_ptr())
        if found is None:
            return
        name, n_entries, n_outputs = found
        if name not in self.macs:
            self.order.append(name)
            self.macs[name] = 0
        operation = func.overloadpacket.__name__
        if operation == "convolution" and args[6]:  # transposed: each input meets all entries of its channel
            self.macs[name] += args[0].numel() * n_entries // tensor.shape[0]
        elif operation in MATRIX_OPERATIONS:
            self.macs[name] += result.numel() * n_entries // n_outputs


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
        with index -1.

    Raises:
        BadInput: a weight that is computed at every pass, or two weights in one storage.
    """
    _refuse_recomputed(model)
    found = list(candidate_weights(model))
    _refuse_shared_storage(found)
    storages = {
        parameter.untyped_storage().data_ptr(): (name, parameter.numel(), int(parameter.shape[_output_axis(module)]))
        for name, module, parameter in found
    }
    with torch.no_grad(), no_fast_path(), _FirstUse(storages) as use:  # fused attention would hide what reads a weight
        model(images)
    position = {name: index for index, name in enumerate(use.order)}
    layers = [_layer(name, module, p, position.get(name, -1), use.macs.get(name, 0)) for name, module, p in found]
    return tuple(sorted(layers, key=lambda layer: (layer.index < 0, layer.index)))


def _refuse_recomputed(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, LAYER_MODULES) and module._parameters.get("weight") is None:
            raise BadInput(
                f"layer {path or type(module).__name__!r}: its weight is computed from other parameters at every pass (as "
                "by weight_norm or spectral_norm), so that there is none to perturb; make it a parameter first: "
                "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"
            )


def _refuse_shared_storage(found: Sequence[tuple[str, nn.Module, nn.Parameter]]) -> None:
    names: dict[int, str] = {}
    for name, _, parameter in found:
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
