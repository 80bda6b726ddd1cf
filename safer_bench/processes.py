"""What every spawned process of ours does first."""

import multiprocessing
import os
import signal
import threading
import warnings


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
