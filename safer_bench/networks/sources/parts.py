"""Which examples judge a network, and which criteria may see: disjoint, at random, by a seed."""

import numpy as np

from safer_bench.errors import BadInput
from safer_bench.stream import Stream

EVALUATION, CALIBRATION = 250, 200  # where nothing is said, of as many as there are
SHARE = 5  # of fewer examples one in five is for calibration


def choose(n: int, evaluation: int | None, calibration: int | None, seed: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of evaluation and calibration examples, int64, in random order.

    Args:
        n: examples that there are.
        evaluation: number of evaluation examples; where None, 250, or what calibration leaves.
        calibration: number of calibration examples, 0 for none; where None, 200, or a fifth of what there is.
        seed: of the choice.
        where: the data, for messages.

    Raises:
        BadInput: there are fewer than are asked for, or none is asked for.
    """
    if evaluation is not None and evaluation < 1:
        raise BadInput(f"--examples-from {evaluation}: expected at least one evaluation example")
    left = n if evaluation is None else max(n - evaluation, 0)
    n_calibration = min(CALIBRATION, n // SHARE, left) if calibration is None else calibration
    n_evaluation = min(EVALUATION, n - n_calibration) if evaluation is None else evaluation
    if n_evaluation < 1 or n_evaluation + n_calibration > n:
        raise BadInput(
            f"{where}: {n} examples; asked for {max(n_evaluation, 1)} to evaluate and {n_calibration} to calibrate by, no "
            "example in both; ask for fewer by --examples-from and --calibration"
        )
    order = Stream("data", seed).permutation(n)
    return order[:n_evaluation], order[n_evaluation : n_evaluation + n_calibration]
