"""Values of cells -> means over perturbations, use cases, networks and families, in this order; no I/O.

Undefined values count as 0. Each mean is a fixed weighting of cells, so that many criteria are averaged at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from safer_bench.tables.coding import ranked

Array = np.ndarray
MIN_LAYERS = 10  # networks with fewer are shown apart


@dataclass(frozen=True, slots=True)
class Cells:
    """Networks under perturbations, none twice; all by number.

    Attributes:
        networks, families: names, sorted.
        family: of each network ``(n_networks,)``.
        case: use case of each perturbation ``(n_perturbations,)``.
        network, perturbation: of each cell ``(n_cells,)``.
    """

    networks: list[str]
    families: list[str]
    family: Array
    case: Array
    network: Array
    perturbation: Array

    def part(self, wanted: Array) -> "Cells":
        """Return some of the cells."""
        return replace(self, network=self.network[wanted], perturbation=self.perturbation[wanted])


def number_cells(cells: Sequence[tuple[str, str]], families: Mapping[str, str], use_cases: Mapping[str, str]) -> Cells:
    """Return cells by number.

    Args:
        cells: (network, perturbation) of each, none twice.
        families: family of each network.
        use_cases: use case of each perturbation.
    """
    networks, perturbations = ({name: i for i, name in enumerate(sorted(set(names)))} for names in _columns(cells))
    of_networks = [families[name] for name in networks]
    return Cells(
        networks=list(networks),
        families=sorted(set(of_networks)),
        family=ranked(of_networks),
        case=ranked([use_cases[name] for name in perturbations]),
        network=np.array([networks[network] for network, _ in cells], dtype=np.int64),
        perturbation=np.array([perturbations[name] for _, name in cells], dtype=np.int64),
    )


def _columns(cells: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [network for network, _ in cells], [name for _, name in cells]


def averaged(weights: Array, values: Array) -> Array:
    """Return means of values ``(..., n_cells)`` by weights ``(n_groups, n_cells)``: ``(..., n_groups)``.

    Products are summed in numpy's own order: a matrix library's depends on the processor.
    """
    return np.sum(np.ascontiguousarray(values)[..., None, :] * weights, axis=-1)


def family_weights(cells: Sequence[tuple[str, str]], families: Mapping[str, str], use_cases: Mapping[str, str]) -> Array:
    """Return what each cell weighs in the mean of each family ``(n_families, n_cells)``, families sorted; rows sum to 1.

    Args:
        cells, families, use_cases: as for ``number_cells``.
    """
    numbers = number_cells(cells, families, use_cases)
    return group_weights(numbers, numbers.family)


def group_weights(cells: Cells, group: Array) -> Array:
    """Return what each cell weighs in the mean of each group of networks; rows sum to 1, those of groups without cells to 0.

    Args:
        cells: to be averaged.
        group: of each network ``(n_networks,)``.

    Returns:
        ``(n_groups, n_cells)``.
    """
    case = cells.case[cells.perturbation]
    members = np.zeros((len(cells.networks), max(cells.case, default=-1) + 1), dtype=np.int64)
    np.add.at(members, (cells.network, case), 1)
    n_cases = (members > 0).sum(axis=1)
    n_networks = np.bincount(group[n_cases > 0], minlength=max(group, default=-1) + 1)
    counts = members[cells.network, case] * n_cases[cells.network] * n_networks[group[cells.network]]
    mine = np.arange(len(n_networks))[:, None] == group[cells.network]
    return np.divide(1.0, counts, out=np.zeros(mine.shape), where=mine)
