"""float32 as the engine's suffixes compute it, and float64 that a model's own casts to float32 do not leave."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch.nn import functional as F
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
    machines. Numbers that a model takes from its type, such as the smallest epsilon, are float32's.
    """

    def __enter__(self) -> Self:
        self._finfo = torch.finfo
        torch.finfo = self._float32s  # type: ignore[assignment, misc]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch.finfo = self._finfo  # type: ignore[misc]
        super().__exit__(*error)

    def _float32s(self, dtype: torch.dtype | None = None) -> torch.finfo:
        dtype = torch.get_default_dtype() if dtype is None else dtype
        return self._finfo(torch.float32 if dtype is torch.float64 else dtype)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not kwargs and func not in SPECIAL and KINDS.isdisjoint(map(type, args)):
            return func(*args)  # nearly always
        args, kwargs = tuple(map(_wide, args)), {key: _wide(value) for key, value in (kwargs or {}).items()}
        if func in RMS_NORMS:
            args, kwargs = with_float32s_epsilon(args, kwargs)
        return WIDE.get(func, func)(*args, **kwargs)


WIDE: dict[Any, Any] = {
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
    torch.FloatTensor: torch.DoubleTensor,
    "torch.FloatTensor": "torch.DoubleTensor",
    torch.Tensor.float: torch.Tensor.double,
    torch.Tensor.cfloat: torch.Tensor.cdouble,  # type: ignore[attr-defined]  # they are there
}
EPSILON, EPSILON_AT = torch.finfo(torch.float32).eps, 3  # the last argument of an RMS norm
RMS_NORMS = {F.rms_norm, torch.rms_norm}
SPECIAL = RMS_NORMS | {torch.Tensor.float, torch.Tensor.cfloat}  # type: ignore[attr-defined]  # it is there
KINDS = {torch.dtype, type(torch.FloatTensor), str}  # of arguments that may name a type of numbers


def _wide(value: Any) -> Any:
    return WIDE.get(value, value) if type(value) in KINDS else value


def with_float32s_epsilon(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of an RMS norm with the epsilon that it takes in float32: left out, it is that of the type."""
    if len(args) > EPSILON_AT:
        given = args[EPSILON_AT]
        return (*args[:EPSILON_AT], EPSILON if given is None else given), kwargs
    return args, {**kwargs, "eps": EPSILON if kwargs.get("eps") is None else kwargs["eps"]}
