"""What makes inference fast: glibc's allocator, memory format, and batches as large as a device's memory allows."""

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safer_bench.networks.inputs import Inputs

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE = 1 << 30
FEWEST = 16  # examples of a batch that is chosen
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a device's memory is used; it changes times, never a count.

    Attributes:
        result_bytes: of one operation's result in a batch.
        kept_bytes: of clean values at a time.
        most_examples: of a batch.
    """

    result_bytes: float
    kept_bytes: int
    most_examples: int


IN_MAIN_MEMORY = Room(64e6, 1 << 30, 256)  # what fits into caches, more or less: see ``Pace``
OF_RESULTS, OF_KEPT, OF_A_PASS = 64, 4, 4  # parts of a card's free memory; kept values are there twice while they move on
MOST_ON_A_CARD = 4096


@dataclass(frozen=True, slots=True)
class Pace:
    """How a network is run; it changes times, never a count.

    The defaults are what was fastest, or within 10 % of it, for ResNet-20, VGG-10 and ViT-6 at 28 px and
    EfficientNet-Lite0, ResNet-18 and ViT-Tiny at 224 px, in float32 and bfloat16 on two cores: channels_last always (1.0
    to 3.3 times faster), and batches whose largest result has about 64 MB. They are no timings of their own, so that
    losses in float32 repeat bit for bit on one machine.

    On a card batches are larger, by its free memory (``room_on``); that was not timed.

    Attributes:
        memory_format: of images and weights of four dimensions.
        batch_size: examples a batch, at most; at least 2; by the rules above where None.
    """

    memory_format: torch.memory_format = torch.channels_last
    batch_size: int | None = None

    def examples_a_batch(self, largest_bytes: int, device: torch.device = CPU) -> int:
        """Return the batch size on a device for a network whose largest result has so many bytes an example."""
        room = room_on(device)
        return self.batch_size or max(FEWEST, min(room.most_examples, int(room.result_bytes // largest_bytes)))


def room_on(device: torch.device) -> Room:
    """Return how much of a device's memory is used: on a card a share of what is free now."""
    if device.type != "cuda":
        return IN_MAIN_MEMORY
    free = free_bytes(device)
    return Room(free / OF_RESULTS, free // OF_KEPT, MOST_ON_A_CARD)


def free_bytes(card: torch.device) -> int:
    """Return what this process can still allocate on a card, what its allocator holds in reserve included."""
    free, total = torch.cuda.mem_get_info(card)
    allocated, reserved = torch.cuda.memory_allocated(card), torch.cuda.memory_reserved(card)
    own = int(total * torch.cuda.get_per_process_memory_fraction(card)) - allocated
    return max(0, min(free + reserved - allocated, own))


def take_share(device: torch.device, n_workers: int) -> None:
    """Leave the other workers of a card, ``n_workers`` with this one, as much of its memory as this process takes."""
    if device.type == "cuda" and n_workers > 1:
        torch.cuda.set_per_process_memory_fraction(1.0 / n_workers, device)


def examples_a_pass(run: Callable[[Any], object], batch: Tensor | Inputs, n_on_cpu: int) -> int:
    """Return how many examples a whole pass takes: on a card by the memory that one over a few takes at its peak.

    Args:
        run: the pass.
        batch: a few examples, on the device.
        n_on_cpu: what is fastest on a CPU; on a card the least.
    """
    card = batch.device
    if card.type != "cuda":
        return n_on_cpu
    torch.cuda.reset_peak_memory_stats(card)
    before = torch.cuda.memory_allocated(card)
    run(batch)
    taken = max(1, torch.cuda.max_memory_allocated(card) - before)
    return max(n_on_cpu, min(MOST_ON_A_CARD, len(batch) * (free_bytes(card) // OF_A_PASS) // taken))


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


def seconds(run: Callable[[], object], device: torch.device, repeats: int = 2) -> float:
    """Return the shortest time of a few calls, after one that warms up; a card's work is waited for."""
    run()
    _wait_for(device)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        _wait_for(device)
        times.append(time.perf_counter() - started)
    return min(times)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
