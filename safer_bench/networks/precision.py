"""float32 that is float32: no TF32 or bfloat16 in its place, whatever the process has set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def plain_float32() -> Iterator[None]:
    """Compute float32 as such within the block, forward and backward; then all is as before."""
    mkldnn, cuda, cudnn = (getattr(torch.backends, name) for name in ("mkldnn", "cuda", "cudnn"))
    backends: list[Any] = [mkldnn.matmul, mkldnn.conv]
    if torch.cuda.is_available():  # elsewhere, cudnn's settings made by parts confuse torch.export
        backends += [cuda.matmul, cudnn.conv, cudnn.rnn]
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
