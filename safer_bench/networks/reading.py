"""What people hold examples in beside tensors: a DataLoader, a Dataset of torch, a Dataset of Hugging Face; read once."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from safer_bench.errors import BadInput, text_of

LABELS = ("labels", "label")
TO_TENSORS = "expected numbers: transform or tokenise them first, and leave out what the model does not take"


def is_reader(values: Any) -> bool:
    """Tell whether values hold inputs and labels together: a DataLoader, or a Dataset of torch or of Hugging Face."""
    return isinstance(values, DataLoader | Dataset) or _is_of_hugging_face(values)


def read_examples(values: Any, where: str) -> tuple[Any, Any]:
    """Return inputs and labels, read once and in order.

    Args:
        values: a DataLoader, whose batches are joined, or a Dataset, whose examples are stacked. A batch or an example is
            (input, ..., label), (dict, label), or a dict with the key ``labels`` or ``label``.
        where: whose they are, for messages.

    Returns:
        Inputs: a tensor, a tuple of tensors (positional), or a dict of them (keywords), examples along axis 0; and labels.

    Raises:
        BadInput: it holds no example, no labels, several splits, anything but numbers, or examples of other shapes.
    """
    where = f"network {where}: a {type(values).__name__}"
    if isinstance(values, Mapping):
        raise BadInput(f"{where} of {', '.join(map(str, values))}; expected one split: give one of them")
    pairs = [_pair(each, where) for each in _each(values, where)]
    if not pairs:
        raise BadInput(f"{where} holds no example; expected at least one")
    labels = [_tensor(label, "labels", where) for _, label in pairs]
    join = torch.cat if isinstance(values, DataLoader) and labels[0].ndim else torch.stack
    inputs = _together([each for each, _ in pairs], join, where)
    return inputs, _join(labels, join, "labels", where)


def _is_of_hugging_face(values: Any) -> bool:
    datasets = sys.modules.get("datasets")  # who holds one has imported it
    kinds = ("Dataset", "IterableDataset", "DatasetDict", "IterableDatasetDict")
    return datasets is not None and isinstance(values, tuple(getattr(datasets, kind) for kind in kinds))


def _each(values: Any, where: str) -> Iterator[Any]:
    """Yield batches or examples; a Dataset of torch ends at its length, or where it has none, by IndexError."""
    by_number = isinstance(values, Dataset) and not isinstance(values, IterableDataset) and hasattr(values, "__len__")
    items: Iterable[Any] = (values[row] for row in range(len(values))) if by_number else values
    try:
        yield from items
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{where} cannot be read: {text_of(error, typed=True):.300}") from error


def _pair(given: Any, where: str) -> tuple[Any, Any]:
    """Return inputs and labels of one batch or example."""
    if isinstance(given, Mapping):
        key = next((key for key in LABELS if key in given), None)
        if key is None:
            raise BadInput(
                f"{where} of dicts with {', '.join(map(str, given))}; expected labels under {' or '.join(LABELS)}"
            )
        return {name: value for name, value in given.items() if name != key}, given[key]
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) < 2:
        raise BadInput(f"{where} of {type(given).__name__}; expected pairs of inputs and labels, or dicts")
    *inputs, labels = given
    return inputs[0] if len(inputs) == 1 else tuple(inputs), labels


def _together(inputs: list[Any], join: Any, where: str) -> Any:
    """Return the inputs of all batches or examples as one, of the form that each has."""
    first = inputs[0]
    if isinstance(first, Mapping):
        if any(each.keys() != first.keys() for each in inputs):
            raise BadInput(f"{where} of dicts with several sets of keys; expected {', '.join(first)} in each")
        return {
            key: _join([_tensor(each[key], repr(key), where) for each in inputs], join, repr(key), where) for key in first
        }
    if isinstance(first, tuple | list) and any(isinstance(part, Tensor | np.ndarray) for part in first):
        return tuple(
            _join([_tensor(part, f"input {i}", where) for part in parts], join, f"input {i}", where)
            for i, parts in enumerate(zip(*inputs, strict=True))
        )
    return _join([_tensor(each, "inputs", where) for each in inputs], join, "inputs", where)


def _tensor(value: Any, what: str, where: str) -> Tensor:
    try:
        return value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{where} whose {what} are {type(value).__name__}; {TO_TENSORS}") from error


def _join(parts: list[Tensor], join: Any, what: str, where: str) -> Tensor:
    shapes = {tuple(part.shape[1:] if join is torch.cat else part.shape) for part in parts}
    if len(shapes) > 1:
        a, b = sorted(shapes)[:2]
        raise BadInput(f"{where} whose {what} have shapes {a} and {b}; expected one: pad or crop all of them to one size")
    joined: Tensor = join([part.detach().cpu() for part in parts])
    return joined
