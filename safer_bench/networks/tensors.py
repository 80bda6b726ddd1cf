"""Inputs and labels as tensors, whatever people hold them in: arrays, lists of single ones, lists of chunks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from safer_bench.errors import BadInput, text_of
from safer_bench.networks.inputs import Inputs, named_parts


def labels_as_tensor(values: Any, where: str) -> torch.Tensor:
    """Return labels as one int64 tensor ``(n,)`` or ``(n, *positions)`` in main memory.

    Args:
        values: integers or truth values: a tensor, an array, a list of numbers, or a list of tensors or arrays, single ones
            or chunks ``(n_i, ...)``: 0-d ones are single, all others chunks.
        where: whose they are, for messages.

    Raises:
        BadInput: they are something else, with what makes labels of it.
    """
    where = f"network {where}: labels"
    labels = _listed(values, are_chunks(values), None, where) if _is_list_of_tensors(values) else _one(values, where)
    if labels.numel() == 0:
        return torch.zeros(0, dtype=torch.int64)
    found = f"{where} are {labels.dtype} {tuple(labels.shape)}; expected int64 (n,) or (n, *positions)"
    if labels.is_floating_point() or labels.is_complex():
        raise BadInput(
            f"{found}: labels.long() where they are numbers of classes; "
            "regression is not supported, as accuracy of classes is what is measured"
        )
    if labels.ndim == 0 or labels.shape[1:].numel() == 0 or (labels.ndim > 1 and labels.shape[1:].numel() == 1):
        raise BadInput(found + ": labels.flatten()" * (labels.ndim > 1 and labels.shape[1:].numel() == 1))
    return labels.long()


def are_chunks(labels: Any) -> bool:
    """Tell whether labels are given as a list of chunks, each of at least one dimension."""
    return _is_list_of_tensors(labels) and all(getattr(part, "ndim", 0) for part in labels)


def inputs_as_tensors(values: Any, labels: Any, n_labels: int, where: str) -> torch.Tensor | Inputs:
    """Return one floating point input as a float32 tensor ``(n, ...)``, anything else as ``Inputs``, in main memory.

    Args:
        values: one input, a tuple of inputs (positional arguments), or a dictionary of them (keyword arguments). An input is
            a tensor, an array, or a list of tensors or arrays: as many as labels are single ones, others are chunks
            ``(n_i, ...)``. Of a tuple each entry has as many examples as there are labels; else it is such a list.
        labels: as they were given: where they are as many chunks, so are the inputs, even of one example each.
        n_labels: how many they are.
        where: whose they are, for messages.

    Raises:
        BadInput: they are something else, not finite, or not so in float32.
    """
    if isinstance(values, Inputs):
        of_parts = [
            _part(part, labels, n_labels, f"network {where}: {name}", several=True) for name, part in named_parts(values)
        ]
        return values.with_parts(of_parts)
    if isinstance(values, Mapping):
        if not values or not all(isinstance(name, str) for name in values):
            raise BadInput(
                f"network {where}: inputs are a dictionary of {list(values)!r:.100}; expected forward's arguments by name"
            )
        of_name = {
            name: _part(value, labels, n_labels, f"network {where}: input {name!r}", several=True)
            for name, value in values.items()
        }
        return Inputs(kwargs=of_name)
    if isinstance(values, tuple) and len(values) == 1:
        return inputs_as_tensors(values[0], labels, n_labels, where)
    if isinstance(values, tuple) and _are_arguments(values, n_labels):
        parts = [
            _part(value, labels, n_labels, f"network {where}: input {i}", several=True) for i, value in enumerate(values)
        ]
        return Inputs(parts)
    only = _part(values, labels, n_labels, f"network {where}: images", several=False)
    return only if only.is_floating_point() else Inputs([only])


def _are_arguments(values: tuple[Any, ...], n_labels: int) -> bool:
    """Tell whether a tuple holds positional arguments, each of all examples, rather than the examples or chunks of them.

    As many as labels are single examples.
    """
    tensors = [value for value in values if isinstance(value, torch.Tensor | np.ndarray)]
    return 0 < len(tensors) == len(values) != n_labels and all(value.ndim and len(value) == n_labels for value in tensors)


def _part(values: Any, labels: Any, n_labels: int, where: str, *, several: bool) -> torch.Tensor:
    """Return one input as a tensor ``(n, ...)``: float32, or of an integer type or truth values as it is."""
    if _is_list_of_tensors(values):
        single = len(values) == n_labels and not (are_chunks(labels) and len(labels) == n_labels)
        given = _listed(values, not single, n_labels, where)
    else:
        given = _one(values, where)
    if given.is_complex():
        raise BadInput(f"{where} are {given.dtype}; expected real numbers or integers")
    if given.ndim == 0 or given.numel() == 0 < len(given):
        raise BadInput(f"{where} are {tuple(given.shape)}; expected (n, ...) with values")
    if given.dtype == torch.uint8 and given.ndim >= 3 and not several:
        raise BadInput(f"{where} are {given.dtype}; expected floating point, scaled as in training: images.float()")
    if not given.is_floating_point():
        return given
    if not bool(torch.isfinite(given).all()):
        raise BadInput(f"{where} hold NaN or infinite values")
    images = given.float()
    if not bool(torch.isfinite(images).all()):
        raise BadInput(
            f"{where} are {given.dtype} with values up to {float(given.abs().max()):.3g}, which are infinite in float32 (up "
            "to 3.4e+38); scale them as in training"
        )
    return images


def _is_list_of_tensors(values: Any) -> bool:
    return isinstance(values, list | tuple) and any(isinstance(value, torch.Tensor | np.ndarray) for value in values)


def _listed(values: Sequence[Any], chunks: bool, n_labels: int | None, where: str) -> torch.Tensor:
    """Join chunks or stack single ones.

    Raises:
        BadInput: their types or shapes differ, or chunks are together not as many as labels.
    """
    parts = [_one(value, where) for value in values]
    types = dict.fromkeys(str(part.dtype) for part in parts)
    if len(types) > 1:
        raise BadInput(f"{where} are a list of {', '.join(types)}; expected one type")
    shapes = list(dict.fromkeys(tuple(part.shape) for part in parts))
    if len(shapes) == 1 and not chunks:
        return torch.stack(parts)
    if chunks and all(shapes) and len({shape[1:] for shape in shapes}) == 1 and n_labels in (None, sum(map(len, parts))):
        return torch.cat(parts)
    found = ", ".join(map(str, shapes[:3])) + ", ..." * (len(shapes) > 3)
    labels = "" if n_labels is None else f" with {n_labels} labels"
    raise BadInput(
        f"{where} are a list of {len(parts)} of shape {found}{labels}; expected single ones of one shape, as many as "
        "labels, or chunks (n_i, ...) that are alike but for n_i and together as many"
    )


def refuse_pairs(values: Any, where: str) -> None:
    """Refuse what holds images and labels together, or images of PIL, which have yet to become numbers.

    Raises:
        BadInput: it is such a thing, with what makes tensors of it.
    """
    first = values[0] if isinstance(values, list | tuple) and values else values
    pair = isinstance(first, list | tuple) and len(first) == 2 and not isinstance(first[0], int | float | list | np.generic)
    if pair:
        raise BadInput(
            f"network {where}: a {type(values).__name__} of pairs of images and labels; expected tensors of each: of "
            "batches images, labels = map(torch.cat, zip(*loader)), of single pairs images, labels = zip(*dataset)"
        )
    if type(first).__module__.startswith("PIL."):
        raise BadInput(
            f"network {where}: images of PIL; expected tensors, scaled as in training: "
            "[torchvision.transforms.functional.to_tensor(image) for image in images]"
        )


def _one(values: Any, where: str) -> torch.Tensor:
    """Return a dense tensor in main memory."""
    try:
        tensor = values if isinstance(values, torch.Tensor) else _from_numpy(values)
        tensor = tensor.detach()
        tensor = tensor.dequantize() if tensor.is_quantized else tensor
        tensor = tensor if tensor.layout == torch.strided and not tensor.is_nested else tensor.to_dense()
        return tensor.as_subclass(torch.Tensor).cpu().resolve_conj().resolve_neg()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(values).__name__
        raise BadInput(f"{where} are a {kind} ({text_of(error):.200}); expected a tensor or array of numbers") from error


def _from_numpy(values: Any) -> torch.Tensor:
    """Return numbers as a tensor, whatever their order in memory and whether they may be written to."""
    array = np.asarray(values)
    if np.ma.is_masked(values):
        raise ValueError("some of its entries are masked")
    if array.dtype.kind not in "biufc":
        raise TypeError("of objects" if array.dtype.hasobject else f"of {array.dtype}")
    if array.dtype.itemsize > {"f": 8, "c": 16}.get(array.dtype.kind, 8):
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.complex128)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.require(native, requirements=["C", "W"]))
