"""What every spawned process of ours does first."""

import multiprocessing
import os
import signal
import threading


def start_worker() -> None:
    """Leave Ctrl-C to the parent, who ends its workers, and end when it does, however that is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # it may have been killed
    os._exit(1)
