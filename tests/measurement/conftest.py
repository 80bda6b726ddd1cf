"""Fixtures of the tests of measuring."""

import pytest
import torch

from safer_bench.measurement.answers.replayed import ReplayedNetwork


@pytest.fixture
def bfloat16_is_faster(monkeypatch):
    """Float32 seems to take forever; where the machine has no bfloat16, timing it still fails."""
    seconds = ReplayedNetwork._time
    taken = lambda self, dtype: seconds(self, dtype) if dtype == torch.bfloat16 else float("inf")  # noqa: E731
    monkeypatch.setattr(ReplayedNetwork, "_time", taken)
