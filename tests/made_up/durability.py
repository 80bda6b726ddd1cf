"""Kills a run again and again, lets it finish, and compares with a run that nobody touched: ``python -m tests.made_up.durability``."""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

DIGITS = ("digits_cnn", "digits_mlp", "digits_resnet", "digits_vit")
WORK = ("--perturbation", "gaussian_noise", "--perturbation", "int8_bit_flip", "--draws", "6", "--examples", "100")


@dataclass(frozen=True)
class Report:
    """What became of it.

    Attributes:
        n_kills: of a run at work.
        n_before_the_first_part: of those, before it had finished a part of its own.
        n_lost: parts that were finished once and later were not there.
        n_differing: files of the finished parts, or of the packed tree, that differ in any byte, are missing or are surplus.
        n_files: files compared.
    """

    n_kills: int
    n_before_the_first_part: int
    n_lost: int
    n_differing: int
    n_files: int


def kill_and_compare(
    folder: Path, n_kills: int, seed: int, networks: Sequence[str] = DIGITS, work: Sequence[str] = WORK
) -> Report:
    """Measure once undisturbed and once with kills at random moments; pack both.

    Args:
        folder: an empty one.
        n_kills: SIGKILLs; half of them while the run starts, half while it measures.
        seed: of the moments.
        networks: that are measured.
        work: further arguments of ``measure``.
    """
    moments = random.Random(seed)
    names = [word for name in networks for word in ("--network", name)]
    measure = lambda out: [sys.executable, "-c", MAIN, "measure", *names, *work, "--out", str(out)]  # noqa: E731
    started = time.monotonic()
    reference = subprocess.Popen(measure(folder / "whole"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not parts(folder / "whole") and reference.poll() is None:
        time.sleep(0.01)
    until_first = time.monotonic() - started
    if reference.wait() != 0:
        raise RuntimeError(f"the undisturbed run ended with {reference.returncode}")
    between = 2 * (time.monotonic() - started - until_first) / n_kills
    pack = lambda out: [sys.executable, "-c", MAIN, "pack", str(out), "--out", f"{out}-tree"]  # noqa: E731
    subprocess.run(pack(folder / "whole"), check=True, stdout=subprocess.DEVNULL)
    done, early, lost, compared = 0, 0, 0, []
    while done < n_kills:  # a run that finishes before its last kill is followed by another
        killed = folder / f"killed-at-{done}"
        finished = False
        while not finished:
            before = parts(killed)
            run = subprocess.Popen(
                measure(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            if done < n_kills:
                if moments.random() < 0.5:
                    _wait(run, moments.uniform(0, until_first))
                else:
                    while run.poll() is None and parts(killed) == before:
                        time.sleep(0.01)
                    _wait(run, moments.uniform(0, between))
                if run.poll() is None:
                    os.killpg(run.pid, signal.SIGKILL)
                    done += 1
                    early += parts(killed) == before
            finished = run.wait() == 0
            if run.returncode not in (0, -signal.SIGKILL):
                raise RuntimeError(f"a run that goes on ended with {run.returncode}")
            lost += len(before - parts(killed))
        subprocess.run(pack(killed), check=True, stdout=subprocess.DEVNULL)
        compared.append(differing(folder / "whole" / "parts", killed / "parts"))
        compared.append(differing(folder / "whole-tree", Path(f"{killed}-tree")))
    return Report(done, early, lost, sum(n for n, _ in compared), sum(n for _, n in compared))


def _wait(run: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        run.wait(seconds)


MAIN = "from safer_bench.cli import main; main()"


def parts(run: Path) -> set[str]:
    """Return the names of the finished parts; they hold the digests of their content."""
    return {f"{path.parent.name}/{path.name}" for path in (run / "parts").glob("*/*.parquet") if path.name[0] != "."}


def differing(one: Path, other: Path) -> tuple[int, int]:
    """Return how many files differ between two folders, and how many there are."""
    content = [
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()} for top in (one, other)
    ]
    names = content[0].keys() | content[1].keys()
    return sum(content[0].get(name) != content[1].get(name) for name in names), len(names)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.made_up.durability", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    with TemporaryDirectory() as scratch:
        sys.stdout.write(f"{kill_and_compare(Path(scratch), wanted.kills, wanted.seed)}\n")
