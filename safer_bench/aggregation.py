"""Values of cells -> means over variants, perturbations, networks and families, in this order; no I/O.

Undefined values count as 0. Each mean is a fixed weighting of cells, so that many criteria are averaged at once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

Array = np.ndarray
MIN_LAYERS = 10  # networks with fewer are shown apart


def family_weights(
    cells: Sequence[tuple[str, str]], families: Mapping[str, str], perturbation_families: Mapping[str, str]
) -> Array:
    """Return what each cell weighs in the mean of each family ``(n_families, n_cells)``, families sorted; rows sum to 1.

    Args:
        cells: (network, perturbation) of each, none twice.
        families: family of each network.
        perturbation_families: family of each perturbation.
    """
    kinds = [(network, perturbation_families[perturbation]) for network, perturbation in cells]
    variants, kinds_of = Counter(kinds), Counter(network for network, _ in set(kinds))
    members = Counter(families[network] for network in kinds_of)
    names = sorted(members)
    weights = np.zeros((len(names), len(cells)))
    for place, (network, kind) in enumerate(kinds):
        family = families[network]
        weights[names.index(family), place] = 1.0 / (variants[network, kind] * kinds_of[network] * members[family])
    return weights
