"""A device that no machine has: its tensors lie in main memory, and whoever mixes them with others is refused, as on a GPU.

It tells whether code is pinned to the CPU: every operation is looked at, none is replaced. What a real device's kernels
return, and how its memory and streams behave, it cannot tell.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch
from weakref import WeakSet

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

FAR = torch.device("maia:0")  # a type that torch knows, without kernels
aten = torch.ops.aten
CROSSING = {aten.copy_.default, aten._to_copy.default}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class FarDevice:
    """Notes which tensors are on the device.

    Attributes:
        n_operations: that ran there.
        n_reads: of single values from there: a GPU would have to wait for each.
    """

    def __init__(self, has_float64: bool = True) -> None:
        self.has_float64 = has_float64
        self.n_operations = self.n_reads = 0
        self.hidden = False
        self._there: WeakSet[torch.UntypedStorage] = WeakSet()

    def holds(self, value: Any) -> bool:
        """Tell whether a value is a tensor on the device."""
        if not isinstance(value, Tensor) or isinstance(value, FakeTensor) or value.layout != torch.strided:
            return False
        return value.untyped_storage() in self._there

    def put(self, value: Tensor) -> None:
        """Note that a tensor is there."""
        if value.dtype == torch.float64 and not self.has_float64:
            raise TypeError(f"{FAR} doesn't support float64")
        self._there.add(value.untyped_storage())

    @contextmanager
    def there(self) -> Iterator["FarDevice"]:
        """Be part of this machine within the block."""
        with ExitStack() as stack:
            stack.enter_context(_Operations(self))
            stack.enter_context(_Calls(self))
            stack.enter_context(patch.object(torch.export, "export", self._tracing(torch.export.export)))
            decompose = self._tracing(ExportedProgram.run_decompositions)
            stack.enter_context(patch.object(ExportedProgram, "run_decompositions", decompose))
            yield self

    def _tracing(self, step: Callable[..., ExportedProgram]) -> Callable[..., ExportedProgram]:
        """Let torch's tracer see main memory, and write into its graph what it would have seen."""

        def traced(*args: Any, **kwargs: Any) -> ExportedProgram:
            self.hidden = True
            try:
                program = step(*args, **kwargs)
            finally:
                self.hidden = False
            for node in program.graph.nodes:
                if "device" in node.kwargs:
                    node.kwargs = {**node.kwargs, "device": FAR}
            return program

        return traced


class _Operations(TorchDispatchMode):
    def __init__(self, device: FarDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if self.device.hidden:
            return func(*args, **kwargs)
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        inputs = [each for each in tensors if each.ndim]
        if func in INDEXING:  # rows may be named from main memory
            inputs = [each for each in inputs if each.dtype not in (torch.int64, torch.bool)]
        there = [self.device.holds(each) for each in inputs]
        goes_there = asked == FAR if asked is not None else any(there) or any(map(self.device.holds, tensors))
        if func in CROSSING:
            goes_there = asked == FAR if asked is not None else self.device.holds(args[0])
        elif any(there) and not all(there):
            raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found {FAR} and cpu")
        result = func(*args, **kwargs)
        if goes_there:
            self.device.n_operations += 1
            self.device.n_reads += func == aten._local_scalar_dense.default
            tree_map_only(Tensor, self.device.put, result)
        return result


class _Calls(TorchFunctionMode):
    def __init__(self, device: FarDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.device.hidden:
            return func(*args, **kwargs)
        name, own = getattr(func, "__name__", ""), args[0] if args else None
        held = self.device.holds(own)
        if held and func == Tensor.device.__get__:
            return FAR
        if held and name in ("numpy", "__array__"):
            raise TypeError(f"can't convert {FAR} device type tensor to numpy")
        if held and name == "cpu":
            return torch.clone(self._at_hand(own))
        if held and name == "to":
            return self._moved(func, own, args[1:], kwargs)
        result = func(*args, **kwargs)
        if held and name == "__deepcopy__":
            self.device.put(result)
        return result

    def _at_hand(self, tensor: Tensor) -> Tensor:
        return torch.ops.aten._to_copy.default(tensor, device=torch.device("cpu"))

    def _moved(self, func: Any, tensor: Tensor, args: Any, kwargs: Any) -> Tensor:
        target, dtype, *_ = (
            torch._C._nn._parse_to(*args, **kwargs)
            if not isinstance(args[:1] and args[0], Tensor)
            else (FAR if self.device.holds(args[0]) else torch.device("cpu"), args[0].dtype)
        )
        if target is None or target == FAR:
            return (
                tensor if dtype in (None, tensor.dtype) else torch.ops.aten._to_copy.default(tensor, dtype=dtype, device=FAR)
            )
        return torch.ops.aten._to_copy.default(tensor, dtype=dtype, device=torch.device("cpu"))
