"""Two versions of the package, piece by piece in turn: what a cell of the truth costs each, and exponent flips."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.timing import Round, contest, n_unlike, ratios, run_rounds, spread, total
from benchmarks.work import Work

OLD, NEW = "old", "new"


@dataclass(frozen=True, slots=True)
class Row:
    """What is compared: the work of each version, and how many times each does it."""

    title: str
    old: Work
    new: Work
    times: tuple[int, int] = (1, 1)

    def cells(self, rounds: list[Round]) -> list[str]:
        """Return the row's cells: milliseconds of both, ratios within rounds, probes with other integers."""
        old, new = (
            median(1e3 * n * total(each, label, "all").seconds / total(each, label, "all").n_probes for each in rounds)
            for label, n in zip((OLD, NEW), self.times, strict=True)
        )
        found = [ratio * self.times[0] / self.times[1] for ratio in ratios(rounds, OLD, NEW, "all")]
        unlike = "{} of {}".format(*n_unlike(rounds, OLD, NEW, "all")) if self.old == self.new else "other work"
        return [self.title, f"{old:.2f}", f"{new:.2f}", spread(found), unlike]


def rows(old: tuple[int, int], new: tuple[int, int], n_layers: int) -> list[Row]:
    """Return what is compared, given (draws, examples) of a cell by the old version and by the new one."""
    truth, flips = (Work(kind, new[1], 1, n_layers) for kind in ("truth", "exponent flips"))
    of_old, of_new = (Work("random", n_examples, 1, n_layers) for _, n_examples in (old, new))
    cell = "a random perturbation's cell, {} x {} by old, {} x {} by new".format(*old, *new)
    return [
        Row(f"a probe of the truth, {new[1]} examples", truth, truth),
        Row(f"a probe of exponent flips, {new[1]} examples", flips, flips),
        Row(cell, of_old, of_new, (old[0], new[0])),
    ]


def compare(network: str, checkout: Path, wanted: list[Row], seconds: float, say: Callable[..., None]) -> list[str]:
    """Run both versions and return the lines of a Markdown table of their CPU time.

    Args:
        network: name in the zoo, or ``FILE.py:FUNC``.
        checkout: of the old version.
        wanted: what to compare.
        seconds: to take, about.
        say: told what was done.

    Raises:
        SystemExit: the checkout holds no package.
    """
    if not (checkout / "safer_bench" / "__init__.py").is_file():
        raise SystemExit(f"{checkout}: expected a checkout with the folder safer_bench")
    head = [network, "old, ms", "new, ms", "old / new", "unlike"]
    lines, started = [head, ["---"] * len(head)], time.monotonic()
    with contest(network, {OLD: ("engine", checkout), NEW: ("engine", None)}) as contestants:
        for index, row in enumerate(wanted):
            left = (seconds - (time.monotonic() - started)) / (len(wanted) - index)
            works = {OLD: row.old, NEW: row.new}
            rounds = run_rounds(contestants, works, left, partial(say, f"{network}, {row.title}:"))
            lines.append(row.cells(rounds))
    return ["", *(f"| {' | '.join(line)} |" for line in lines)]
