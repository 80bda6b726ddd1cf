"""What makes CPU inference fast: glibc's allocator, memory format and batch size."""

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE = 1 << 30
LARGEST_BYTES = 64e6  # of one operation's result in a batch
BATCH_SIZES = (16, 256)  # smallest and largest that are chosen


@dataclass(frozen=True, slots=True)
class Pace:
    """How a network is run; it changes times, never a count.

    The defaults are what was fastest, or within 10 % of it, for ResNet-20, VGG-10 and ViT-6 at 28 px and
    EfficientNet-Lite0, ResNet-18 and ViT-Tiny at 224 px, in float32 and bfloat16 on two cores: channels_last always (1.0
    to 3.3 times faster), and batches whose largest result has about 64 MB. They are no timings of their own, so that
    losses in float32 repeat bit for bit on one machine.

    Attributes:
        memory_format: of images and weights of four dimensions.
        batch_size: examples a batch, at most; at least 2; by the rule above where None.
    """

    memory_format: torch.memory_format = torch.channels_last
    batch_size: int | None = None

    def examples_a_batch(self, largest_bytes: int) -> int:
        """Return the batch size for a network whose largest result has so many bytes an example."""
        smallest, largest = BATCH_SIZES
        return self.batch_size or max(smallest, min(largest, int(LARGEST_BYTES // largest_bytes)))


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
