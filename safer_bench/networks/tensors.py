"""Images and labels as one tensor each, whatever people hold them in: arrays, lists of single ones, lists of chunks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from safer_bench.errors import BadInput, text_of


def labels_as_tensor(values: Any, where: str) -> torch.Tensor:
    """Return labels as one int64 tensor ``(n,)`` in main memory.

    Args:
        values: integers or truth values: a tensor, an array, a list of numbers, or a list of tensors or arrays, 0-d ones or
            chunks ``(n_i,)``.
        where: whose they are, for messages.

    Raises:
        BadInput: they are something else, with what makes labels of it.
    """
    where = f"network {where}: labels"
    labels = _listed(values, are_chunks(values), None, where) if _is_list_of_tensors(values) else _one(values, where)
    if labels.numel() == 0:
        return torch.zeros(0, dtype=torch.int64)
    found = f"{where} are {labels.dtype} {tuple(labels.shape)}; expected int64 (n,)"
    if labels.is_floating_point() or labels.is_complex():
        raise BadInput(f"{found}: labels.long() where they are numbers of classes")
    if labels.ndim == 2 and labels.shape[1] > 1 and bool((labels.count_nonzero(1) == 1).all()):
        raise BadInput(f"{found}, not one-hot: labels.argmax(1)")
    if labels.ndim != 1:
        raise BadInput(found + ": labels.flatten()" * (labels.shape[1:].numel() == 1 and labels.ndim > 1))
    return labels.long()


def are_chunks(labels: Any) -> bool:
    """Tell whether labels are given as a list of chunks, each of at least one dimension."""
    return _is_list_of_tensors(labels) and all(getattr(part, "ndim", 0) for part in labels)


def images_as_tensor(values: Any, labels: Any, n_labels: int, where: str) -> torch.Tensor:
    """Return images as one float32 tensor ``(n, ...)`` in main memory; float64 is rounded.

    Args:
        values: floating point: a tensor, an array, or a list of tensors or arrays: as many as labels are single images,
            others are chunks ``(n_i, ...)``.
        labels: as they were given: where they are as many chunks, so are the images, even of one example each.
        n_labels: how many they are.
        where: whose they are, for messages.

    Raises:
        BadInput: they are something else, not finite, or not so in float32.
    """
    where = f"network {where}: images"
    if _is_list_of_tensors(values):
        single = len(values) == n_labels and not (are_chunks(labels) and len(labels) == n_labels)
        given = _listed(values, not single, n_labels, where)
    else:
        given = _one(values, where)
    if not given.is_floating_point():
        raise BadInput(f"{where} are {given.dtype}; expected floating point, scaled as in training: images.float()")
    if given.ndim == 0 or given.numel() == 0 < len(given):
        raise BadInput(f"{where} are {tuple(given.shape)}; expected (n, ...) with values")
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
    if pair or isinstance(values, DataLoader | Dataset):
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
