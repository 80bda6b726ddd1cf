"""The cheapest choices by an additive model: what layers lose alone, summed; pure."""

import numpy as np

from safer_bench.errors import BadInput

Array = np.ndarray
UNIT = 1e-3  # of accuracy, in which the solver counts: its tolerances are absolute
THRIFT = 1e-6  # of accuracy, for the whole budget: of choices that lose equally much, those that spend more are safer


def cheapest(drops: Array, sizes: Array, costs: Array, most: float) -> Array:
    """Return each layer's choice ``(n_layers,)`` such that the summed drop is least within the budget.

    A multiple-choice knapsack, solved exactly (mixed-integer linear programming, HiGHS).

    Args:
        drops: predicted, of each layer at each choice ``(n_layers, n_choices)``.
        sizes: weights of each layer ``(n_layers,)``.
        costs: of one weight at each choice, falling ``(n_choices,)``.
        most: that a weight may cost on average.

    Raises:
        BadInput: even the tightest choices cost more; the message says how much.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # here, since it alone takes half a second to import

    n_layers, n_choices = drops.shape
    if costs[-1] > most + 1e-9:
        raise BadInput(f"the budget cannot be met: a weight costs {costs[-1]:g} at the tightest choice, not {most:g}")
    shares = (sizes / sizes.sum())[:, None] * costs[None, :]  # of the average cost
    span = max(float(costs[0] - costs[-1]), 1e-12)
    one_each = np.kron(np.eye(n_layers), np.ones(n_choices))
    found = milp(
        ((drops - THRIFT * shares / span) / UNIT).ravel(),
        integrality=np.ones(drops.size),
        bounds=Bounds(0.0, 1.0),
        constraints=[LinearConstraint(one_each, 1.0, 1.0), LinearConstraint(shares.ravel()[None, :], -np.inf, most + 1e-9)],
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise BadInput(f"no allocation within the budget was found: {found.message}")
    return np.asarray(np.argmax(found.x.reshape(drops.shape), axis=1))


def average_cost(choices: Array, sizes: Array, costs: Array) -> float:
    """Return what a weight costs on average."""
    return float((sizes * costs[choices]).sum() / sizes.sum())
