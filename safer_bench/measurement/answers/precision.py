"""float32 as the engine's suffixes compute it, and float64 that a model's own casts to float32 do not leave."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from safer_bench.networks.layers import no_fast_path
from safer_bench.networks.precision import plain_float32


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 as such within the block, without fused attention and without gradients; then all is as before."""
    with plain_float32(), torch.no_grad(), no_fast_path():
        yield


class Float64(TorchFunctionMode):
    """Within the block, whatever asks torch for float32 gets float64.

    A model that casts to float32 by itself, as RMS norms do, would round there, and what rounding decides differs between
    machines.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        wide = lambda value: torch.float64 if value is torch.float32 else value  # noqa: E731
        called: Any = torch.Tensor.double if func is torch.Tensor.float else func
        return called(*map(wide, args), **{key: wide(value) for key, value in (kwargs or {}).items()})
