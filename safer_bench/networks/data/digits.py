"""Handwritten digits of 8 x 8, which come with scikit-learn."""

from functools import cache

import numpy as np

from safer_bench.networks.data.scaling import standardised
from safer_bench.stream import Stream

SOURCE = "scikit-learn load_digits (UCI optical recognition of handwritten digits, CC BY 4.0)"


def part_indices() -> dict[str, np.ndarray]:
    """Return the fixed indices of each part among the 1,797 images."""
    order = Stream("digits", "parts").permutation(1797)
    return {"fit": order[:677], "calibration": order[677:1197], "evaluation": order[1197:]}


def read_part(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised images float32 ``(n, 1, 8, 8)`` and labels int64 ``(n,)``."""
    images, labels = _read()
    indices = part_indices()[part]
    return images[indices], labels[indices]


@cache
def _read() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # costs a second; only this dataset needs it

    bunch = load_digits()
    return standardised(bunch.images, 16.0, 0.3053, 0.3760), bunch.target.astype(np.int64)
