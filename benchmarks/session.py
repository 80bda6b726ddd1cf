"""One contestant in a process of its own, which measures piece by piece what it is told to, on one thread.

``python -m benchmarks.session NAME NETWORK`` reads a JSON object a line and answers with one:
``{"work": ..., "round": 0}`` prepares a round, ``{"piece": 0}`` measures a piece of it. Seconds are CPU time.
"""

import argparse
import json
import os
import resource
import sys
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

import safer_bench as sb
from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.work import Piece, Work, pieces


class Session:
    """Answers what the benchmark asks of one contestant."""

    def __init__(self, contestant: str, network: str) -> None:
        self.network = sb.load_network(network)
        forget_peak()
        self.contestant_of = CONTESTANTS[contestant]
        self.pieces: list[Piece] = []

    @cached_property
    def contestant(self) -> Contestant:
        """The contestant, made when it is first needed: within its set-up."""
        return self.contestant_of(self.network)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Prepare a round or measure a piece of it."""
        started = time.process_time()
        if "work" in asked:
            return self._prepare(Work(**asked["work"]), asked["round"]) | {"seconds": time.process_time() - started}
        counts = self.contestant.measure(list(self.pieces[asked["piece"]].probes))
        seconds = time.process_time() - started
        if isinstance(counts, float):
            seconds, counts = counts, []
        return {"seconds": seconds, "counts": counts, "peak_bytes": peak_bytes()}

    def _prepare(self, work: Work, number: int) -> dict[str, Any]:
        self.pieces = pieces(self.network, work, number)
        self.contestant.prepare([probe for piece in self.pieces for probe in piece.probes])
        sizes = [(piece.faults, len(piece.probes)) for piece in self.pieces]
        return {"pieces": sizes, "package": str(Path(sb.__file__).parent)}


def forget_peak() -> None:
    """Start the peak of memory anew, where Linux lets us: reading a dataset took more than measuring does."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_bytes() -> int:
    """Return the most memory that was held since ``forget_peak``; since the process started elsewhere than on Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    held = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return 1024 * (held or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0]


def main() -> None:
    """Answer line by line until standard input ends; what others print goes to standard error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("network")
    wanted = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    session = Session(wanted.contestant, wanted.network)
    for line in sys.stdin:
        answers.write(json.dumps(session.answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
