"""The choices that scores come to, where what is offered is not what the rule gives."""

import numpy as np
import pytest

from safer_bench.budget.plans.additive import average_cost
from safer_bench.budget.plans.by_rank import by_rank
from safer_bench.budget.plans.menu import make_menu
from safer_bench.errors import BadInput


def test_a_budget_is_kept_whatever_is_offered():
    generator = np.random.default_rng(5)
    for _ in range(200):
        menu = make_menu("quantize", levels=generator.permutation([7, 6, 5, 4, 3, 2])[: generator.integers(1, 4)].tolist())
        sizes, scores, costs = generator.integers(1, 900, 6), generator.permutation(6).astype(float), np.array(menu.costs)
        most = float(generator.uniform(max(2.0, costs[-1]), 8.0))
        found = by_rank(menu, scores, sizes, most)
        assert average_cost(found, sizes, costs) <= most + 1e-9
        assert (np.diff(costs[found][np.argsort(scores)]) >= 0).all(), "a more sensitive layer got less"


def test_least_sensitive_layers_give_first():
    menu = make_menu("quantize", levels=[6])
    assert by_rank(menu, np.array([3.0, 1.0, 2.0]), np.array([10, 10, 10]), 6.7).tolist() == [0, 1, 1]
    with pytest.raises(BadInput, match="budget 5 of task 'quantize' cannot be met: the choices allow 6 mean bits at least"):
        by_rank(menu, np.array([3.0, 1.0, 2.0]), np.array([10, 10, 10]), 5.0)
