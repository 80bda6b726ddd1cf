"""Makes CPU inference fast: glibc's allocator, and the memory format and batch size that a network runs best with."""

import ctypes
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE = 1 << 30
BATCH_SIZES = (16, 64, 256)
PREFERENCE = 1.25  # channels_last may take so much longer as written: fused, it gains more
LONGEST = 0.5  # seconds that a batch may take in the choice of its size
GAIN = 0.97  # a larger batch must take less than this share of the time an example


@dataclass(frozen=True, slots=True)
class Pace:
    """How a network is run; it changes times, never a count. What is None is chosen by measurement.

    Attributes:
        memory_format: of images and weights of four dimensions.
        batch_size: examples a batch, at most; at least 2.
    """

    memory_format: torch.memory_format | None = None
    batch_size: int | None = None


def tune_allocator() -> bool:
    """Tell glibc to keep large blocks: handing them back costs 10 to 50 % of CPU inference in page faults.

    It raises thresholds of the whole process: for programs of our own, never silently in a caller's.

    Returns:
        Whether it was done: only glibc has them.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    return bool(libc.mallopt(M_MMAP_THRESHOLD, LARGE)) and bool(libc.mallopt(M_TRIM_THRESHOLD, LARGE))


@torch.no_grad()
def find_memory_format(model: nn.Module, images: Tensor) -> torch.memory_format:
    """Choose a memory format by timing one batch of real images ``(n, ...)`` in each."""
    if images.ndim != 4:
        return torch.contiguous_format
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    times = [
        seconds(deepcopy(model).to(memory_format=form), arranged(images[: BATCH_SIZES[0]], form).to(device))
        for form in (torch.contiguous_format, torch.channels_last)
    ]
    return torch.channels_last if times[1] < PREFERENCE * times[0] else torch.contiguous_format


def find_batch_size(run: Callable[[Tensor], object], images: Tensor) -> int:
    """Choose a batch size by timing a few: a larger one has to be faster, and none may take long.

    Args:
        run: the network, on a batch.
        images: ``(n, ...)`` as ``run`` takes them.
    """
    best, fastest = BATCH_SIZES[0], float("inf")
    for size in BATCH_SIZES:
        taken = seconds(run, images[:size])
        if taken / len(images[:size]) < GAIN * fastest:
            best, fastest = size, taken / len(images[:size])
        if size >= len(images) or 4 * taken > LONGEST:
            break
    return best


def arranged(tensor: Tensor, memory_format: torch.memory_format) -> Tensor:
    """Return a copy in a memory format, where it has four dimensions.

    ``contiguous(memory_format=channels_last)`` leaves images of one channel as they are, in strides that let oneDNN take
    them for NCHW: slower in float32, and an error in bfloat16.
    """
    if tensor.ndim != 4:
        return tensor.contiguous()
    return torch.empty_like(tensor, memory_format=memory_format).copy_(tensor)


def seconds(run: Callable[[Tensor], object], batch: Tensor, repeats: int = 2) -> float:
    """Return the shortest time of a few calls, after one that warms up."""
    run(batch)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run(batch)
        if batch.is_cuda:
            torch.cuda.synchronize(batch.device)
        times.append(time.perf_counter() - started)
    return min(times)
