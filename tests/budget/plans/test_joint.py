"""Choices corrected by what the network loses with all of them at once."""

import numpy as np

from safer_bench.budget.plans.additive import cheapest
from safer_bench.budget.plans.joint import Joint, corrected
from safer_bench.budget.plans.menu import Menu, make_menu
from safer_bench.budget.whole import WholeNetwork

MENU = Menu("quantize", "quantize", (8.0, 4.0, 2.0), (8.0, 4.0, 2.0))
SIZES = np.array([10, 10, 10])


class MadeUp:
    """A network of three layers whose joint drop is a function of the choices."""

    menu = MENU

    def __init__(self, lost):
        self.lost, self.asked = lost, []

    def correct(self, choices):
        self.asked.append(tuple(choices.tolist()))
        n_right = round(1000 * (1.0 - self.lost(choices)))
        return np.concatenate([np.ones(n_right), np.zeros(1000 - n_right)])[None]


def test_layers_that_add_to_each_others_errors_are_told_apart():
    """Alone each of the first two loses little, together nearly all: one of them has to be spared."""
    drops = np.array([[0.0, 0.009, 0.01], [0.0, 0.009, 0.01], [0.0, 0.5, 0.6]])
    tight = lambda choices: choices[0] == choices[1] == 2 or choices[2] == 1  # noqa: E731
    joint = MadeUp(lambda choices: 0.01 * choices.sum() + 0.8 * float(tight(choices)))
    start = cheapest(drops, SIZES, np.array(MENU.costs), 4.0)
    assert start.tolist() == [2, 2, 0]
    found, accuracies = corrected(joint, drops, SIZES, 4.0, start)
    assert sorted(found[:2].tolist()) != [2, 2]
    assert accuracies[0] < 0.2
    assert max(accuracies) > 0.9
    assert float(joint.correct(found).mean()) == max(accuracies)


def test_all_layers_alike_are_taken_where_that_loses_least():
    drops = np.array([[0.0, 0.01, 0.02], [0.0, 0.2, 0.3], [0.0, 0.2, 0.3]])
    joint = MadeUp(lambda choices: 0.05 if len(set(choices.tolist())) == 1 else 0.3)
    found, accuracies = corrected(joint, drops, SIZES, 4.0, np.array([2, 0, 2]))
    assert found.tolist() == [1, 1, 1]
    assert max(accuracies) < 0.95


def test_a_correction_that_makes_it_worse_is_not_taken():
    drops = np.array([[0.0, 0.1, 0.2], [0.0, 0.1, 0.2], [0.0, 0.1, 0.2]])
    start = np.array([1, 1, 1])
    joint = MadeUp(lambda choices: 0.05 if (choices <= start).all() else 0.5)
    found, accuracies = corrected(joint, drops, SIZES, 4.0, start)
    assert found.tolist() == start.tolist()
    assert accuracies[0] == max(accuracies) == 0.95


def test_where_all_is_protected_no_draw_counts(tiny):
    """Nothing is random then: every answer is seen, and is that of the stored weights."""
    joint = Joint(WholeNetwork(tiny), make_menu("protect", levels=[0.05]), draws=5)
    found = joint.correct(np.zeros(3, dtype=np.int64))
    stored = {layer.name: joint.whole.perturbed(layer, "int8_bit_flip", 0.0) for layer in tiny.layers}
    assert np.array_equal(found, joint.whole.correct(stored)[None])
    assert joint.correct(np.array([1, 0, 0])).shape == (5, found.shape[1])
