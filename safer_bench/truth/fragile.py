"""What an engineer wants of a finished run: the most fragile layers with intervals, and those that hold half of the loss."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from safer_bench.tables.grouping import grouped
from safer_bench.tables.pictures import encoded, new_figure
from safer_bench.truth.answers import mean_drop
from safer_bench.truth.area import area_weights
from safer_bench.truth.cells import Cell, cells_of
from safer_bench.truth.run_folder import RunFolder
from safer_bench.truth.standard_errors import standard_errors

Array = np.ndarray
MOST_SHOWN = 15
MARKERS = "osD^vP*X<>hdp8H"  # one a perturbation, from the first again where they do not last


@dataclass(frozen=True, slots=True)
class AreaEstimates:
    """Areas ``(n_layers,)`` and their standard errors; nan where one draw cannot tell.

    ``freedom`` is that of the errors: draws less one, those of the level with the fewest; infinite where none is random.
    """

    values: Array
    errors: Array
    freedom: float

    @property
    def halfwidths(self) -> Array:
        """Half the width of the 95 % intervals, by Student's t."""
        from scipy.stats import t  # here, since it alone takes half a second to import

        return np.asarray(t.ppf(0.975, self.freedom) * self.errors)


@dataclass(frozen=True, slots=True)
class Fragility:
    """The layers of one network, most fragile first.

    Attributes:
        network: its name.
        layers: names.
        shares: of each layer in all parameters of the network, biases and what is no layer too ``(n_layers,)``.
        overall: mean of the areas over perturbations.
        by_perturbation: area under each.
    """

    network: str
    layers: tuple[str, ...]
    shares: Array
    overall: AreaEstimates
    by_perturbation: dict[str, AreaEstimates]

    @property
    def to_protect(self) -> int:
        """Number of layers, from the most fragile on, that hold half of all layers' summed area."""
        gained = np.cumsum(np.maximum(self.overall.values, 0.0))
        return int(np.searchsorted(gained, gained[-1] / 2)) + 1 if gained[-1] > 0 else 0


def fragility(run: RunFolder) -> list[Fragility]:
    """Return the layers of every network of a finished run.

    Raises:
        BadInput: the run is not finished, or a network has no accuracy to lose.
    """
    cells = cells_of(run.probes(), run.table("networks"), run.table("perturbations"))
    networks = grouped(cells, key=lambda cell: cell.identity["network"])
    totals = {row["network"]: row["parameters"] for row in run.table("networks").to_pylist()}
    layers = run.table("layers").to_pylist()
    shares = {(row["network"], row["layer"]): row["parameters"] / totals[row["network"]] for row in layers}
    return [_fragility(name, of_one, shares) for name, of_one in networks.items()]


def _fragility(network: str, cells: list[Cell], shares: dict[tuple[str, str], float]) -> Fragility:
    estimates = {cell.identity["perturbation"]: _estimate([cell]) for cell in cells}
    overall = _estimate(cells)
    order = np.argsort(-overall.values, kind="stable")
    layers = tuple(cells[0].layers[i] for i in order)
    sort = lambda estimate: AreaEstimates(estimate.values[order], estimate.errors[order], estimate.freedom)  # noqa: E731
    return Fragility(
        network,
        layers,
        np.array([shares[network, layer] for layer in layers]),
        sort(overall),
        {name: sort(estimate) for name, estimate in estimates.items()},
    )


def _estimate(cells: list[Cell]) -> AreaEstimates:
    """Return the mean area over cells; the errors of random and deterministic ones, which share examples, add up at most."""
    n_layers = len(cells[0].layers)
    values, errors = np.zeros(n_layers), np.zeros(n_layers)
    for deterministic in (False, True):
        alike = [cell for cell in cells if cell.deterministic == deterministic]
        if alike:
            changes = [level for cell in alike for level in cell.changes]
            shares = [area_weights(cell.levels, cell.scale) / cell.above_chance for cell in alike]
            weights = np.concatenate(shares) / len(cells)
            most = max(alike, key=lambda cell: len(cell.slices))
            errors = errors + standard_errors(
                changes, weights, most.slices, deterministic=deterministic, answers=most.answers
            )
            drops = [mean_drop(level, cell.answers) for cell in alike for level in cell.changes]
            values = values + np.sum([w * drop for w, drop in zip(weights, drops, strict=True)], axis=0)
    draws = [len(level) for cell in cells if not cell.deterministic for level in cell.changes]
    return AreaEstimates(values, errors, min(draws) - 1 if draws else np.inf)


