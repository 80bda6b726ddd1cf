"""What layers lose at levels that were not measured, from those that were."""

import numpy as np
import pytest

from safer_bench.budget.plans.menu import make_menu
from safer_bench.budget.plans.predicted import predicted, squared_change
from safer_bench.budget.whole import WholeNetwork


@pytest.fixture
def whole(tiny):
    return WholeNetwork(tiny)


def drops(network, level, value):
    return {(layer.name, level): value * (layer.index + 1) for layer in network.layers}


def test_a_level_that_was_measured_has_its_own_drop_and_harm_is_never_negative(whole):
    menu = make_menu("quantize", levels=[4, 2])
    known = drops(whole.network, 4.0, -0.125) | drops(whole.network, 2.0, 0.125) | drops(whole.network, 8.0, 0.01)
    found = predicted(whole.network, menu, known, whole.perturbed)
    assert np.allclose(found, [[0.01 * i, 0.0, 0.125 * i] for i in (1, 2, 3)])


def test_between_them_it_is_on_the_line_over_the_squared_change(whole):
    """By a loop written anew: the share of the way from 4 to 2 bits, in squared change, is the share of the drop."""
    menu = make_menu("quantize", "quantize")
    known = drops(whole.network, 4.0, 0.1) | drops(whole.network, 2.0, 0.3)
    found = predicted(whole.network, menu, known, whole.perturbed)
    assert menu.levels == (8, 7, 6, 5, 4, 3, 2)
    for layer in whole.network.layers:
        weight = whole.network.weight(layer).astype(np.float64)
        steps = {bits: np.abs(weight).max() / (2 ** (bits - 1) - 1) for bits in (5, 4, 3, 2)}
        size = {bits: ((step * np.rint(weight / step) - weight) ** 2).sum() for bits, step in steps.items()}
        mild, severe = 0.1 * (layer.index + 1), 0.3 * (layer.index + 1)
        share = (size[3] - size[4]) / (size[2] - size[4])
        assert 0.0 < share < 1.0
        assert found[layer.index, 5] == pytest.approx(mild + share * (severe - mild), rel=1e-5)
        assert found[layer.index, 3] == pytest.approx(mild * size[5] / size[4], rel=1e-5)
        assert found[layer.index, 0] == 0.0, "what is spared counts as harmless"
        assert (np.diff(found[layer.index]) > 0.0).all()


def test_squared_changes_do_not_overflow_float32():
    assert squared_change(np.full(2, 1e30, np.float32), np.zeros(2, np.float32)) == pytest.approx(2e60, rel=1e-6)
