"""One contestant, timed in a process of its own."""

import json
import subprocess
import sys
from typing import Any

Result = dict[str, Any]


def run(contestant: str, *settings: object) -> Result:
    """Run a contestant in a process of its own.

    Raises:
        CalledProcessError: it failed; its message is on standard error.
    """
    command = [sys.executable, "-m", "benchmarks.contestants", contestant, *map(str, settings)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  our own program
    return dict(json.loads(done.stdout.splitlines()[-1]))
