"""Operations that hide several applications of weights, as the linear maps and lookups that they are made of.

Inside a fused recurrent layer no input or output of a single weight is seen, and some fused operations have no second
derivative, or on a GPU no first one in evaluation mode.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import decomposition_table
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from safer_bench.networks.layers import unfused

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
CELLS = {f"{name}_cell": name for name in RECURRENT}
HIDING = (nn.RNNBase, nn.EmbeddingBag)


def take_apart(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the result of an operation by the parts that it is made of, to rounding; NotImplemented where it has none."""
    name = getattr(func, "__name__", "")
    if name in RECURRENT and not kwargs:
        return _recurrent(name, args)
    if name in CELLS and not kwargs:
        return _cell(CELLS[name], *args)
    part = _PARTS.get(name)
    return NotImplemented if part is None else part(*args, **kwargs)


def _recurrent(name: str, args: tuple[Any, ...]) -> Any:
    """Run a recurrent layer step by step, as torch itself takes it apart for its compiler."""
    overload = "data" if isinstance(args[3], tuple | list) else "input"  # packed sequences have sizes before states
    steps = decomposition_table[getattr(getattr(torch.ops.aten, name), overload)]
    with unfused():
        return steps(*args)


def _cell(name: str, x: Tensor, state: Any, *weights: Tensor | None) -> Any:
    """Run a cell as a recurrent layer of one step."""
    given = [weight for weight in weights if weight is not None]
    before = [part.unsqueeze(0) for part in state] if name == "lstm" else state.unsqueeze(0)
    after = _recurrent(name, (x.unsqueeze(0), before, given, len(given) > 2, 1, 0.0, False, False, False))[1:]
    states = tuple(part.squeeze(0) for part in after)
    return states if name == "lstm" else states[0]


def _bilinear(x: Tensor, z: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a linear map of all products of two inputs."""
    return F.linear((x.unsqueeze(-1) * z.unsqueeze(-2)).flatten(-2), weight.flatten(1), bias)


def _embedding_bag(indices: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Look up, then add up, where bags are rows of plain indices."""
    names = ("offsets", "max_norm", "norm_type", "scale_grad_by_freq", "mode", "sparse", "per_sample_weights")
    given = dict(zip(names, args, strict=False)) | kwargs
    asked = [given.get(key) for key in ("offsets", "max_norm", "per_sample_weights", "padding_idx")]
    mode = given.get("mode", "mean")
    if indices.ndim != 2 or any(value is not None for value in asked) or mode not in ("sum", "mean"):
        return NotImplemented
    looked_up = F.embedding(indices, weight)
    return looked_up.sum(1) if mode == "sum" else looked_up.mean(1)


def _einsum(equation: Any, *operands: Any) -> Any:
    """Return a product of two factors given as a list as one of two arguments."""
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        return torch.einsum(equation, *operands[0])
    return NotImplemented


_PARTS: dict[str, Callable[..., Any]] = {"bilinear": _bilinear, "embedding_bag": _embedding_bag, "einsum": _einsum}


class _Apart(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        parts = take_apart(func, args, kwargs or {})
        return func(*args, **(kwargs or {})) if parts is NotImplemented else parts


@contextmanager
def hidden_taken_apart(model: nn.Module) -> Iterator[None]:
    """Take operations apart within the block where a model has modules that hide what they do."""
    if any(isinstance(module, HIDING) for module in model.modules()):
        with _Apart():
            yield
    else:
        yield
