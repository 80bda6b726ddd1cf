"""Weights as a tool quantized them, beside those of a plan."""

import numpy as np
import torch

EXACT = 1e-6  # of a channel's largest weight: float32 roundings of step and product


def by_channel(weight):
    """Return a weight in float64, ``(n_channels, n)``."""
    return np.asarray(weight.detach() if isinstance(weight, torch.Tensor) else weight, np.float64).reshape(len(weight), -1)


def differences(found, wanted, weight, bits):
    """Return by channel how far a tool's weight is from the plan's, in steps of the plan's grid ``(n_channels,)``."""
    step = np.abs(by_channel(weight)).max(axis=1) / (2 ** (bits - 1) - 1)
    return np.abs(by_channel(found) - by_channel(wanted)).max(axis=1) / step


def on_the_plans_grid(weight):
    """Return which channels torchao puts on the grid of the plan: those whose largest weight is positive ``(n_channels,)``."""
    return by_channel(weight).max(axis=1) >= -by_channel(weight).min(axis=1)


def torchao_steps(weight, bits):
    """Return torchao's step in each channel of a linear layer, the plan's or a finer one ``(n_channels, 1)``."""
    flat, most = by_channel(weight), 2 ** (bits - 1)
    return np.maximum(flat.max(axis=1) / (most - 1), -flat.min(axis=1) / most)[:, None]
