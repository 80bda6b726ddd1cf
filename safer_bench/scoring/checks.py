"""What is asked of a criterion: one finite score a layer, and a model and torch as they were."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from safer_bench.errors import BadInput, text_of
from safer_bench.networks.precision import plain_float32


@contextmanager
def torch_as_it_was() -> Iterator[None]:
    """Undo what the block does to torch's own state, which the next criterion would meet; float32 is float32 within."""
    gradients, dtype, threads = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    try:
        with plain_float32():
            yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def count_hooks(model: nn.Module) -> int:
    """Return how many hooks a model has, in all its modules."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def checked(returned: Any, names: list[str], where: str) -> dict[str, float]:
    """Return one finite score a layer, in the order of ``names``.

    Raises:
        BadInput: something else was returned.
    """
    if not isinstance(returned, dict):
        raise BadInput(f"{where}: returned {type(returned).__name__}; expected {{layer name: score}}")
    if set(returned) != set(names):
        scored = set(returned)
        detail = f"; missing {_some(set(names) - scored)}, unknown {_some(set(map(str, scored - set(names))))}"
        raise BadInput(f"{where}: expected one score for each of the {len(names)} layers{detail}")
    values = {name: value.detach() if isinstance(value := returned[name], torch.Tensor) else value for name in names}
    odd = [name for name, value in values.items() if _is_no_number(value)]
    if odd:
        raise BadInput(f"{where}: a score is not a number ({values[odd[0]]!r} of layer {odd[0]!r}); expected a float")
    try:
        scores = {name: float(value) for name, value in values.items()}
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise BadInput(f"{where}: a score is not a number ({text_of(error)})") from error
    bad = [name for name, value in scores.items() if not math.isfinite(value)]
    if bad:
        raise BadInput(f"{where}: the score of layer {bad[0]!r} is {scores[bad[0]]}; expected a finite number")
    return scores


def _is_no_number(value: Any) -> bool:
    """Tell what float would take for a number all the same: texts and truth values."""
    return isinstance(value, str | bytes | bool | np.bool_) or getattr(value, "dtype", None) == torch.bool


def _some(names: set[str]) -> str:
    """Return how many names there are, and the first three.

    >>> _some({"b", "a", "d", "c"}), _some(set())
    ("4 (['a', 'b', 'c'], ...)", 'none')
    """
    shown = f"{sorted(names)[:3]}"
    return f"{len(names)} ({f'{shown}, ...' if len(names) > 3 else shown})" if names else "none"


def check_untouched(model: nn.Module, n_hooks: int, original: nn.Module, where: str) -> None:
    """Refuse what a criterion left behind.

    Args:
        model: that the criterion was given.
        n_hooks: that it had before.
        original: with the weights that it had before.
        where: what the message begins with.

    Raises:
        BadInput: another weight, training mode, or other hooks.
    """
    before, after = _tensors(original), _tensors(model)
    changed = [key for key in before if key not in after or not _same_bits(before[key], after[key])]
    if changed:
        raise BadInput(f"{where}: changed the model ({changed[0]}); restore every weight before returning")
    if any(module.training for module in model.modules()):
        raise BadInput(f"{where}: left the model in training mode; call model.eval() before returning")
    if count_hooks(model) != n_hooks:
        raise BadInput(f"{where}: left hooks on the model; remove each before returning")


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, those that a state_dict leaves out too."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _same_bits(first: Tensor, second: Tensor) -> bool:
    """Tell -0 from 0, and let a value that is no number equal itself."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    one, other = (tensor.detach().reshape(-1).view(torch.uint8) for tensor in (first, second))
    return torch.equal(one, other.to(one.device))
