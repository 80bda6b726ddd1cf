"""Float32's range in float64: what a module returns beyond float32's largest number is infinite."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

LARGEST = torch.finfo(torch.float32).max


def limited(value: Tensor) -> Tensor:
    """Return a tensor with infinity in place of what is beyond float32's range; itself where nothing is."""
    if not value.is_floating_point() or value.numel() == 0:
        return value
    if value.device.type == "cpu":  # elsewhere, a look at the values would wait for the device
        low, high = torch.aminmax(value.detach())
        with suppress(RuntimeError):  # torch.vmap lets nobody read a value
            if float(low) >= -LARGEST and float(high) <= LARGEST:  # false for NaN too
                return value
    return torch.where(value.abs() > LARGEST, torch.copysign(torch.full_like(value, torch.inf), value), value)


def limit_output(module: Any, args: Any, output: Any) -> Any:
    """Limit what a module returns, as a forward hook; where a graph is traced, by one operation of it."""

    def limit(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        if not torch.compiler.is_exporting():
            return limited(value)
        in_place = getattr(module, "inplace", False) and any(value is each for each in args)
        # What is changed in place may be changed again for all who read it, and is no larger than it was. Gradients are
        # those of a model's own use of autograd, which is not replayed.
        return value if in_place or value.requires_grad else _traced(value)

    return limit(output) if isinstance(output, Tensor) else tree_map(limit, output)


@torch.library.custom_op("safer_bench::limited", mutates_args=())
def _traced(value: Tensor) -> Tensor:
    return limited(value).clone()


@_traced.register_fake
def _(value: Tensor) -> Tensor:
    return torch.empty_like(value)


@_traced.register_vmap
def _(info: Any, in_dims: Any, value: Tensor) -> tuple[Tensor, Any]:  # noqa: ARG001  its signature
    return _traced(value), in_dims[0]


TRACED = torch.ops.safer_bench.limited.default
