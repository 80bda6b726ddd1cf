"""Values of cells -> means over variants, perturbations, networks and families, in this order; no I/O.

Undefined values count as 0. Each mean is a fixed weighting of cells, so that many criteria are averaged at once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

Array = np.ndarray
MIN_LAYERS = 10  # networks with fewer are shown apart
COINCIDE = {"random_corruption_l2": "gaussian_noise"}  # its norm is exact, the other's on average: not counted twice


def averaged(weights: Array, values: Array) -> Array:
    """Return means of values ``(..., n_cells)`` by weights ``(n_families, n_cells)``: ``(..., n_families)``.

    Products are summed in numpy's own order: a matrix library's depends on the processor.
    """
    return np.sum(np.ascontiguousarray(values)[..., None, :] * weights, axis=-1)


def family_weights(
    cells: Sequence[tuple[str, str]], families: Mapping[str, str], perturbation_families: Mapping[str, str]
) -> Array:
    """Return what each cell weighs in the mean of each family ``(n_families, n_cells)``, families sorted; rows sum to 1.

    A cell weighs nothing where its network has one under the perturbation that it coincides with.

    Args:
        cells: (network, perturbation) of each, none twice.
        families: family of each network.
        perturbation_families: family of each perturbation.
    """
    present = set(cells)
    counted = [i for i, (network, name) in enumerate(cells) if (network, COINCIDE.get(name)) not in present]
    group_of = {i: (cells[i][0], perturbation_families[cells[i][1]]) for i in counted}
    variants, n_groups = Counter(group_of.values()), Counter(network for network, _ in set(group_of.values()))
    members = Counter(families[network] for network in n_groups)
    names = sorted(members)
    weights = np.zeros((len(names), len(cells)))
    for i, (network, perturbation_family) in group_of.items():
        family = families[network]
        weights[names.index(family), i] = 1.0 / (
            variants[network, perturbation_family] * n_groups[network] * members[family]
        )
    return weights
