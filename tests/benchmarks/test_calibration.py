"""Levels come from measured curves: where they cross the targets, and what stands in for targets never reached."""

import json

import numpy as np
import pytest

from benchmarks import calibration
from safer_bench.perturbations.loading import perturbations
from tests.conftest import ROOT

P = perturbations()
NOISE, BITS, COUNT, SHARE = P["gaussian_noise"], P["quantize"], P["int8_bit_count"], P["magnitude_prune"]
COMMITTED = json.loads((ROOT / "docs" / "calibration.json").read_text())


def test_levels_are_where_the_curve_crosses_the_targets():
    """A curve that is linear in log10(level): share 0 at 0.01, 1 at 10."""
    levels = 10.0 ** np.arange(-2, 1.01, 0.25)
    expected = [float(f"{10 ** (3 * target - 2):.2g}") for target in calibration.TARGETS]
    assert (
        calibration.choose(levels.tolist(), np.linspace(0, 1, 13).tolist(), NOISE)
        == expected
        == [0.011, 0.014, 0.04, 0.32, 2.5]
    )


def test_the_linear_scale_is_interpolated_linearly():
    assert calibration.choose([0.0, 1.0], [0.0, 1.0], SHARE) == [0.01, 0.05, 0.2, 0.5, 0.8]


def test_targets_never_reached_are_replaced_by_shares_up_to_the_most_that_is():
    """The most is 0.6: 80 % becomes the middle of 50 % and 60 %."""
    assert calibration.choose([0.0, 1.0], [0.0, 0.6], SHARE) == [0.017, 0.083, 0.33, 0.83, 0.92]


def test_what_costs_nothing_gets_half_decades():
    assert calibration.choose([0.1, 0.5], [0.0, 0.001], P["float32_bit_flip_mantissa"]) == [0.005, 0.016, 0.05, 0.16, 0.5]


@pytest.mark.parametrize(
    ("levels", "shares", "expected"),
    [
        ([5.0, 4.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.9], [6, 5, 4, 3, 2]),  # nearest: 3, 3, 3, 2, 2
        ([5.0, 4.0, 3.0, 2.0], [0.0, 0.05, 0.5, 1.0], [6, 5, 4, 3, 2]),  # nearest: 5, 4, 4, 3, 2
        ([9.0, 7.0, 5.0, 3.0], [0.01, 0.05, 0.2, 0.8], [9, 7, 5, 4, 3]),
        ([16.0, 15.0], [0.9, 0.9], [16, 15, 14, 13, 12]),  # none milder than 16 bits
    ],
)
def test_bits_are_whole_distinct_and_of_the_domain(levels, shares, expected):
    assert calibration.choose(levels, shares, BITS) == expected


def test_counts_are_whole_and_distinct_and_at_least_one():
    assert calibration.choose([1.0, 10.0], [0.9, 1.0], COUNT) == [1, 2, 3, 4, 5]


def test_close_levels_get_the_digits_that_tell_them_apart():
    assert calibration.choose([0.9, 0.91], [0.0, 1.0], SHARE) == [0.9, 0.901, 0.902, 0.905, 0.908]


@pytest.mark.parametrize("name", [name for name, entry in P.items() if len(entry.levels) > 1])
def test_grids_are_within_the_domain_and_run_from_severe_to_mild(name):
    found = calibration.grid(P[name])
    assert P[name].ordered(tuple(found)) == tuple(reversed(found))


@pytest.mark.parametrize("name", sorted(set(P) - {"rerandomize"}))
def test_levels_in_use_are_those_of_the_committed_calibration(name):
    assert list(P[name].levels) == COMMITTED["perturbations"][name]["proposed"]


def test_the_committed_proposals_follow_from_the_committed_curves():
    assert set(COMMITTED["perturbations"]) == set(P) - {"rerandomize"}
    for name, found in COMMITTED["perturbations"].items():
        means = [float(np.mean(shares)) for shares in found["shares"]]
        assert calibration.choose(found["levels"], means, P[name]) == found["proposed"], name
