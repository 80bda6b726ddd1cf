"""The additive model's choices, against all choices there are."""

from itertools import product

import numpy as np
import pytest

from safer_bench.budget.plans.additive import average_cost, cheapest
from safer_bench.errors import BadInput

COSTS = np.array([8.0, 4.0, 2.0])


def test_no_choices_within_the_budget_lose_less():
    generator = np.random.default_rng(3)
    for _ in range(20):
        sizes = generator.integers(1, 50, 5)
        drops = np.maximum.accumulate(generator.random((5, 3)) * generator.random((5, 1)), axis=1)
        most = float(generator.uniform(2.1, 7.9))
        chosen = cheapest(drops, sizes, COSTS, most)
        assert average_cost(chosen, sizes, COSTS) <= most + 1e-6
        lost = [
            drops[np.arange(5), list(each)].sum()
            for each in product(range(3), repeat=5)
            if average_cost(np.array(each), sizes, COSTS) <= most
        ]
        assert drops[np.arange(5), chosen].sum() == pytest.approx(min(lost), abs=1e-6)


def test_of_equal_losses_the_one_that_spends_more_is_taken():
    assert cheapest(np.zeros((3, 3)), np.array([1, 1, 1]), COSTS, 8.0).tolist() == [0, 0, 0]
    assert average_cost(cheapest(np.zeros((2, 3)), np.array([1, 1]), COSTS, 6.0), np.array([1, 1]), COSTS) == 6.0


def test_a_budget_that_cannot_be_met_names_the_least():
    with pytest.raises(BadInput, match=r"a weight costs 2 at the tightest choice, not 1.5"):
        cheapest(np.zeros((2, 3)), np.array([1, 9]), COSTS, 1.5)
