"""Which worker measures what: each a stretch of consecutive units, since least is computed again there."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from safer_bench.truth.run_folder import Unit


class Lanes:
    """Units in as many stretches as there are workers; who has none left takes half of the longest.

    Args:
        units: in the order in which least is computed again.
        n_lanes: workers.
    """

    def __init__(self, units: Sequence[Unit], n_lanes: int) -> None:
        bounds = [len(units) * lane // n_lanes for lane in range(n_lanes + 1)]
        self._waiting = [deque(units[a:b]) for a, b in pairwise(bounds)]

    def take(self, lane: int) -> Unit | None:
        """Return the next unit for a worker, None where all are taken."""
        if not self._waiting[lane]:
            longest = max(self._waiting, key=len)
            self._waiting[lane].extendleft(longest.pop() for _ in range((len(longest) + 1) // 2))
        return self._waiting[lane].popleft() if self._waiting[lane] else None

    def give_back(self, lane: int, units: Sequence[Unit]) -> None:
        """Put units that a worker took and did not finish back to the front."""
        self._waiting[lane].extendleft(reversed(units))
