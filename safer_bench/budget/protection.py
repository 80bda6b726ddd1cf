"""Some layers kept free of bit errors, the others not: allocations and what the network then gets right."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from safer_bench.budget.baselines import ends
from safer_bench.budget.entrants import Entrant
from safer_bench.budget.rules import at_most, protected
from safer_bench.budget.trials import FIRST_AND_LAST, UNIFORM, Trial, orders_of_ties
from safer_bench.budget.whole import WholeNetwork
from safer_bench.measurement.progress import OnProgress
from safer_bench.truth.answers import begins

Array = np.ndarray
NOTHING, EVERYTHING = "nothing_protected", "everything_protected"
N_SLICES = 5  # of the examples; draw d sees slice d modulo 5


def shielded(
    whole: WholeNetwork,
    perturbation: str,
    who: Sequence[Entrant],
    budgets: Sequence[float],
    levels: Sequence[float],
    draws: int,
    report: OnProgress,
) -> Iterator[Trial]:
    """Yield the trials of protection, level by level, the limits and baselines first.

    Scores that are tied fall in random orders, others in each draw: equal scores (``uniform``) protect random subsets.

    Args:
        whole: the network.
        perturbation: what layers get that are not protected.
        who: whose scores are used.
        budgets: shares of the weights.
        levels: bit-error rates.
        draws: of the bit errors; two or more.
        report: called with (step, done, total).
    """
    n_layers = len(whole.network.layers)
    limits = [Entrant(name, "blind", np.zeros(n_layers)) for name in (NOTHING, EVERYTHING)]
    ranked = [
        Entrant(UNIFORM, "blind", np.zeros(n_layers)),
        Entrant(FIRST_AND_LAST, "blind", ends(n_layers).astype(np.float64)),
        *who,
    ]
    wanted = [*zip(limits, (0.0, 1.0), strict=True), *product(ranked, budgets)]
    sizes = np.array([layer.parameters for layer in whole.network.layers], dtype=np.int64)
    begin = begins(whole.network.n_answers.numpy())
    stored = [whole.perturbed(layer, perturbation, 0.0) for layer in whole.network.layers]
    for i, level in enumerate(levels):
        sets = [[_chosen(whole, each, sizes, budget, draw) for draw in range(draws)] for each, budget in wanted]
        correct = np.full((len(wanted), draws, begin[-1]), np.nan)
        for draw in range(draws):
            report(f"{whole.network.name} {level:g} draw {draw}", i * draws + draw, len(levels) * draws)
            faulty = [whole.perturbed(layer, perturbation, level, draw) for layer in whole.network.layers]
            start, n = slice_of(draw, draws, len(whole.network.labels))
            seen = slice(begin[start], begin[start + n])
            correct[:, draw, seen] = _right(whole, stored, faulty, [each[draw] for each in sets], start, n)
        for (each, budget), protected_sets, right in zip(wanted, sets, correct, strict=True):
            amounts = np.mean(protected_sets, axis=(0, 1))
            spent = float((amounts * sizes).sum() / sizes.sum())
            yield Trial(each.name, each.track, level, budget, amounts, spent, right)


def _chosen(whole: WholeNetwork, who: Entrant, sizes: Array, budget: float, draw: int) -> Array:
    """Return which layers are protected in each order of ties, bool ``(n_orders, n_layers)``."""
    n = at_most(budget, int(sizes.sum()))
    return np.array([protected(who.scores, sizes, n, order) for order in orders_of_ties(whole.network, draw)])


def slice_of(draw: int, draws: int, n_examples: int) -> tuple[int, int]:
    """Return first example and number of examples that a draw sees."""
    n = n_slices(draws)
    first = [n_examples * i // n for i in range(n + 1)]
    i = draw % n
    return first[i], first[i + 1] - first[i]


def n_slices(draws: int) -> int:
    """Return into how many slices the examples fall; draw d sees slice d modulo their number."""
    return min(N_SLICES, draws)


def _right(
    whole: WholeNetwork, stored: Sequence[Array], faulty: Sequence[Array], sets: Sequence[Array], start: int, n: int
) -> Array:
    """Return for each trial the share of its orders that got each answer to n examples right, ``(n_trials, n_answers)``."""
    known: dict[bytes, Array] = {}
    for is_protected in (is_protected for orders in sets for is_protected in orders):
        if is_protected.tobytes() not in known:
            kept = zip(whole.network.layers, stored, faulty, is_protected, strict=True)
            weights = {layer.name: without if safe else errors for layer, without, errors, safe in kept}
            known[is_protected.tobytes()] = whole.correct(weights, start, n)
    return np.array([np.mean([known[each.tobytes()] for each in orders], axis=0) for orders in sets])
