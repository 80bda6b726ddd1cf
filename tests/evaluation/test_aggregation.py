"""What each cell weighs in the mean of its family of networks."""

import pytest

from safer_bench.evaluation.aggregation import family_weights

FAMILIES = {"a": "one", "b": "one", "c": "two"}
USE_CASES = {"gaussian_noise": "device_noise", "multiplicative_noise": "device_noise", "quantize": "quantization"}


def weighed(cells):
    weights = family_weights(cells, FAMILIES, USE_CASES)
    return [dict(zip(cells, row, strict=True)) for row in weights.tolist()]


def test_perturbations_use_cases_networks_and_families_are_averaged_in_this_order():
    both = [("a", "gaussian_noise"), ("a", "multiplicative_noise"), ("a", "quantize")]
    one, two = weighed([*both, ("b", "quantize"), ("c", "quantize")])
    assert [one[cell] for cell in both] == [1 / 8, 1 / 8, 1 / 4]
    assert (one["b", "quantize"], two["c", "quantize"]) == (1 / 2, 1)
    assert sum(one.values()) == pytest.approx(1)
