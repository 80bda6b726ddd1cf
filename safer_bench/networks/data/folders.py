"""The folder of a user's own copies of the datasets."""

import os
from pathlib import Path


def folders_for(name: str) -> list[Path]:
    """Return where a user may have put a dataset: the folder of ``SAFER_BENCH_DATA``, and the one of its name in it."""
    given = os.environ.get("SAFER_BENCH_DATA")
    return [Path(given), Path(given) / name] if given else []
