"""The digest of a model's state: weights, buffers of any type and layout, and what its modules keep beside them."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from safer_bench.errors import BadInput

PLAIN = (str, int, float, complex, bytes, type(None), torch.dtype, torch.device)  # whose repr is the same tomorrow
SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


def state_sha256(state: Mapping[str, Any]) -> str:
    """Return the SHA-256 over name, type, shape and bytes of every entry of a state.

    Args:
        state: of ``model.state_dict()``: tensors, and extra states of modules: numbers, text, arrays, tensors, and dicts,
            lists and tuples of them.

    Raises:
        BadInput: an entry is something else, such as an object, of which there is no digest that is the same tomorrow.
    """
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        for part in _parts(key, value):
            digest.update(part)
    return digest.hexdigest()


def _parts(key: str, value: Any) -> Iterator[bytes]:
    """Yield what an entry is, and its bytes; entries of an entry are named by the way to them."""
    if isinstance(value, torch.Tensor):
        yield from _parts_of_tensor(key, value.detach().cpu())
    elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        yield f"{key}|numpy {value.dtype.str}|{value.shape}|".encode() + value.tobytes()
    elif isinstance(value, Mapping | list | tuple):
        inner = sorted(value.items(), key=lambda item: repr(item[0])) if isinstance(value, Mapping) else enumerate(value)
        yield f"{key}|{'dict' if isinstance(value, Mapping) else 'list'}|{len(value)}|".encode()
        for name, item in inner:
            yield from _parts(f"{key}[{name!r}]", item)
    elif isinstance(value, PLAIN):
        yield f"{key}|{type(value).__name__}|{value!r}|".encode()
    else:
        raise _no_digest(key, type(value).__name__)


def _parts_of_tensor(key: str, value: torch.Tensor) -> Iterator[bytes]:
    if value.is_quantized or value.is_nested:
        raise _no_digest(key, f"quantized tensor ({value.dtype})" if value.is_quantized else "nested tensor")
    if value.layout == torch.strided:
        yield f"{key}|{value.dtype}|{tuple(value.shape)}|".encode()
        yield value.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return
    yield f"{key}|{value.layout}|{tuple(value.shape)}|".encode()
    if value.layout in SPARSE:
        value = value.to_sparse().coalesce()
        yield from _parts_of_tensor(f"{key}.indices", value.indices())
        yield from _parts_of_tensor(f"{key}.values", value.values())
    else:
        yield from _parts_of_tensor(f"{key}.values", value.to_dense())


def _no_digest(key: str, found: str) -> BadInput:
    return BadInput(
        f"{key} in the model's state is a {found}, of which no digest can tell it from others; expected tensors with plain "
        "values, or as extra state numbers, text, arrays, dicts and lists: make it one, or leave it out of the state"
    )
