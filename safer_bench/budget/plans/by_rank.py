"""The choices that scores come to, by the rank rules; pure."""

import numpy as np

from safer_bench.budget.plans.additive import average_cost
from safer_bench.budget.plans.menu import Menu
from safer_bench.budget.rules import at_least, at_most, bits, priorities, protected, pruned_counts

Array = np.ndarray


def by_rank(menu: Menu, scores: Array, sizes: Array, most: float) -> Array:
    """Return the choices that the rank rules come to: of those offered, the nearest that costs no more.

    Where none of the offered choices costs as little as a layer was given, the least sensitive layers get less.

    Raises:
        BadInput: the budget cannot be met.
    """
    menu.check(most)
    costs, total = np.array(menu.costs), int(sizes.sum())
    if menu.task == "protect":
        kept = protected(scores, sizes, at_most(most, total), np.arange(len(sizes)))
        return np.where(kept, 0, 1)
    if menu.task == "quantize":
        amounts = bits(priorities(scores), sizes, at_most(most, total)).astype(float)
    else:
        amounts = 1.0 - pruned_counts(priorities(scores), sizes, at_least(1.0 - most, total)) / sizes
    fits = costs[None, :] <= amounts[:, None] + 1e-9
    choices = np.where(fits.any(1), fits.argmax(1), len(costs) - 1)
    return _within(choices, scores, sizes, costs, most)


def _within(choices: Array, scores: Array, sizes: Array, costs: Array, most: float) -> Array:
    """Return choices within the budget: where what is offered is more than the rule gave, the least sensitive get less."""
    found = choices.copy()
    while average_cost(found, sizes, costs) > most + 1e-9:
        for layer in np.argsort(scores, kind="stable"):
            found[layer] = min(found[layer] + 1, len(costs) - 1)
            if average_cost(found, sizes, costs) <= most + 1e-9:
                break
    return found
