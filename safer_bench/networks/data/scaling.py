"""Pixels as networks take them."""

import numpy as np


def standardised(pixels: np.ndarray, scale: float, mean: float, deviation: float) -> np.ndarray:
    """Return pixels ``(n, height, width)`` as float32 ``(n, 1, height, width)``: (pixel / scale - mean) / deviation."""
    return ((pixels[:, None].astype(np.float64) / scale - mean) / deviation).astype(np.float32)
