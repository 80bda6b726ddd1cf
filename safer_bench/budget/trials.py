"""Allocations, each with what the network then gets right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from safer_bench.budget import baselines
from safer_bench.budget.entrants import Entrant
from safer_bench.budget.rules import at_least, at_most, bits, priorities, pruned_counts
from safer_bench.budget.whole import WholeNetwork
from safer_bench.measurement.progress import OnProgress

Array = np.ndarray
UNIFORM, FIRST_AND_LAST, UNCHANGED = "uniform", "first_and_last", "unchanged"
FLOAT_BITS = 32
PRUNE_BASELINES = ("global_magnitude", "lamp", "erk")


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


def compressed(
    whole: WholeNetwork, task: str, who: Sequence[Entrant], budgets: Sequence[float], report: OnProgress
) -> Iterator[Trial]:
    """Yield the trials of pruning or quantization, budget by budget, what is not changed and the baselines first.

    A baseline that cannot keep to a budget is left out of it.

    Args:
        whole: the network.
        task: ``prune`` or ``quantize``.
        who: whose scores are used.
        budgets: global sparsities, or mean bits.
        report: called with (step, done, total).
    """
    known: dict[bytes, Array] = {}
    spared = 0.0 if task == "prune" else float(FLOAT_BITS)
    right = whole.correct({})[None].astype(np.float64)
    yield Trial(UNCHANGED, "blind", None, spared, np.full(len(whole.network.layers), spared), spared, right)
    for i, budget in enumerate(budgets):
        planned = _pruning(whole, who, budget) if task == "prune" else _quantization(whole, who, budget)
        for j, (name, track, amounts) in enumerate(planned):
            report(f"{whole.network.name} {budget:g} {name}", i * len(planned) + j, len(budgets) * len(planned))
            if amounts is not None:
                key = amounts.tobytes()
                if key not in known:
                    known[key] = whole.correct(_compressed_weights(whole, task, amounts))[None].astype(np.float64)
                sizes = _sizes(whole)
                spent = float((amounts * sizes).sum() / sizes.sum())
                yield Trial(name, track, None, budget, amounts, spent, known[key])


Planned = list[tuple[str, str, Array | None]]  # name, track, amounts


def _sizes(whole: WholeNetwork) -> Array:
    return np.array([layer.parameters for layer in whole.network.layers], dtype=np.int64)


def _pruning(whole: WholeNetwork, who: Sequence[Entrant], budget: float) -> Planned:
    layers, sizes = whole.network.layers, _sizes(whole)
    n = at_least(budget, int(sizes.sum()))
    weights = [whole.network.weight(layer) for layer in layers]
    counts: dict[tuple[str, str], Array | None] = {
        (UNIFORM, "blind"): pruned_counts(np.full(len(sizes), 0.5), sizes, n),
        (FIRST_AND_LAST, "blind"): baselines.prune_between_ends(sizes, n),
        ("global_magnitude", "blind"): baselines.global_magnitude_counts(weights, n),
        ("lamp", "blind"): baselines.lamp_counts(weights, n),
        ("erk", "blind"): baselines.erk_counts([layer.shape for layer in layers], n),
    }
    counts |= {(each.name, each.track): pruned_counts(priorities(each.scores), sizes, n) for each in who}
    return [(*key, None if pruned is None else pruned / sizes) for key, pruned in counts.items()]


def _quantization(whole: WholeNetwork, who: Sequence[Entrant], budget: float) -> Planned:
    sizes = _sizes(whole)
    n = at_most(budget, int(sizes.sum()))
    baseline_bits: Planned = [
        (UNIFORM, "blind", bits(np.full(len(sizes), 0.5), sizes, n)),
        (FIRST_AND_LAST, "blind", baselines.bits_between_ends(sizes, n)),
    ]
    return baseline_bits + [(each.name, each.track, bits(priorities(each.scores), sizes, n)) for each in who]


def _compressed_weights(whole: WholeNetwork, task: str, amounts: Array) -> dict[str, Array]:
    name = "magnitude_prune" if task == "prune" else "quantize"
    pairs = zip(whole.network.layers, amounts, strict=True)
    return {layer.name: whole.perturbed(layer, name, float(amount)) for layer, amount in pairs}
