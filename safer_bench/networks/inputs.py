"""What a model is given of some examples: one tensor, or several that belong together."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import Dataset


class Inputs:
    """Tensors of the same examples, which lie along axis 0 of each: a model's positional and keyword arguments.

    It does what code that runs a model does to one tensor: ``len(inputs)``, ``inputs[rows]``, ``inputs.to(device)``,
    ``inputs.split(n)``. Types of floating point parts change, others stay what they are.

    Args:
        args: positional arguments, each ``(n, ...)``.
        kwargs: keyword arguments, each ``(n, ...)``.
    """

    def __init__(self, args: Sequence[Tensor] = (), kwargs: Mapping[str, Tensor] | None = None) -> None:
        self.args, self.kwargs = tuple(args), dict(kwargs or {})

    def __repr__(self) -> str:
        return f"Inputs({', '.join(f'{name}: {part.dtype} {tuple(part.shape)}' for name, part in named_parts(self))})"

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, rows: Any) -> Self:
        return self._with(lambda part: part[rows])

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors, positional ones first."""
        return (*self.args, *self.kwargs.values())

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.parts[0].device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the first floating point part, or of the first of all."""
        return next((part.dtype for part in self.parts if part.is_floating_point()), self.parts[0].dtype)

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """Return the inputs on a device, or with floating point parts of another type."""
        if isinstance(target, torch.dtype):
            return self._with(lambda part: part.to(target) if part.is_floating_point() else part)
        return self._with(lambda part: part.to(target))

    def double(self) -> Self:
        """Return the inputs with floating point parts in float64."""
        return self.to(torch.float64)

    def float(self) -> Self:
        """Return the inputs with floating point parts in float32."""
        return self.to(torch.float32)

    def clone(self) -> Self:
        """Return a copy."""
        return self._with(Tensor.clone)

    def unsqueeze(self, axis: int) -> Self:
        """Return the inputs with a further axis, as of one example that ``vmap`` has taken out."""
        return self._with(lambda part: part.unsqueeze(axis))

    def split(self, size: int) -> list[Self]:
        """Return batches of so many examples, the last of what is left."""
        return [self[start : start + size] for start in range(0, len(self), size)]

    def tensor_split(self, n: int) -> list[Self]:
        """Return n batches of nearly equal size."""
        return [self[int(rows[0]) : int(rows[-1]) + 1] for rows in torch.arange(len(self)).tensor_split(n)]

    def with_parts(self, parts: Sequence[Tensor]) -> Self:
        """Return inputs of the same arguments with other tensors, in the order of ``parts``."""
        n = len(self.args)
        return type(self)(parts[:n], dict(zip(self.kwargs, parts[n:], strict=True)))

    def _with(self, change: Callable[[Tensor], Tensor]) -> Self:
        return self.with_parts([change(part) for part in self.parts])


# what users give as examples; what it holds (numbers, chunks, pairs) is told apart when it is read, so its types stay open
Given = Inputs | Tensor | np.ndarray | Sequence[Any] | Mapping[str, Any] | Iterable[Any] | Dataset[Any]


def named_parts(inputs: Tensor | Inputs) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor with its name: a keyword, or ``input 0`` of the positional ones."""
    if isinstance(inputs, Tensor):
        yield "input 0", inputs
        return
    yield from ((f"input {i}", part) for i, part in enumerate(inputs.args))
    yield from inputs.kwargs.items()


def parts_of(inputs: Tensor | Inputs) -> tuple[Tensor, ...]:
    """Return the tensors of inputs, positional ones first."""
    return (inputs,) if isinstance(inputs, Tensor) else inputs.parts


def with_parts(inputs: Tensor | Inputs, parts: Sequence[Tensor]) -> Tensor | Inputs:
    """Return inputs of the same arguments with other tensors."""
    return parts[0] if isinstance(inputs, Tensor) else inputs.with_parts(parts)


def joined(batches: Sequence[Tensor | Inputs]) -> Any:
    """Return batches as one."""
    return with_parts(batches[0], [torch.cat(parts) for parts in zip(*map(parts_of, batches), strict=True)])


def bytes_of_one(inputs: Tensor | Inputs) -> int:
    """Return the memory that one example takes."""
    return sum(part[:1].numel() * part.element_size() for part in parts_of(inputs))


pytree.register_pytree_node(
    Inputs,
    lambda inputs: (list(inputs.parts), (len(inputs.args), tuple(inputs.kwargs))),
    lambda parts, context: Inputs([*parts][: context[0]], dict(zip(context[1], [*parts][context[0] :], strict=True))),
    serialized_type_name="safer_bench.Inputs",
)