def header(found: Fragility) -> list[str]:
    """Return the columns of ``rows``."""
    return ["layer", "parameters", "mean", *found.by_perturbation]


def rows(found: Fragility, n: int = MOST_SHOWN) -> list[list[str]]:
    """Return the n most fragile layers as text: share of all parameters, areas with half-widths of 95 % intervals."""
    columns = [found.overall, *found.by_perturbation.values()]
    return [
        [layer, f"{found.shares[i]:.1%}", *(_with_interval(column, i) for column in columns)]
        for i, layer in enumerate(found.layers[:n])
    ]


def cut(found: Fragility, n: int = MOST_SHOWN) -> str:
    """Return a line that says how many layers ``rows`` leaves out; nothing where it shows all."""
    left_out = len(found.layers) - n
    return f"... {left_out} more, less fragile\n" if left_out > 0 else ""


def _with_interval(estimate: AreaEstimates, i: int) -> str:
    interval = f" ± {estimate.halfwidths[i]:.3f}" if estimate.errors[i] > 0 else ""  # of an error of 0 nothing was seen
    return f"{estimate.values[i]:.3f}{interval}"


def advice(found: Fragility) -> str:
    """Name the layers that hold half of what is lost, or say that none surely loses anything, or that nothing tells it."""
    n, values, halfwidths = found.to_protect, found.overall.values, found.overall.halfwidths
    if n == 0:
        return f"{found.network}: no layer lost accuracy at these levels; measure more severe ones."
    if np.isnan(halfwidths).any():
        return f"{found.network}: a single draw does not tell which layers are fragile; measure more draws."
    if (values - halfwidths).max() <= 0:
        return f"{found.network}: no layer surely lost accuracy; measure more draws or examples, or more severe levels."
    share = found.shares[:n].sum()
    return (
        f"Most fragile: {', '.join(found.layers[:n])} ({n} of {len(found.layers)} layers, {share:.1%} of all parameters): "
        f"at least half of what all layers lose.{_doubt(found, n)}"
    )


def _doubt(found: Fragility, n: int) -> str:
    """Say so where the layer after the first n does not surely lose less than the last of them."""
    values, halfwidths = found.overall.values[n - 1 : n + 1], found.overall.halfwidths[n - 1 : n + 1]
    if len(values) < 2 or values[0] - values[1] > np.hypot(*halfwidths):
        return ""
    return f" The next, {found.layers[n]}, may be as fragile as the last of them."


def picture(found: Fragility, ending: str, n: int = MOST_SHOWN) -> bytes:
    """Draw the n most fragile layers with 95 % intervals; return the bytes of a file with this ending."""
    layers = found.layers[:n]
    figure, (axes,) = new_figure(8, 1.2 + 0.32 * len(layers))
    axes.barh(np.arange(len(layers)), found.overall.values[:n], color="0.85", label="mean")
    offsets = np.linspace(-0.3, 0.3, len(found.by_perturbation)) if len(found.by_perturbation) > 1 else [0.0]
    for name, offset, marker in zip(found.by_perturbation, offsets, cycle(MARKERS), strict=False):
        _draw_estimate(axes, found.by_perturbation[name], n, offset, fmt=marker, label=name)
    axes.set_yticks(np.arange(len(layers)), layers)
    axes.invert_yaxis()
    axes.axvline(0, color="0.5", lw=0.8)
    axes.set_xlabel("share of the accuracy above chance that is lost (area over levels), with 95 % intervals")
    axes.set_title(f"{found.network}: most fragile layers")
    axes.legend(frameon=False, fontsize="small", loc="lower right")
    return encoded(figure, ending)


def _draw_estimate(axes: Any, estimate: AreaEstimates, n: int, offset: float, **style: str) -> None:
    """Draw one perturbation's values of the first n layers beside their lines."""
    values, widths = estimate.values[:n], np.nan_to_num(estimate.halfwidths[:n])
    axes.errorbar(values, np.arange(len(values)) + offset, xerr=widths, markersize=4, lw=1, **style)
