"""What layers may get, and which of it was measured."""

import numpy as np
import pytest

from safer_bench.budget.plans.menu import make_menu, predicted
from safer_bench.errors import BadInput


def test_choices_run_from_generous_to_tight_and_cost_what_they_keep():
    bits = make_menu("quantize")
    assert (bits.perturbation, bits.levels, bits.costs) == (
        "quantize_per_channel",
        (8, 7, 6, 5, 4, 3, 2),
        (8, 7, 6, 5, 4, 3, 2),
    )
    pruned = make_menu("prune", levels=[0.9, 0.5])
    assert pruned.levels == (0.0, 0.5, 0.9)
    assert pruned.costs == pytest.approx((1.0, 0.5, 0.1))
    assert (pruned.most(0.7), pruned.budget(0.25)) == (pytest.approx(0.3), 0.75)
    rate = make_menu("protect", "float32_bit_flip", [1e-5])
    assert (rate.levels, rate.costs, rate.amount(0), rate.amount(1)) == ((0.0, 1e-5), (1.0, 0.0), 1.0, 0.0)


def test_what_no_task_has_is_refused():
    for wrong, message in (
        (("distil",), "task 'distil'; expected quantize, prune, protect"),
        (("prune", "quantize"), "perturbation 'quantize' of task 'prune'; expected magnitude_prune"),
        (("protect", None, [0.1, 0.2]), "one bit-error rate"),
        (("protect", None, [1.5]), "one bit-error rate"),
        (("quantize", None, [2.5]), "expected a whole number from 2 to 16"),
        (("quantize", None, [16, 4]), "--level 16; a plan offers at most 8 bits"),
    ):
        with pytest.raises(BadInput, match=message):
            make_menu(*wrong)


def test_levels_that_were_not_measured_are_no_choices_but_the_first_counts_as_harmless():
    drops = {("a", 4.0): 0.25, ("a", 2.0): 0.5, ("b", 4.0): -0.125, ("b", 2.0): 0.0}
    menu, found = predicted(make_menu("quantize"), ["a", "b"], drops)
    assert menu.levels == menu.costs == (8.0, 4.0, 2.0)
    assert np.array_equal(found, [[0.0, 0.25, 0.5], [0.0, 0.0, 0.0]])
    with pytest.raises(
        BadInput, match=r"measured at 1.5, planned are 2, 3, 4, 5, 6, 7; measure quantize_per_channel:7,6,5,4,3,2"
    ):
        predicted(make_menu("quantize"), ["a"], {("a", 1.5): 0.0})
    with pytest.raises(BadInput, match="layer 'b' was not measured at level 2"):
        predicted(make_menu("quantize"), ["a", "b"], {key: drop for key, drop in drops.items() if key != ("b", 2.0)})
