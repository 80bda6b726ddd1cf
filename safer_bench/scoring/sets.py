"""A criterion over disjoint sets of calibration examples: mean, spread and cost."""

from collections.abc import Sequence

import numpy as np

from safer_bench.criteria.criterion import Criterion
from safer_bench.errors import BadInput
from safer_bench.metrics import ROUNDING
from safer_bench.networks.network import Network
from safer_bench.scoring.suffixes import Suffixes
from safer_bench.scoring.sweep import EXAMPLES, Levels, Scored, Sweep


def calibration_sweeps(network: Network, n_sets: int, entries: Sequence[Criterion] = ()) -> list[Sweep]:
    """Return a sweep over each of ``n_sets`` disjoint sets of calibration examples, of 512 where there are as many.

    ``entries`` are criteria that they will be asked for, on the first set all, on the others those that see examples.

    Raises:
        BadInput: fewer calibration examples than sets.
    """
    size = min(EXAMPLES, len(network.calibration[1]) // n_sets)
    if size == 0:
        raise BadInput(
            f"network {network.name!r}: {len(network.calibration[1])} calibration examples; expected {n_sets} sets of them"
        )
    suffixes = Suffixes(network.model, *network.calibration)
    asked = [entries, *[[entry for entry in entries if entry.of_examples]] * (n_sets - 1)]
    return [
        Sweep(network, examples=size, first=i * size, suffixes=suffixes, entries=of_set) for i, of_set in enumerate(asked)
    ]


def _spreads(scores: np.ndarray) -> list[float]:
    """Return the standard deviation over sets of scores ``(n_sets, n_rows)``; 0 where they differ by rounding alone."""
    equal = np.ptp(scores, axis=0) <= ROUNDING * np.max(np.abs(scores), axis=0)
    return np.where(equal, 0.0, scores.std(axis=0, ddof=1)).tolist()


def over_sets(sweeps: Sequence[Sweep], entry: Criterion, levels: Levels) -> Scored:
    """Return a criterion's rows, means over the sets where it sees examples, with their spread; and what all that cost."""
    return mean_of_sets([sweep.scored(entry, levels) for sweep in sweeps[: len(sweeps) if entry.of_examples else 1]])


def mean_of_sets(scored: Sequence[Scored]) -> Scored:
    """Return the means over what a criterion said of each set, as ``over_sets`` does."""
    scores = np.array([[row["score"] for row in each.rows] for each in scored])
    spreads = _spreads(scores) if len(scored) > 1 else [None] * scores.shape[1]
    columns = zip(scored[0].rows, scores.mean(axis=0).tolist(), spreads, strict=True)
    cost = scored[0].cost | {
        "seconds": sum(each.cost["seconds"] for each in scored),
        "memory": max(each.cost["memory"] for each in scored),
        "forward_equivalents": sum(each.cost["forward_equivalents"] for each in scored),
    }
    return Scored([row | {"score": mean, "spread": spread} for row, mean, spread in columns], cost, scored[0].needs)
