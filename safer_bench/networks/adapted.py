"""A model as all of the package runs it: it takes inputs of any number, and returns logits with the classes on axis 1."""

from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from safer_bench.networks.inputs import Inputs

HOOKS = ("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks")


class Unpack:
    """A hook that hands inputs on as the arguments that they are."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG002  a hook's
        """Return positional and keyword arguments."""
        if len(args) == 1 and isinstance(args[0], Inputs):
            return args[0].args, {**args[0].kwargs, **kwargs}
        return args, kwargs


class TakeLogits:
    """A hook that takes the logits out of what a model returns.

    Args:
        output: gets what the model returns, and returns the logits; None: see ``logits_of``.
        class_axis: of the logits that runs over classes.
    """

    def __init__(self, output: Callable[[Any], Any] | None, class_axis: int) -> None:
        self.output, self.class_axis = output, class_axis

    def __call__(self, module: nn.Module, args: tuple[Any, ...], returned: Any) -> Any:  # noqa: ARG002  a hook's
        """Return logits ``(n, n_classes, *positions)``, or what is none as it is."""
        logits = logits_of(returned) if self.output is None else self.output(returned)
        if isinstance(logits, Tensor) and logits.ndim > 2 and self.class_axis != 1:
            return logits.movedim(self.class_axis, 1)
        return logits


def logits_of(returned: Any) -> Any:
    """Return the logits of what models return: a tensor, the first of a tuple, or an object with ``.logits``."""
    if isinstance(returned, Tensor):
        return returned
    if isinstance(getattr(returned, "logits", None), Tensor):
        return returned.logits
    return returned[0] if isinstance(returned, tuple | list) and returned else returned


def adapted(model: nn.Module, output: Callable[[Any], Any] | None, class_axis: int) -> nn.Module:
    """Return a model that takes ``Inputs`` or a tensor and returns logits.

    It is another module of the same class that shares weights, buffers and modules with the given one, which stays as it is.
    """
    other = copy(model)
    for name in (*HOOKS, "_forward_pre_hooks_with_kwargs"):
        setattr(other, name, OrderedDict(getattr(model, name)))
    other.register_forward_pre_hook(Unpack(), prepend=True, with_kwargs=True)
    other.register_forward_hook(TakeLogits(output, class_axis))
    return other


class OfParts(nn.Module):
    """A model as a function of tensors, which is what can be traced."""

    def __init__(self, model: nn.Module, inputs: Tensor | Inputs) -> None:
        super().__init__()
        self.model = model
        self._alike: Any = inputs[:0] if isinstance(inputs, Inputs) else None

    def forward(self, *parts: Tensor) -> torch.Tensor:
        """Return the logits of inputs given as their parts."""
        result: Tensor = self.model(parts[0] if self._alike is None else self._alike.with_parts(parts))
        return result
