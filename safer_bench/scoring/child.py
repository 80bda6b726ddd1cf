"""The process that runs a submission's criteria: started by this file's path, it confines itself, scores and writes lines.

Standard input tells what to do (by the parent, as JSON), standard output takes one line of JSON for each criterion and
network. Nothing of the submission is imported before all of ours is, and before this process is confined.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Do what standard input says; never returns."""
    job = json.loads(sys.stdin.buffer.read())
    sys.path.insert(0, job["package"])
    out = enter(job)
    from safer_bench.scoring.apart import score_all

    sys.path.remove(job["package"])
    os.dup2(0, 2)  # no word of the submission's is taken for one of ours
    score_all(job, lambda line: write(out, line))
    os._exit(0)  # whatever threads and exit functions there are


def enter(job: dict[str, Any]) -> int:
    """Confine this process, and return the descriptor of what was standard output; nothing is read or printed from then on.

    Where the system does not allow it, say so and end, unless the job asks to go on.
    """
    from safer_bench.scoring import confine

    confine.end_with_parent()
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(null)
    confine.limit(job["seconds"] * (os.cpu_count() or 1), job["data_bytes"], job["file_bytes"])
    found = [confine.separate(), confine.restrict(job["readable"], job["hidden"], job["scratch"])]
    why = ", ".join(filter(None, found))
    if why and not job["unprotected"]:
        write(out, {"unprotected": why})
        os._exit(0)
    return out


def write(out: int, line: dict[str, Any]) -> None:
    """Write a line of JSON, whole."""
    data = memoryview(json.dumps(line).encode() + b"\n")
    while data:
        data = data[os.write(out, data) :]


if __name__ == "__main__":
    os.chdir(Path(__file__).anchor)
    main()
