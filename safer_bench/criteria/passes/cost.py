"""What a computation costs: seconds, growth of the process's peak memory, passes in units of one example's forward pass."""

import time
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from safer_bench.processes import peak_memory

FIND_LAYERS = 2  # examples at most of a pass that only finds the layers and what they read
FIND_IN_ALL = 8  # examples at most of all such passes of a criterion


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost, or a reading of the three clocks.

    Attributes:
        seconds: wall clock.
        memory: growth of the process's peak memory, in MB; 0 where something before needed as much.
        forwards: passes, in units of one example's forward pass.
    """

    seconds: float = 0.0
    memory: float = 0.0
    forwards: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        """Return the cost of both, one after the other: they share their peak."""
        memory = max(self.memory, other.memory)
        return Cost(self.seconds + other.seconds, memory, self.forwards + other.forwards)

    def since(self, start: "Cost") -> "Cost":
        """Return what was spent between two readings."""
        return Cost(self.seconds - start.seconds, self.memory - start.memory, self.forwards - start.forwards)

    def without(self, part: "Cost") -> "Cost":
        """Return the seconds and passes that are left when a part's are taken off."""
        return Cost(self.seconds - part.seconds, self.memory, self.forwards - part.forwards)


class Meter:
    """Counts the passes of models and reads the clocks.

    A forward pass of n examples counts n, its backward pass 2n, and the backward pass through that one 4n more.

    Attributes:
        forwards: all that was counted.
        deepest: the deepest pass since it was last ``restart``ed: 1 forward over more examples than find the layers,
            at once or one by one, 2 backward, 3 backward through a backward pass.
    """

    def __init__(self) -> None:
        self.forwards = 0.0
        self.restart()

    def restart(self) -> None:
        """Forget how deep passes went."""
        self.deepest = 0
        self._n_seen = 0

    def read(self) -> Cost:
        """Return a reading of the clocks."""
        return Cost(time.perf_counter(), peak_memory() / 2**20, self.forwards)

    def watch(self, model: nn.Module) -> Any:
        """Count this model's passes, and those of its copies, until the returned handle is removed."""

        def count(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001  its signature
            self.forwards += len(output)
            self._n_seen += len(output)
            reads = len(output) > FIND_LAYERS or self._n_seen > FIND_IN_ALL
            self.deepest = max(self.deepest, int(reads))
            if output.requires_grad:
                output.register_hook(self._count_backward)

        return model.register_forward_hook(count)

    def _count_backward(self, gradient: Tensor) -> None:
        self.forwards += 2.0 * len(gradient)
        self.deepest = max(self.deepest, 2)
        if gradient.requires_grad:
            gradient.register_hook(self._count_double_backward)

    def _count_double_backward(self, gradient: Tensor) -> None:
        self.forwards += 4.0 * len(gradient)
        self.deepest = 3
