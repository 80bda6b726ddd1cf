"""Values of cells -> means over variants, perturbations, networks and families, in this order; no I/O.

Undefined values count as 0. Each mean is a fixed weighting of cells, so that many criteria are averaged at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from safer_bench.tables.coding import ranked

Array = np.ndarray
MIN_LAYERS = 10  # networks with fewer are shown apart
COINCIDE = {"random_corruption_l2": "gaussian_noise"}  # its norm is exact, the other's on average: not counted twice


@dataclass(frozen=True, slots=True)
class Cells:
    """Networks under perturbations, none twice; all by number.

    Attributes:
        networks, families: names, sorted.
        family: of each network ``(n_networks,)``.
        kind: family of each perturbation ``(n_perturbations,)``.
        twin: of each perturbation the one that it coincides with ``(n_perturbations,)``; -1: none.
        network, perturbation: of each cell ``(n_cells,)``.
    """

    networks: list[str]
    families: list[str]
    family: Array
    kind: Array
    twin: Array
    network: Array
    perturbation: Array

    def part(self, wanted: Array) -> "Cells":
        """Return some of the cells."""
        return replace(self, network=self.network[wanted], perturbation=self.perturbation[wanted])


def number_cells(
    cells: Sequence[tuple[str, str]], families: Mapping[str, str], perturbation_families: Mapping[str, str]
) -> Cells:
    """Return cells by number.

    Args:
        cells: (network, perturbation) of each, none twice.
        families: family of each network.
        perturbation_families: family of each perturbation.
    """
    networks, perturbations = ({name: i for i, name in enumerate(sorted(set(names)))} for names in _columns(cells))
    of_networks = [families[name] for name in networks]
    return Cells(
        networks=list(networks),
        families=sorted(set(of_networks)),
        family=ranked(of_networks),
        kind=ranked([perturbation_families[name] for name in perturbations]),
        twin=np.array([perturbations.get(COINCIDE.get(name, ""), -1) for name in perturbations], dtype=np.int64),
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


def family_weights(
    cells: Sequence[tuple[str, str]], families: Mapping[str, str], perturbation_families: Mapping[str, str]
) -> Array:
    """Return what each cell weighs in the mean of each family ``(n_families, n_cells)``, families sorted; rows sum to 1.

    Args:
        cells, families, perturbation_families: as for ``number_cells``.
    """
    numbers = number_cells(cells, families, perturbation_families)
    return group_weights(numbers, numbers.family)


def group_weights(cells: Cells, group: Array) -> Array:
    """Return what each cell weighs in the mean of each group of networks; rows sum to 1, those of groups without cells to 0.

    A cell weighs nothing where its network has one under the perturbation that it coincides with.

    Args:
        cells: to be averaged.
        group: of each network ``(n_networks,)``.

    Returns:
        ``(n_groups, n_cells)``.
    """
    there = np.zeros((len(cells.networks), len(cells.twin) + 1), dtype=bool)  # the last perturbation is the twin of none
    there[cells.network, cells.perturbation] = True
    counted = ~there[cells.network, cells.twin[cells.perturbation]]
    variants = np.zeros((len(cells.networks), len(cells.twin)), dtype=np.int64)
    kind = cells.kind[cells.perturbation]
    np.add.at(variants, (cells.network[counted], kind[counted]), 1)
    n_kinds = (variants > 0).sum(axis=1)
    members = np.bincount(group[there.any(axis=1)], minlength=max(group, default=-1) + 1)
    counts = variants[cells.network, kind] * n_kinds[cells.network] * members[group[cells.network]]
    mine = np.arange(len(members))[:, None] == group[cells.network]
    return np.divide(1.0, counts, out=np.zeros(mine.shape), where=mine & counted)
