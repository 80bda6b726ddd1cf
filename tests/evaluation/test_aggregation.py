"""What each cell weighs in the mean of its family of networks."""

import pytest

from safer_bench.evaluation.aggregation import family_weights

FAMILIES = {"a": "one", "b": "one", "c": "two"}
KINDS = {
    "gaussian_noise": "gaussian_noise",
    "quantize": "quantize",
    "random_corruption_l2": "random_corruption",
    "random_corruption_linf": "random_corruption",
}


def weighed(cells):
    weights = family_weights(cells, FAMILIES, KINDS)
    return [dict(zip(cells, row, strict=True)) for row in weights.tolist()]


def test_variants_perturbations_networks_and_families_are_averaged_in_this_order():
    both = [("a", "random_corruption_l2"), ("a", "random_corruption_linf"), ("a", "quantize")]
    one, two = weighed([*both, ("b", "quantize"), ("c", "quantize")])
    assert [one[cell] for cell in both] == [1 / 8, 1 / 8, 1 / 4]
    assert (one["b", "quantize"], two["c", "quantize"]) == (1 / 2, 1)
    assert sum(one.values()) == pytest.approx(1)


def test_noise_of_one_norm_is_not_counted_twice():
    """Of a network that has both; where gaussian noise is left out, the other counts."""
    one, two = weighed(
        [
            ("a", "gaussian_noise"),
            ("a", "random_corruption_l2"),
            ("a", "random_corruption_linf"),
            ("c", "random_corruption_l2"),
            ("c", "random_corruption_linf"),
        ]
    )
    assert list(one.values()) == [1 / 2, 0, 1 / 2, 0, 0]
    assert list(two.values()) == [0, 0, 0, 1 / 2, 1 / 2]
