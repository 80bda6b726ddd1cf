import numpy as np
import pytest

from safer_bench.truth.area import area_of, area_weights, tolerated_level


@pytest.mark.parametrize(("levels", "scale"), [([0.1, 0.3, 1.0, 10.0], "log10"), ([8.0, 6.0, 3.0, 2.0], "linear")])
def test_area_weights_are_the_trapezoid_rule_over_the_span(levels, scale):
    drops = np.array([0.0, 0.1, 0.35, 0.8])
    position = np.log10(levels) if scale == "log10" else np.array(levels)
    expected = abs(np.trapezoid(drops, position)) / abs(position[-1] - position[0])
    assert area_weights(np.array(levels), scale) @ drops == pytest.approx(expected)
    assert area_of(drops[:, None], levels, scale) == pytest.approx([expected])


def test_a_single_level_is_its_own_area():
    assert area_weights(np.array([0.5]), "linear").tolist() == [1.0]


def test_the_tolerated_level_is_interpolated_on_the_scale():
    level, censored = tolerated_level(np.array([0.1, 1.0, 10.0]), "log10", np.array([0.0, 0.005, 0.015]))
    assert (level, censored) == (pytest.approx(10**0.5), False)


@pytest.mark.parametrize(("drops", "expected"), [([0.0, 0.0, 0.009], 10.0), ([0.02, 0.5, 0.9], 0.1)])
def test_a_crossing_outside_the_levels_is_censored(drops, expected):
    assert tolerated_level(np.array([0.1, 1.0, 10.0]), "log10", np.array(drops)) == (expected, True)


def test_fewer_bits_are_worse_so_quantization_tolerates_downwards():
    assert tolerated_level(np.array([6.0, 4.0, 2.0]), "linear", np.array([0.0, 0.0, 0.02])) == (3.0, False)


def test_equal_averages_are_equal_whatever_levels_they_come_from():
    """0.2 x 3 and 0.3 x 2 differ in their last digits: counts that are equal in sum were told apart by them."""
    levels, weights = [0.0, 2.0, 5.0], np.array([0.2, 0.5, 0.3])
    scores = np.array([[3.0, 0.0, 0.0, 9.0], [0.0, 1.2, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    plain = (weights[:, None] * scores).sum(0)
    assert len(set(plain.tolist())) == 3
    found = area_of(scores, levels, "linear")
    assert found[0] == found[1] == found[2]
    assert found == pytest.approx(plain, rel=1e-11)


@pytest.mark.parametrize("factor", [1e-300, 1e-14, 1.0, 1e280])
def test_averages_of_any_size_stay_apart(factor):
    scores = factor * np.array([[1.0, 1.0 + 1e-9, 1e20, -1.0, 0.0], [1.0, 1.0, 1e20, 1.0, 0.0]])
    found = area_of(scores, [1.0, 2.0], "linear")
    assert found.argsort(kind="stable").tolist() == [3, 4, 0, 1, 2]
    assert found[3] == found[4] == 0.0


def test_what_cancels_is_zero():
    """0.1 + 0.2 - 0.3 is 5.6e-17: drops of either sign that cancel were ranked by such rests."""
    levels, weights = [0.0, 1.0, 2.0, 5.0], np.array([0.1, 0.2, 0.4, 0.3])
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    assert (weights[:, None] * scores).sum(0)[0] != 0.0
    assert area_of(scores, levels, "linear").tolist() == [0.0, 0.0]


@pytest.mark.parametrize("levels", [[510.0, 1900.0, 6000.0, 12000.0, 23000.0], [0.18, 0.2, 0.3, 0.37, 3.7]])
@pytest.mark.parametrize("place", [1, 2, 3, 4])
def test_a_level_at_which_the_drop_is_one_point_is_that_level_to_the_bit(levels, place):
    """Interpolated on the logarithm and raised again, it came out as 23000.00000000001, beyond all levels."""
    drops = np.zeros(5)
    drops[place:] = 0.01
    assert tolerated_level(np.array(levels), "log10", drops) == (levels[place], False)
