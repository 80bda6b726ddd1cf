"""The layers of a model: which weights they are, in which order a pass first uses them, and what work they do."""

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from safer_bench.errors import BadInput, text_of
from safer_bench.networks.inputs import Inputs
from safer_bench.networks.recomputed import LAYER_MODULES, refuse_recomputed
from safer_bench.networks.uses import ELEMENTWISE, FIXED, Use, Uses

N_LOOKED_AT = 64  # examples at most, where the first ones do not read all parameters
A_BATCH = 9
NEVER_READ = "never read"
NOT_DENSE = "not dense, or without entries"
LEFT_OUT = {  # way to be read -> why it makes no layer; the first that fits
    FIXED: "the same rows for every example (positions)",
    "other": "neither multiplied, convolved nor looked up",
    ELEMENTWISE: "meets the examples entry by entry only (added, joined or scaled)",
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One weight tensor that is perturbed and ranked.

    Attributes:
        name: dotted path of the owning module, or of the parameter where a module owns several weights.
        index: order of first use in the clean pass.
        kind: class name of the module that owns the weight, such as ``Conv2d``.
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


@dataclass(frozen=True, slots=True)
class Found:
    """What one pass tells of a model's weights.

    Attributes:
        layers: in order of first use by any operation, not of their modules' calls.
        left_out: name of each other parameter of two dimensions or more -> why it is no layer.
    """

    layers: tuple[Layer, ...]
    left_out: dict[str, str]


def candidate_weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield (parameter name, parameter) of each weight of torch's modules that may be a layer, without a pass.

    Of the zoo's networks these are the layers; a tied one comes once.
    """
    owners = dict(model.named_modules())
    for name, parameter in model.named_parameters():
        path, _, key = name.rpartition(".")
        in_projection = isinstance(owners[path], nn.MultiheadAttention) and key.endswith("proj_weight")
        recurrent = isinstance(owners[path], nn.RNNBase) and key.startswith("weight_")
        if in_projection or recurrent or (isinstance(owners[path], LAYER_MODULES) and key == "weight"):
            yield name, parameter


@contextmanager
def no_fast_path() -> Iterator[None]:
    """Keep transformer layers from their fused kernels within the block."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def unfused() -> Iterator[None]:
    """Keep recurrent layers from their fused kernels, on a CPU and on a GPU, within the block."""
    backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
    enabled = [backend.enabled for backend in backends]
    for backend in backends:
        backend.enabled = False
    try:
        yield
    finally:
        for backend, before in zip(backends, enabled, strict=True):
            backend.enabled = before


@contextmanager
def taken_apart() -> Iterator[None]:
    """Make attention and recurrent layers come as their single operations within the block, on any machine."""
    with no_fast_path(), unfused(), sdpa_kernel(SDPBackend.MATH):
        yield


def discover_layers(model: nn.Module, inputs: Tensor | Inputs) -> tuple[Layer, ...]:
    """Return the layers of a model as ``look_through`` finds them."""
    return look_through(model, inputs).layers


def look_through(model: nn.Module, inputs: Tensor | Inputs) -> Found:
    """Find the layers of a model by what a clean pass over one example does with its parameters.

    A layer is every floating-point parameter of two dimensions or more that the pass multiplies or convolves, or in which
    the example chooses what is looked up; a tied one is one layer under its first name. Where the first example does not
    read all of them, further ones may, as those that another expert answers; their layers come last.

    Args:
        model: in evaluation mode.
        inputs: of at least one example; up to 64 are looked at, the first alone where it reads every parameter.

    Raises:
        BadInput: a weight that is computed at every pass, two weights in one place of memory, or a pass that fails.
    """
    refuse_recomputed(model)
    parameters = {name: p for name, p in model.named_parameters() if p.ndim >= 2 and p.is_floating_point()}
    dense = {name: p for name, p in parameters.items() if p.layout == torch.strided and p.numel()}
    _refuse_shared_memory(dense)
    uses = _watched(model, inputs[:1], dense)
    for start in range(1, min(len(inputs), N_LOOKED_AT), A_BATCH):
        if len(uses) == len(dense):
            break
        uses |= _watched(model, inputs[start : start + A_BATCH], dense, known=uses)
    used = [name for name, use in uses.items() if use.output_axis is not None]
    layers = tuple(_layer(model, name, parameters[name], index, uses[name]) for index, name in enumerate(used))
    left_out = {layer_name(model, name): _reason(name, dense, uses) for name in parameters if name not in used}
    return Found(layers, left_out)


def _watched(
    model: nn.Module, inputs: Tensor | Inputs, parameters: Mapping[str, nn.Parameter], known: Container[str] = ()
) -> dict[str, Use]:
    """Return what a pass does with the parameters that it reads, as it first reads them; not known ones."""
    given = inputs.clone()  # the model may work in place
    try:
        with torch.no_grad(), taken_apart(), Uses(parameters, given) as uses:
            model(given)
    except Exception as error:
        said = text_of(error, typed=True)
        n = "one example" if len(inputs) == 1 else f"{len(inputs)} examples"
        raise BadInput(f"a pass over {n} that looks for the layers raised {said:.300}") from error
    for name in uses.order:
        uses.of[name].macs //= len(inputs)
    return {name: uses.of[name] for name in uses.order if name not in known}


def _reason(name: str, dense: Mapping[str, nn.Parameter], uses: Mapping[str, Use]) -> str:
    if name not in dense:
        return NOT_DENSE
    if name not in uses:
        return NEVER_READ
    ways = uses[name].otherwise
    if FIXED in ways:
        return LEFT_OUT[FIXED]
    return LEFT_OUT[ELEMENTWISE if ways == {ELEMENTWISE} else "other"]


def layer_name(model: nn.Module, parameter: str) -> str:
    """Return what a layer is called whose weight has some name: its module's path, or where that has several its own."""
    path, _, key = parameter.rpartition(".")
    if key == "weight" and path:
        return path
    packed = isinstance(model.get_submodule(path), nn.MultiheadAttention)
    return parameter.removesuffix("_weight") if packed else parameter


def owners(model: nn.Module, parameter: str) -> dict[str, str]:
    """Return each name of a parameter, several where it is tied -> kind of the module that has it: see ``torch_kind``."""
    weight = model.get_parameter(parameter)
    return {
        f"{path}.{key}".lstrip("."): torch_kind(module)
        for path, module in model.named_modules()
        for key, other in module.named_parameters(recurse=False)
        if other is weight
    }


def torch_kind(module: nn.Module) -> str:
    """Return the class of torch's that a module is or inherits its forward from; where there is none, its own class."""
    own: Any = type(module)
    bases = (each for each in own.__mro__ if each.__module__.startswith("torch.nn.modules."))
    base = next(bases, own)
    return (base if own.forward is base.forward else own).__name__


def _refuse_shared_memory(parameters: Mapping[str, nn.Parameter]) -> None:
    """Refuse parameters that overlap; recurrent layers on a GPU lie side by side in one storage."""
    last: dict[int, tuple[int, str]] = {}
    for name, parameter in sorted(parameters.items(), key=lambda item: item[1].data_ptr()):
        storage = parameter.untyped_storage().data_ptr()
        end, other = last.get(storage, (0, ""))
        if parameter.data_ptr() < end:
            raise BadInput(
                f"weights {other} and {name} lie in one place of memory, where they cannot be told apart; give each its "
                "own: for p in model.parameters(): p.data = p.data.clone()"
            )
        reach = sum((size - 1) * stride for size, stride in zip(parameter.shape, parameter.stride(), strict=True)) + 1
        last[storage] = (parameter.data_ptr() + reach * parameter.element_size(), name)


def _layer(model: nn.Module, name: str, parameter: nn.Parameter, index: int, use: Use) -> Layer:
    return Layer(
        name=layer_name(model, name),
        index=index,
        kind=type(model.get_submodule(name.rpartition(".")[0])).__name__,
        shape=tuple(parameter.shape),
        output_axis=int(use.output_axis or 0),
        fan_in=use.fan_in,
        parameters=parameter.numel(),
        macs=use.macs,
        parameter=name,
    )
