"""Answers that change, simulated."""

import numpy as np

LAYERS = np.linspace(0.1, 0.5, 6)


def simulate(rng, n_draws, n_examples, shared, spread=0.0):
    """Draw changes of one level: the probability to break depends on the layer, the draw and the example."""
    n_sets = 1 if shared else n_draws
    ease = rng.normal(0, 0.15, (n_sets, 1, n_examples))
    luck = rng.normal(0, spread, (n_draws, len(LAYERS), 1))
    broken = rng.random((n_draws, len(LAYERS), n_examples)) < np.clip(LAYERS[:, None] + ease + luck, 0, 1)
    slices = np.zeros(n_draws, int) if shared else np.arange(n_draws) * n_examples
    return [broken.astype(np.int8)], slices
