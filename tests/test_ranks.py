"""Ranks of values with ties, held against scipy's."""

import numpy as np
import pytest
from scipy import stats

from safer_bench.ranks import mean_ranks, places_of_ties

RNG = np.random.default_rng(0)
VALUES = {
    "one": np.array([3.0]),
    "all equal": np.zeros(5),
    "ties": RNG.integers(0, 4, (6, 7, 12)).astype(float),
    "no ties": RNG.normal(size=(3, 50)),
    "infinite": np.array([[np.inf, 1.0, -np.inf, np.inf, 1.0], [np.inf, np.inf, np.inf, 0.0, -0.0]]),
}


@pytest.mark.parametrize("name", VALUES)
def test_ties_share_their_mean_first_and_last_place(name):
    values = VALUES[name]
    assert np.array_equal(mean_ranks(values), stats.rankdata(values, axis=-1))
    for found, method in zip(places_of_ties(values), ("min", "max"), strict=True):
        assert np.array_equal(found, stats.rankdata(values, method, axis=-1))
