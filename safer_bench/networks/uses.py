"""What one pass does with each parameter: which operations multiply, convolve or look it up, along which of its axes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from safer_bench.networks.inputs import Inputs, parts_of
from safer_bench.networks.operations import Operations
from safer_bench.networks.parameter_entries import Entries, storage_of, tensors_in

PRODUCTS = {  # operation -> its left and its right factor
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "_int_mm": ("self", "mat2"),
    "_scaled_mm": ("self", "mat2"),
    "_grouped_mm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "_addmm_activation": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
    "addbmm": ("batch1", "batch2"),
    "mv": ("self", "vec"),
    "addmv": ("mat", "vec"),
    "dot": ("self", "tensor"),
    "linear": ("input", "weight"),
}
CONVOLUTIONS = {"convolution", "_convolution", "convolution_overrideable", "deform_conv2d"}
LOOKUPS = {  # operation -> what it looks up in, and by what
    "embedding": ("weight", "indices"),
    "_embedding_bag": ("weight", "indices"),
    "_embedding_bag_forward_only": ("weight", "indices"),
    "index": ("self", "indices"),
    "index_select": ("self", "index"),
    "gather": ("self", "index"),
    "take": ("self", "index"),
    "grid_sampler_2d": ("input", "grid"),
    "grid_sampler_3d": ("input", "grid"),
}
ADDED_OR_NORMED = {  # beside operations that torch calls pointwise
    *("cat", "stack", "copy_", "addmm", "baddbmm", "addbmm", "addmv"),
    *("native_layer_norm", "native_group_norm", "native_batch_norm", "_native_batch_norm_legit", "_fused_rms_norm"),
}
WITHOUT_VALUES = {"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full"}
FIXED, ELEMENTWISE, OTHERWISE = "fixed", "elementwise", "otherwise"  # ways to be read that make no layer


@dataclass(frozen=True, slots=True)
class Application:
    """How an operation multiplies, convolves or looks up an operand.

    Attributes:
        operand: a parameter, or what was made of it.
        outputs: its dimension that runs over outputs.
        summed: its dimensions that are summed over, or in which a lookup chooses.
        macs: multiply-accumulates.
        groups: in how many parts the sum falls, of which an output sees one.
        chosen: whether it is a lookup.
    """

    operand: Tensor
    outputs: int
    summed: Sequence[int]
    macs: int = 0
    groups: int = 1
    chosen: bool = False


@dataclass(slots=True)
class Use:
    """What a pass does with one parameter.

    Attributes:
        output_axis: its axis that runs over outputs; None where nothing multiplies, convolves or looks it up.
        fan_in: its entries that feed one output.
        macs: multiply-accumulates of the operations that multiply or convolve it.
        chosen: whether axis and fan-in are those of a lookup.
        otherwise: how else it is read.
    """

    output_axis: int | None = None
    fan_in: int = 0
    macs: int = 0
    chosen: bool = False
    otherwise: set[str] = field(default_factory=set)


class Uses(Operations):
    """Watches the operations of a pass over some images within the block.

    A parameter is followed into what is made of parameters and constants alone: a transposed copy of a matrix is that
    matrix. The product of two matrices is none of them. A matrix that the images choose out of a stack, and multiply, is
    that of the stack.

    Args:
        parameters: by name, as ``Entries`` takes them.
        inputs: what the pass is given.

    Attributes:
        of: what is done with each.
        order: their names, as operations first read them.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], inputs: Tensor | Inputs) -> None:
        super().__init__()
        self._entries = Entries(parameters)
        self._of_images = {
            storage_of(part): part for part in parts_of(inputs)
        }  # kept, so that nothing else takes the place of one in memory
        self._chosen: set[int] = set()  # storages of matrices that the images choose out of a stack of them
        self.of = {name: Use() for name in parameters}
        self.order: list[str] = []

    def _watch(self, func: Any, given: dict[str, Any], result: Any) -> None:
        if func.overloadpacket.__name__ in WITHOUT_VALUES:
            return
        tensors = tensors_in(given)
        held = [tensor for tensor in tensors if self._entries.holds(tensor)]
        of_images = self._depend_on_images(tensors)
        if held:
            self._note_first(held)
            self._note_uses(func, given, held, result, of_images=of_images)
        if of_images:
            for tensor in (*tensors_in(result), *_written(func, given)):
                self._of_images[storage_of(tensor)] = tensor

    def _depend_on_images(self, values: Any) -> bool:
        return any(storage_of(tensor) in self._of_images for tensor in tensors_in(values))

    def _note_first(self, held: Sequence[Tensor]) -> None:
        for name in (name for tensor in held for name in self._entries.shares(tensor)):
            if name not in self.order:
                self.order.append(name)

    def _note_uses(self, func: Any, given: dict[str, Any], held: Sequence[Tensor], result: Any, *, of_images: bool) -> None:
        operation = func.overloadpacket.__name__
        applied = []
        for application in self._applications(operation.removesuffix("_"), given, result):
            if any(application.operand is tensor for tensor in held):
                self._note(application)
                applied.append(application.operand)
        rest = [tensor for tensor in held if not any(tensor is operand for operand in applied)]
        if operation in LOOKUPS:
            self._note_otherwise(rest, FIXED)
            if applied and applied[0].ndim > 2 and self._entries.follow(func, given, result):
                self._chosen.add(storage_of(result))
        if not applied:
            followed = [] if of_images else self._entries.follow(func, given, result)
            rest = [tensor for tensor in rest if not any(tensor is other for other in followed)]
        plain = torch.Tag.pointwise in func.tags or operation in ADDED_OR_NORMED
        self._note_otherwise(rest, ELEMENTWISE if plain else OTHERWISE)

    def _applications(self, operation: str, given: dict[str, Any], result: Any) -> Iterator[Application]:
        """Yield the operands that an operation multiplies, convolves or looks up."""
        if operation in PRODUCTS:
            left, right = (given[key] for key in PRODUCTS[operation])
            outputs = right.ndim - (2 if operation == "linear" else 1)
            summed = right.ndim - (1 if operation == "linear" or right.ndim == 1 else 2)
            macs = left.numel() * (right.shape[outputs] if right.ndim > 1 else 1)
            if self._multiplies(left, right):
                yield Application(left, max(left.ndim - 2, 0), (left.ndim - 1,), macs)
            if self._multiplies(right, left):
                yield Application(right, outputs, (summed,), macs)
        elif operation in CONVOLUTIONS:  # each output meets a filter; transposed: each input meets all of its channel
            weight, transposed = given["weight"], int(given.get("transposed", False))
            meeting = given["input"] if transposed else result
            summed_over = [dim for dim in range(weight.ndim) if dim != transposed]
            macs = meeting.numel() * weight.numel() // weight.shape[0]
            yield Application(weight, transposed, summed_over, macs, given["groups"] if transposed else 1)
        elif operation == "_trilinear" and given["expand2"] == [0]:  # torch's Bilinear
            weight = given["i2"]
            yield Application(weight, 0, (1, 2), result.numel() * weight.numel() // weight.shape[0])
        elif operation in LOOKUPS:
            table, by = (given[key] for key in LOOKUPS[operation])
            if self._depend_on_images([by]):
                looked_up = _looked_up(operation, given, table)
                outputs = max((dim for dim in range(table.ndim) if dim not in looked_up), default=table.ndim - 1)
                yield Application(table, outputs, looked_up, chosen=True)

    def _multiplies(self, operand: Tensor, other: Tensor) -> bool:
        """Tell whether a factor multiplies what is made of the images, not where it was chosen itself and meets a weight."""
        return storage_of(operand) not in self._chosen or (
            self._depend_on_images([other]) and storage_of(other) not in self._chosen
        )

    def _note(self, application: Application) -> None:
        operand = application.operand
        macs = application.macs * (1 + operand.is_complex())  # a part of a complex number meets both of another's
        for name, share in self._entries.shares(operand).items():
            use = self.of[name]
            use.macs += macs * share // operand.numel()
            if use.output_axis is None or (use.chosen and storage_of(operand) in self._chosen):
                use.chosen = application.chosen
                shape = self._entries.parameters[name].shape
                over, along = self._entries.axes(name, operand, application.summed, [application.outputs])
                others = set(range(len(shape))) - over
                use.output_axis = min(along - over or others or range(len(shape)))
                use.fan_in = math.prod(shape[axis] for axis in over if axis != use.output_axis) // application.groups

    def _note_otherwise(self, tensors: Sequence[Tensor], how: str) -> None:
        for name in (name for tensor in tensors for name in self._entries.shares(tensor)):
            self.of[name].otherwise.add(how)


def _looked_up(operation: str, given: dict[str, Any], table: Tensor) -> list[int]:
    """Return the dimensions of a table in which a lookup chooses."""
    if operation == "index":
        return [dim for dim, chosen in enumerate(given["indices"]) if chosen is not None]
    if operation.startswith("grid_sampler"):
        return list(range(2, table.ndim))
    return list(range(table.ndim)) if operation == "take" else [int(given.get("dim", 0)) % table.ndim]


def _written(func: Any, given: dict[str, Any]) -> list[Tensor]:
    """Return what an operation works on in place."""
    written = [item.name for item in func._schema.arguments if item.alias_info is not None and item.alias_info.is_write]
    return tensors_in([given.get(name) for name in written])
