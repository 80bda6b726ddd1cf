"""How surely the accuracy of an unperturbed network is known; no I/O."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm

from safer_bench.truth.answers import answers_of, begins


def accuracy_interval(network: Mapping[str, Any]) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval of a network's clean accuracy, a share of answers.

    Answers of one example depend on each other: where examples have several, the interval is that of as many independent
    answers as would leave the accuracy as uncertain as it is over examples.

    Args:
        network: a row of the table networks.

    Source: Wilson 1927, J. American Statistical Association 22; Korn and Graubard 1998, Survey Methodology 24 (the effective
    number).
    """
    if network["answers_of_example"] is None:
        found = binomtest(network["clean_correct"], network["n_answers"]).proportion_ci(method="wilson")
        return float(found.low), float(found.high)
    n, share, z = _effective_number(network), network["clean_correct"] / network["n_answers"], float(norm.ppf(0.975))
    centre, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float((centre - half) / (1 + z**2 / n)), float((centre + half) / (1 + z**2 / n))


def _effective_number(network: Mapping[str, Any]) -> float:
    """Return how many independent answers would tell the accuracy as surely; of examples all alike, their number."""
    answers = answers_of(network)
    outcomes = np.unpackbits(np.frombuffer(network["clean_outcomes"], np.uint8), count=network["n_answers"])
    right = np.diff(np.concatenate([[0], np.cumsum(outcomes, dtype=np.int64)])[begins(answers)])
    total, n, share = int(answers.sum()), int(np.count_nonzero(answers)), right.sum() / answers.sum()
    variance = n / max(n - 1, 1) * np.sum((right - share * answers) ** 2) / total**2
    return float(min(share * (1 - share) / variance, total)) if variance > 0 else float(n)
