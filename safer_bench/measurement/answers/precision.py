"""float32 as the engine's suffixes compute it: as such, without fused attention and without gradients."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from safer_bench.networks.layers import no_fast_path
from safer_bench.networks.precision import plain_float32


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 as such within the block, without fused attention and without gradients; then all is as before."""
    with plain_float32(), torch.no_grad(), no_fast_path():
        yield
