"""What a new network answers to its first examples: logits of how many classes, or what is wrong with them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from safer_bench.errors import BadInput, text_of
from safer_bench.networks.examples import NOT_COUNTED, Examples, counted
from safer_bench.networks.inputs import Inputs, named_parts
from safer_bench.networks.model_checks import not_finite

if TYPE_CHECKING:
    from safer_bench.networks.network import Network

N_TRIED = 3  # examples that a new network has to turn into logits, beside one alone
STAYS = "what forward uses moves along where it is a parameter or a buffer: self.register_buffer(name, tensor)"


def returns_a_tensor(network: "Network") -> bool:
    """Tell whether the model returns logits as they are; what fails is told by the first pass that is checked."""
    try:
        with torch.no_grad():
            return isinstance(network.model(network.inputs[:1].clone().to(network.device)), Tensor)
    except Exception:
        return True


def count_classes(network: "Network", examples: Sequence[Examples]) -> int:
    """Return the width of the logits, of one example (which a last batch may be) and of a few alike.

    Args:
        network: whose model is asked.
        examples: whose labels have to be classes of it.

    Raises:
        BadInput: it differs, is less than two, or does not hold all labels; or see ``width_of_logits``.
    """
    n_classes, of_several, one = width_of_logits(network, 1), width_of_logits(network, N_TRIED), _one(network)
    if of_several != n_classes:
        raise BadInput(
            f"network {network.name!r}: {n_classes} logits of one {one} alone, {of_several} of each of several; "
            "expected as many, one for each class"
        )
    if n_classes < 2:
        raise BadInput(
            f"network {network.name!r}: {n_classes} logits an {one}; expected one for each of two classes or more: "
            "of a model with one logit z for the second of two classes, torch.cat([torch.zeros_like(z), z], 1)"
        )
    for _, labels in examples:
        answers = counted(labels)
        low, high = int(answers.min()), int(answers.max())
        if not 0 <= low <= high < n_classes:
            but = f", or {NOT_COUNTED} where none is counted" if labels.ndim > 1 else ""
            raise BadInput(f"network {network.name!r}: labels from {low} to {high}; expected 0 to {n_classes - 1}{but}")
    return n_classes


def width_of_logits(network: "Network", n: int) -> int:
    """Run the first n examples, or as many as there are, and return how many logits each has.

    Raises:
        BadInput: the model fails on them, or returns something else than finite logits of the labels' shape.
    """
    inputs = network.inputs[:n].clone().to(network.device)  # the model may work in place
    what = f"one {_one(network)}" if len(inputs) == 1 else f"{len(inputs)} {_one(network)}s"
    try:
        with torch.no_grad():
            logits = network.model(inputs)
    except Exception as error:
        said = f"network {network.name!r}: running {what} raised {_why_it_failed(error, inputs)}"
        raise BadInput(said) from error
    positions = tuple(network.labels.shape[1:])
    fits = isinstance(logits, Tensor) and logits.ndim > 1
    if not fits or (len(logits), *logits.shape[2:]) != (len(inputs), *positions):
        expected = _other_shape(logits, len(inputs), positions)
        raise BadInput(f"network {network.name!r}: {what} gave {expected}")
    if not logits.is_floating_point():
        raise BadInput(f"network {network.name!r}: {what} gave {logits.dtype}; expected logits, which are floating point")
    if logits.numel() and len(inputs) == min(N_TRIED, len(network.labels)) and not torch.isfinite(logits.amax(1)).any():
        raise BadInput(
            f"network {network.name!r}: the largest logit of {what} is NaN or infinite{not_finite(network.model)}; expected "
            "finite ones (-inf for a class that is switched off)"
        )
    return int(logits.shape[1])


def _why_it_failed(error: Exception, inputs: Tensor | Inputs) -> str:
    """Return what a model raised, on which inputs, and what may mend it."""
    said = text_of(error, typed=True)
    given = "it was given " + ", ".join(_told(name, part) for name, part in named_parts(inputs))
    floating = isinstance(inputs, Tensor)
    whole = "; what has to be whole is given as integers, inputs.long()" if floating and "Long" in said else ""
    if not floating and re.search(r"Long|Int|Byte|Bool|dtype", said):
        whole = "; integers stay what they are: inputs.float() gives numbers, scaled as in training"
    several = isinstance(error, TypeError) and re.search(r"missing \d+ required", said)
    other = "; further arguments are given in a tuple, or by name in a dictionary" if several else ""
    stays = f"; {STAYS}" if "same device" in said else ""
    return f"{said:.300} ({given}{whole}{other}{stays})"


def _other_shape(logits: Any, n: int, positions: tuple[int, ...]) -> str:
    """Return what a model gave in place of logits of n examples, and what was expected."""
    is_tensor = isinstance(logits, Tensor)
    answer = tuple(logits.shape) if is_tensor else f"a {type(logits).__name__}"
    mend = "" if is_tensor else ": Network(..., output=lambda returned: ...) takes them out of what it returns"
    if is_tensor and positions and logits.shape == (n, *positions):
        mend = ": one label an example, labels.argmax(1) where they are one-hot"
    elif is_tensor and positions and (len(logits), *logits.shape[1:-1]) == (n, *positions):
        mend = ": Network(..., class_axis=-1) where the last axis runs over classes"
    elif is_tensor and not positions and logits.shape == (n,) and logits.is_floating_point():
        mend = (
            ": of a model with one logit z for the second of two classes, "
            "Network(..., output=lambda z: torch.stack([torch.zeros_like(z), z], 1))"
        )
    expected = f"logits {(n, 'n_classes', *positions)}".replace("'", "")
    return f"{answer}; expected {expected}{mend}"


def _one(network: "Network") -> str:
    return "image" if isinstance(network.inputs, Tensor) else "example"


def _told(name: str, part: Tensor) -> str:
    form = f"{part.dtype} {tuple(part.shape)}"
    return form if name == "input 0" else f"{name}: {form}"
