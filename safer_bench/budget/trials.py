"""Allocations, each with what the network then gets right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from safer_bench.budget import baselines
from safer_bench.budget.entrants import Entrant
from safer_bench.budget.rules import FEWEST_BITS, MOST_BITS, at_least, at_most, bits, priorities, pruned_counts
from safer_bench.budget.whole import WholeNetwork
from safer_bench.measurement.progress import OnProgress
from safer_bench.networks.network import Network
from safer_bench.stream import Stream
from safer_bench.tables.controls import UNIFORM as UNIFORM

if TYPE_CHECKING:
    from safer_bench.budget.planners import Planner

Array = np.ndarray
FIRST_AND_LAST, MIXED, UNCHANGED, BEST_KNOWN = "first_and_last", "mixed", "unchanged", "best_known"
FLOAT_BITS = 32
PLAN, PLAN_UNCORRECTED, HAWQ = "plan", "plan_uncorrected", "hawq_v2"
PRUNE_BASELINES = ("global_magnitude", "lamp", "erk")
N_ORDERS = 4  # in which ties fall, in every draw
# where uniform is measured beside the budgets: from end to end, so that it can be told at any spending
ENDS = {"prune": (1.0,), "quantize": tuple(float(n) for n in range(FEWEST_BITS, MOST_BITS + 1))}


@dataclass(frozen=True, slots=True)
class Trial:
    """One allocation and what came of it.

    Attributes:
        name, track: of the criterion or baseline.
        level: bit-error rate; None for pruning and quantization.
        budget: as it was given.
        amounts: of each layer ``(n_layers,)``: share pruned, bits, or share of the draws in which it was protected.
        spent: share pruned, mean bits or share protected that came of it.
        correct: share of orders of ties in which each answer was right, ``(n_draws, n_answers)``, nan where unseen.
    """

    name: str
    track: str
    level: float | None
    budget: float
    amounts: Array
    spent: float
    correct: Array


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be tried: allocations ``(n_orders, n_layers)``, their answers averaged; None where none can be had."""

    name: str
    track: str
    allocations: Array | None


def compressed(
    whole: WholeNetwork,
    task: str,
    perturbation: str,
    who: Sequence[Entrant],
    budgets: Sequence[float],
    report: OnProgress,
    planners: Sequence["Planner"] = (),
) -> Iterator[Trial]:
    """Yield the trials of pruning or quantization, budget by budget, what is not changed and the baselines first.

    An allocation that cannot keep to a budget is left out of it. Then comes ``uniform`` at the budgets of ``ENDS``, and
    last what planners choose.

    Args:
        whole: the network.
        task: ``prune`` or ``quantize``.
        perturbation: what layers get.
        who: whose scores are used.
        budgets: global sparsities, or mean bits.
        report: called with (step, done, total).
        planners: that allocate by themselves.
    """
    spared = 0.0 if task == "prune" else float(FLOAT_BITS)
    right = whole.correct({})[None].astype(np.float64)
    yield Trial(UNCHANGED, "blind", None, spared, np.full(len(whole.network.layers), spared), spared, right)
    by_rules = _pruning if task == "prune" else _quantization
    sizes, known = _sizes(whole.network), dict[bytes, Array]()
    tried = [(budget, candidate) for budget in budgets for candidate in by_rules(whole, who, budget)]
    tried += [(budget, _uniform(task, sizes, budget)) for budget in ENDS[task] if budget not in budgets]
    n_tried = len(tried) + len(planners) * len(budgets)

    def told() -> Iterator[tuple[float, Candidate]]:
        for i, (budget, candidate) in enumerate(tried):
            report(f"{whole.network.name} {budget:g} {candidate.name}", i, n_tried)
            yield budget, candidate
        for i, (planner, budget) in enumerate(product(planners, budgets), len(tried)):
            report(f"{whole.network.name} {budget:g} {planner.name}", i, n_tried)
            amounts = planner.amounts(budget)
            yield budget, Candidate(planner.name, planner.track, None if amounts is None else amounts[None])

    for budget, candidate in told():
        if candidate.allocations is not None:
            correct = np.mean([_right(whole, perturbation, each, known) for each in candidate.allocations], axis=0)
            amounts = candidate.allocations.mean(axis=0)
            spent = float((amounts * sizes).sum() / sizes.sum())
            yield Trial(candidate.name, candidate.track, None, budget, amounts, spent, correct)


def orders_of_ties(network: Network, draw: int = 0) -> list[Array]:
    """Return the orders of a network's layers in which ties fall in a draw, each a permutation ``(n_layers,)``."""
    return [Stream("budget", network.name, "order", draw, i).permutation(len(network.layers)) for i in range(N_ORDERS)]


def _right(whole: WholeNetwork, perturbation: str, amounts: Array, known: dict[bytes, Array]) -> Array:
    """Return which answers are right under an allocation, float64 ``(1, n_answers)``; each is measured once."""
    key = amounts.tobytes()
    if key not in known:
        known[key] = whole.correct(_compressed_weights(whole, perturbation, amounts))[None].astype(np.float64)
    return known[key]


def _sizes(network: Network) -> Array:
    return np.array([layer.parameters for layer in network.layers], dtype=np.int64)


def _uniform(task: str, sizes: Array, budget: float) -> Candidate:
    w, whole = np.full(len(sizes), 0.5), int(sizes.sum())
    if task == "prune":
        return Candidate(UNIFORM, "blind", (pruned_counts(w, sizes, at_least(budget, whole)) / sizes)[None])
    return Candidate(UNIFORM, "blind", bits(w, sizes, at_most(budget, whole))[None])


def _pruning(whole: WholeNetwork, who: Sequence[Entrant], budget: float) -> list[Candidate]:
    layers, sizes = whole.network.layers, _sizes(whole.network)
    n = at_least(budget, int(sizes.sum()))
    weights = [whole.network.weight(layer) for layer in layers]
    counts: dict[tuple[str, str], Array | None] = {
        (FIRST_AND_LAST, "blind"): baselines.prune_between_ends(sizes, n),
        ("global_magnitude", "blind"): baselines.global_magnitude_counts(weights, n),
        ("lamp", "blind"): baselines.lamp_counts(weights, n),
        ("erk", "blind"): baselines.erk_counts([layer.shape for layer in layers], n),
    }
    counts |= {(each.name, each.track): pruned_counts(priorities(each.scores), sizes, n) for each in who}
    others = [Candidate(*key, None if pruned is None else (pruned / sizes)[None]) for key, pruned in counts.items()]
    return [_uniform("prune", sizes, budget), *others]


def _quantization(whole: WholeNetwork, who: Sequence[Entrant], budget: float) -> list[Candidate]:
    sizes = _sizes(whole.network)
    n = at_most(budget, int(sizes.sum()))
    between = baselines.bits_between_ends(sizes, n)
    return [
        _uniform("quantize", sizes, budget),
        Candidate(FIRST_AND_LAST, "blind", None if between is None else between[None]),
        Candidate(MIXED, "blind", baselines.mixed_bits(sizes, n, orders_of_ties(whole.network))),
        *(Candidate(each.name, each.track, bits(priorities(each.scores), sizes, n)[None]) for each in who),
    ]


def _compressed_weights(whole: WholeNetwork, perturbation: str, amounts: Array) -> dict[str, Array]:
    pairs = zip(whole.network.layers, amounts, strict=True)
    return {layer.name: whole.perturbed(layer, perturbation, float(amount)) for layer, amount in pairs}
