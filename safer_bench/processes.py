"""How every process of ours is spawned, what it does first, and how much memory it took."""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH = "PYTHONSAFEPATH"


@contextmanager
def safe_path() -> Iterator[None]:
    """Let Python processes that start within the block execute no module of the working folder, such as its signal.py.

    Python puts that folder first where it is started by ``-c``, as spawned processes and their resource tracker are.
    """
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        del os.environ[SAFE_PATH]
        if before is not None:
            os.environ[SAFE_PATH] = before


def start_worker() -> None:
    """Leave Ctrl-C, and warnings of former names, to the parent, who ends its workers; end when it does, however that is."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # it may have been killed
    os._exit(1)


def peak_memory() -> int:
    """Return the most memory that this process held so far, in bytes.

    Raises:
        ModuleNotFoundError: the system does not tell, as Windows.
    """
    from resource import RUSAGE_SELF, getrusage  # not there on Windows, where the light half runs

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return getrusage(RUSAGE_SELF).ru_maxrss * unit
