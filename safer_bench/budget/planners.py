"""Allocations by additive models, beside the rank rules: what ``plan`` chooses, the same uncorrected, and HAWQ-V2's rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.budget.plans.additive import cheapest
from safer_bench.budget.plans.choosers import ByDrops
from safer_bench.budget.plans.menu import Menu, make_menu
from safer_bench.budget.plans.predicted import squared_change
from safer_bench.budget.trials import HAWQ, PLAN, PLAN_UNCORRECTED
from safer_bench.budget.whole import WholeNetwork
from safer_bench.errors import BadInput
from safer_bench.networks.network import Network

Array = np.ndarray
TRACE = "hessian_mean_trace"  # the criterion that HAWQ-V2's rule is fed


@dataclass(frozen=True, slots=True)
class Planner:
    """A name, what it sees (a track), and what gives each layer's amount ``(n_layers,)`` within a budget; None: nothing."""

    name: str
    track: str
    amounts: Callable[[float], Array | None]


def planners(
    network: Network, whole: WholeNetwork, perturbation: str, task: str, truth: Mapping[str, pa.Table], scores: pa.Table
) -> list[Planner]:
    """Return what allocates by a sum over layers: by measured drops where a truth has them, by curvature where scores do.

    Args:
        network: as the truth measured it; examples that it saw correct the plan.
        whole: the network that is judged.
        perturbation: what layers get.
        task: ``prune`` or ``quantize``.
        truth: tables of a tree.
        scores: a ``scores`` table; that of ``hessian_mean_trace`` is used.
    """
    menu, found = make_menu(task, perturbation), []
    if pc.any(_of(truth["layer_drops"], network, perturbation)).as_py():
        drops = ByDrops(network, menu, truth)
        found += [
            Planner(PLAN, "level_aware", _within(drops.menu, lambda most: drops(most)[0])),
            Planner(PLAN_UNCORRECTED, "level_aware", _within(drops.menu, drops.uncorrected)),
        ]
    traces = scores.filter((pc.field("criterion") == TRACE) & (pc.field("network") == network.name))
    if traces.num_rows:
        found.append(Planner(HAWQ, "level_aware", _hawq(network, whole, menu, traces)))
    return found


def _of(table: pa.Table, network: Network, perturbation: str) -> pa.ChunkedArray:
    return pc.and_(pc.equal(table["network"], network.name), pc.equal(table["perturbation"], perturbation))


def _hawq(network: Network, whole: WholeNetwork, menu: Menu, traces: pa.Table) -> Callable[[float], Array | None]:
    """Return HAWQ-V2's rule: the least sum of mean curvature times squared change of the weights.

    Source: Dong et al. 2020, arXiv 1911.03852, equation of section 3; solved exactly, for pruning as well.
    """
    trace = dict(zip(traces["layer"].to_pylist(), traces["score"].to_pylist(), strict=True))
    costs = np.array(
        [
            [
                max(0.0, trace[layer.name]) * squared_change(network.weight(layer), weight)
                for weight in (whole.perturbed(layer, menu.perturbation, level) for level in menu.levels)
            ]
            for layer in network.layers
        ]
    )
    unit = float(costs.max()) or 1.0
    sizes = np.array([layer.parameters for layer in network.layers])
    return _within(menu, lambda most: cheapest(costs / unit, sizes, np.array(menu.costs), most))


def _within(menu: Menu, choose: Callable[[float], Array]) -> Callable[[float], Array | None]:
    """Return amounts by budget; None where no choice of the menu keeps to it."""

    def amounts(budget: float) -> Array | None:
        try:
            choices = choose(menu.most(budget))
        except BadInput:
            return None
        return np.array([menu.amount(int(choice)) for choice in choices])

    return amounts
