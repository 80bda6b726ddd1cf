"""A device that no machine has: its tensors lie in main memory, and who mixes them with others is refused, as on a card.

It tells whether code is pinned to the CPU: every operation is looked at, none is replaced. It cannot tell what a card's
own kernels return, how its memory and streams behave, nor what torch's tracer does with it, which sees main memory.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest.mock import patch
from weakref import WeakSet

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

FAR = torch.device("maia:0")  # of a type that torch knows by name alone
CPU = torch.device("cpu")
aten = torch.ops.aten
CROSSING = {aten.copy_.default, aten._to_copy.default}
BY_ROWS = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}  # rows may be named from main memory


class FarDevice:
    """Knows which storages are on the device.

    Attributes:
        has_float64: whether it computes in it.
        n_operations: that ran there.
        n_waits: reads of single values from there, for each of which a card would be waited for.
    """

    def __init__(self, has_float64: bool = True) -> None:
        self.has_float64 = has_float64
        self.n_operations = self.n_waits = 0
        self.traces = self.asked = False
        self._storages: WeakSet[torch.UntypedStorage] = WeakSet()
        self._either: WeakSet[torch.UntypedStorage] = WeakSet()

    def holds(self, value: Any) -> bool:
        """Tell whether a value is a tensor on the device."""
        return type(value) in (Tensor, torch.nn.Parameter) and value.untyped_storage() in self._storages

    def take(self, value: Tensor) -> None:
        """Have a tensor on the device from now on."""
        if value.dtype == torch.float64 and not self.has_float64:
            raise TypeError("there are no kernels for float64")
        self._storages.add(value.untyped_storage())

    def is_at_home(self, value: Tensor) -> bool:
        """Tell whether a tensor belongs to no device: torch's own code made it where the data is, as zeros of a derivative."""
        return value.untyped_storage() in self._either

    def make_at_home(self, value: Tensor) -> None:
        """Have a tensor belong to no device."""
        self._either.add(value.untyped_storage())

    @contextmanager
    def there(self) -> Iterator[Self]:
        """Be part of this machine within the block."""
        with ExitStack() as stack:
            stack.enter_context(_Operations(self))
            stack.enter_context(_Calls(self))
            for place, name in ((torch.export, "export"), (ExportedProgram, "run_decompositions")):
                stack.enter_context(patch.object(place, name, self._traced(getattr(place, name))))
            yield self

    def _traced(self, step: Callable[..., ExportedProgram]) -> Callable[..., ExportedProgram]:
        """Let torch's tracer see main memory; what its graph makes there, it makes on the device."""

        def traced(*args: Any, **kwargs: Any) -> ExportedProgram:
            self.traces = True
            try:
                program = step(*args, **kwargs)
            finally:
                self.traces = False
            for node in program.graph.nodes:
                if "device" in node.kwargs:
                    node.kwargs = {**node.kwargs, "device": FAR}
            return program

        return traced


class _Operations(TorchDispatchMode):
    """Refuses operations that mix devices, and follows what comes of the others."""

    def __init__(self, device: FarDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if self.device.traces:
            return func(*args, **kwargs)
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = CPU
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        given = tensors[:1] if func in CROSSING or func in BY_ROWS else [each for each in tensors if each.ndim] or tensors
        placed = [each for each in given if not self.device.is_at_home(each)]
        there = [self.device.holds(each) for each in placed]
        if any(there) and not all(there):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {FAR} and cpu ({func})")
        result = func(*args, **kwargs)
        if asked == FAR or (asked is None and any(there)):
            self.device.n_operations += 1
            self.device.n_waits += func == aten._local_scalar_dense.default
            tree_map_only(Tensor, self.device.take, result)
        elif not placed and not self.device.asked:
            tree_map_only(Tensor, self.device.make_at_home, result)
        return result


class _Calls(TorchFunctionMode):
    """Answers what Python asks of a tensor on the device: where it is, and to come from there."""

    def __init__(self, device: FarDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        self.device.asked = not any(isinstance(leaf, Tensor) for leaf in tree_leaves((args, kwargs)))
        try:
            return self._answer(func, name, args, kwargs)
        finally:
            self.device.asked = False

    def _answer(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        if self.device.traces or not any(map(self.device.holds, args[:2] if name == "to" else args[:1])):
            return func(*args, **kwargs)
        if func == Tensor.device.__get__:
            return FAR
        if name in ("numpy", "__array__"):
            raise TypeError(f"can't convert {FAR} device type tensor to numpy. Use Tensor.cpu() first")
        if name == "cpu":
            return aten._to_copy.default(args[0], device=CPU)
        if name == "to":
            return self._moved(*args, **kwargs)
        result = func(*args, **kwargs)
        if name == "__deepcopy__":
            self.device.take(result)
        return result

    def _moved(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args and isinstance(args[0], Tensor):
            target, dtype = FAR if self.device.holds(args[0]) else CPU, args[0].dtype
        else:
            target, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        at = FAR if self.device.holds(tensor) else CPU
        if (target or at, dtype or tensor.dtype) == (at, tensor.dtype):
            return tensor
        return aten._to_copy.default(tensor, dtype=dtype, device=target or at)
