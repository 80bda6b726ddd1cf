"""The best allocation that is known of a budget, without the luck of having been chosen; pure."""

from collections.abc import Sequence

import numpy as np

from safer_bench.budget.protection import n_slices
from safer_bench.budget.trials import BEST_KNOWN, Trial

Array = np.ndarray


def best_known(trials: Sequence[Trial], examples: Array) -> Trial:
    """Return what the best of some trials keeps, where each half of the images is judged by the choice of the other.

    The best of many by one measurement is flattered by it; a choice says nothing of images that had no part in it.

    Args:
        trials: of one network, level and budget; of equally good ones the first is chosen.
        examples: number of the example that each answer belongs to ``(n_answers,)``.

    Returns:
        A trial: its amounts and what it spent are means of the two choices, as often as each was judged.
    """
    half = first_half(len(trials[0].correct), examples)
    by_first, by_second = (max(trials, key=lambda trial: _accuracy(trial, part)) for part in (half, ~half))
    correct = np.where(half, by_second.correct, by_first.correct)
    seen = np.isfinite(correct)
    share = float((seen & half).sum() / seen.sum())  # judged by what the second half chose
    amounts = share * by_second.amounts + (1.0 - share) * by_first.amounts
    spent = share * by_second.spent + (1.0 - share) * by_first.spent
    return Trial(BEST_KNOWN, "perturbation_aware", trials[0].level, trials[0].budget, amounts, spent, correct)


def first_half(n_draws: int, examples: Array) -> Array:
    """Return which answers are of the first half, bool ``(n_draws, n_answers)``: every other example.

    Where there are several draws, it is every other slice of the examples: so the halves share no draw either.
    """
    if n_draws == 1:
        return np.asarray(examples % 2 == 0)[None]
    slices = np.arange(n_draws) % n_slices(n_draws)
    return np.broadcast_to((slices % 2 == 0)[:, None], (n_draws, len(examples)))


def _accuracy(trial: Trial, part: Array) -> float:
    return float(np.nanmean(trial.correct[part]))
