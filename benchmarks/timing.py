"""Contestants in processes of their own that measure in turn, piece by piece; CPU seconds of one thread, and their ratios.

What else runs on the machine slows neighbouring pieces alike, so a ratio within a round holds where a time does not.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any, cast

from benchmarks.work import Work
from safer_bench.registry import absolute

ROOT = Path(__file__).parents[1]
FEWEST_ROUNDS = 2
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
START = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import benchmarks
del sys.path[0]
from benchmarks.session import main
main()
"""  # this benchmark, with the package of the checkout that PYTHONPATH names


@dataclass(frozen=True, slots=True)
class Timed:
    """What one contestant took for the pieces of one kind in a round."""

    seconds: float
    n_probes: int
    counts: list[list[int]]
    peak_bytes: int


Round = dict[tuple[str, bool], Timed]  # by contestant and whether the pieces are of faults


class Contestant:
    """A process that prepares and measures what it is told to.

    Args:
        name: one of ``contestants.CONTESTANTS``.
        network: name in the zoo, or ``FILE.py:FUNC``.
        checkout: whose package it imports, None for this one.

    Attributes:
        setup: CPU seconds of its first preparation.
    """

    def __init__(self, name: str, network: str, checkout: Path | None = None) -> None:
        self.name, self.setup = name, 0.0
        self._checkout = (checkout or ROOT).resolve()
        path = os.pathsep.join(filter(None, (str(self._checkout), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-P", "-c", START, name, absolute(network)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
        )
        self._to, self._from = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)

    def tell(self, **message: Any) -> None:
        """Send one message, which ``answer`` answers."""
        with suppress(BrokenPipeError):
            self._to.write(json.dumps(message) + "\n")
            self._to.flush()

    def answer(self) -> dict[str, Any]:
        """Return the answer to the last message.

        Raises:
            SystemExit: the process failed; its message is on standard error.
        """
        line = self._from.readline()
        if not line:
            raise SystemExit(f"{self.name} failed with exit code {self._process.wait()}; its message stands above")
        return dict(json.loads(line))

    def prepared(self) -> list[tuple[bool, int]]:
        """Return of each piece of a round that it was told of whether it is of faults, and the number of probes."""
        found = self.answer()
        if Path(found["package"]).parent != self._checkout:
            raise SystemExit(f"{self.name} ran the package in {found['package']}; expected that of {self._checkout}")
        self.setup = self.setup or found["seconds"]
        return [(faults, n_probes) for faults, n_probes in found["pieces"]]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def contest(network: str, checkouts: Mapping[str, tuple[str, Path | None]]) -> Iterator[dict[str, Contestant]]:
    """Start contestants, given as label -> (name, checkout), and end them afterwards."""
    with ExitStack() as stack:
        found = {}
        for label, (name, checkout) in checkouts.items():
            found[label] = Contestant(name, network, checkout)
            stack.callback(found[label].close)
        yield found


def run_round(contestants: Mapping[str, Contestant], works: Mapping[str, Work], number: int) -> Round:
    """Run one round: contestants prepare it at the same time, then they take turns piece by piece."""
    for label, contestant in contestants.items():
        contestant.tell(work=asdict(works[label]), round=number)
    sizes = {label: contestant.prepared() for label, contestant in contestants.items()}
    found: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for index, (faults, _) in enumerate(next(iter(sizes.values()))):
        for label, contestant in contestants.items():
            contestant.tell(piece=index)
            found.setdefault((label, faults), []).append(contestant.answer() | {"n": sizes[label][index][1]})
    return {
        key: Timed(
            sum(piece["seconds"] for piece in of_key),
            sum(piece["n"] for piece in of_key),
            [counts for piece in of_key for counts in piece["counts"]],
            max(piece["peak_bytes"] for piece in of_key),
        )
        for key, of_key in found.items()
    }


def run_rounds(
    contestants: Mapping[str, Contestant], works: Mapping[str, Work], seconds: float, say: Callable[..., None]
) -> list[Round]:
    """Run rounds for about so many seconds; at least two, and no other that would end later."""
    rounds: list[Round] = []
    started, longest = time.monotonic(), 0.0
    while len(rounds) < FEWEST_ROUNDS or time.monotonic() - started + longest < seconds:
        began = time.monotonic()
        rounds.append(run_round(contestants, works, len(rounds)))
        took = time.monotonic() - began
        longest = max(longest, took) if len(rounds) > 1 else 0.0  # the first one sets up
        say(f"round {len(rounds)}: {took:.0f} s, {time.monotonic() - started:.0f} of {seconds:.0f}")
    return rounds


KINDS = {"all": (False, True), "ordinary": (False,), "faults": (True,)}


def total(of_round: Round, label: str, kind: str) -> Timed:
    """Return what a contestant took for one kind of pieces of a round."""
    parts = [of_round[label, faults] for faults in KINDS[kind] if (label, faults) in of_round]
    return Timed(
        sum(part.seconds for part in parts),
        sum(part.n_probes for part in parts),
        [counts for part in parts for counts in part.counts],
        max(part.peak_bytes for part in parts),
    )


def ratios(rounds: list[Round], slow: str, fast: str, kind: str, without: str | None = None) -> list[float]:
    """Return slow / fast of each round, in CPU seconds; those of ``without`` are taken off the fast one's."""
    seconds = lambda of_round, label: total(of_round, label, kind).seconds if label else 0.0  # noqa: E731
    return [seconds(each, slow) / (seconds(each, fast) - seconds(each, without)) for each in rounds]


def n_unlike(rounds: list[Round], label: str, other: str, kind: str) -> tuple[int, int]:
    """Return in how many probes of all rounds two contestants' integers differ, and of how many."""
    pairs = [(total(each, label, kind).counts, total(each, other, kind).counts) for each in rounds]
    differ = [a != b for found, expected in pairs for a, b in zip(found, expected, strict=True)]
    return sum(differ), len(differ)


def spread(values: list[float], form: str = ".2f") -> str:
    """Return the median with the smallest and the largest, as text."""
    low, high = min(values), max(values)
    return f"{median(values):{form}} ({low:{form}} to {high:{form}})"
