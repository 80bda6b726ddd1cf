"""Whether drops add up: what random sets of layers lose at once, against the sum of what each loses alone.

It decides how much a ranking can buy: where drops add up, the best set of layers is the set of the best layers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from safer_bench.budget.images import own_examples
from safer_bench.budget.protection import slice_of
from safer_bench.budget.whole import WholeNetwork
from safer_bench.errors import BadInput
from safer_bench.measurement.progress import OnProgress
from safer_bench.metrics import ROUNDING
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.stream import Stream
from safer_bench.tables import schema

Array = np.ndarray
N_SETS = 50
N_LEVELS = 2  # the mildest: at severe ones few layers are enough to lose everything
OnShare = Callable[[str, float], None]  # (step, share done)
PERTURBATIONS = ("magnitude_prune", "quantize", "int8_bit_flip")


@dataclass(frozen=True, slots=True)
class Fit:
    """How far sums of drops tell joint drops, of one network at one level.

    Attributes:
        network, perturbation, level: where.
        n_sets: number of sets.
        correlation: Pearson's, of joint drop and sum; this and what follows are nan where one of them is constant.
        slope: of the joint drop on the sum, by least squares.
        explained: share of the variance of joint drops that the sums account for as they are; below 0 where the mean
            joint drop would do better.
    """

    network: str
    perturbation: str
    level: float
    n_sets: int
    correlation: float
    slope: float
    explained: float


def layer_sets(n_layers: int, name: str) -> list[Array]:
    """Return 50 random sets of layers, of sizes 2 to n_layers / 2 in turn (all sizes alike), as sorted numbers."""
    sizes = range(2, max(3, n_layers // 2 + 1))
    return [np.sort(Stream("budget", name, "set", i).permutation(n_layers)[: sizes[i % len(sizes)]]) for i in range(N_SETS)]


def additivity(
    networks: Sequence[Network], specs: Sequence[str] = (), draws: int = 10, report: OnProgress = lambda *_: None
) -> pa.Table:
    """Measure joint drops and sums of drops on the same images and with the same perturbed weights.

    No truth guides anything here, so a network without images of its own for budgets keeps its evaluation examples.

    Args:
        networks: to measure.
        specs: ``NAME[:LEVEL,...]``; of a bare name the two mildest levels. Three kinds of compression and faults by default.
        draws: of random perturbations; deterministic ones have one.
        report: called with (step, done, total).

    Returns:
        Table ``budget_additivity``, one row a set.

    Raises:
        UnknownName: no perturbation has that name.
        BadInput: no draws.
        MissingData: the images are not on this machine.
    """
    if draws < 1:
        raise BadInput(f"{draws} draws; expected at least 1")
    conditions = [condition for spec in specs or PERTURBATIONS for condition in _levels(spec)]
    rows: list[dict[str, object]] = []
    for i, network in enumerate(networks):
        whole = WholeNetwork(own_examples(network))
        for j, (entry, level) in enumerate(conditions):
            done, total = i * len(conditions) + j, len(networks) * len(conditions)
            on_share = lambda step, share, done=done, total=total: report(step, done + share, total)  # noqa: E731
            rows += _rows(whole, entry, level, 1 if entry.deterministic else draws, on_share)
    return schema.build("budget_additivity", rows)


def _rows(
    whole: WholeNetwork, entry: Perturbation, level: float, draws: int, report: OnShare
) -> Iterator[dict[str, object]]:
    network = whole.network
    sets = layer_sets(len(network.layers), network.name)
    joint, alone = _drops(whole, entry.name, level, sets, draws, report)
    shared: dict[str, object] = {
        "network": network.name,
        "dataset": network.dataset,
        "split": network.split,
        "perturbation": entry.name,
    }
    shared |= {"level": level, "n_examples": len(network.labels), "draws": draws}
    for i, (members, drop) in enumerate(zip(sets, joint, strict=True)):
        names = " ".join(network.layers[layer].name for layer in members)
        drops = {"joint_drop": float(drop), "sum_of_drops": float(alone[members].sum())}
        yield shared | {"set": i, "layers": names} | drops


def _levels(spec: str) -> list[tuple[Perturbation, float]]:
    entry, levels = parse_perturbation(spec)
    return [(entry, level) for level in (levels if ":" in spec else levels[:N_LEVELS])]


def _drops(
    whole: WholeNetwork,
    perturbation: str,
    level: float,
    sets: Sequence[Array],
    draws: int,
    report: OnShare,
) -> tuple[Array, Array]:
    """Return the mean drop of each set and of each layer alone."""
    layers = whole.network.layers
    groups = [*sets, *(np.array([i]) for i in range(len(layers)))]
    lost = np.zeros(len(groups))
    for draw in range(draws):
        start, n = slice_of(draw, draws, len(whole.network.labels))
        clean = int(whole.correct({}, start, n).sum())
        changed = [whole.perturbed(layer, perturbation, level, draw) for layer in layers]
        for i, group in enumerate(groups):
            report(f"{whole.network.name} {perturbation} {level:g}", (draw * len(groups) + i) / (draws * len(groups)))
            right = whole.correct({layers[j].name: changed[j] for j in group}, start, n)
            lost[i] += (clean - int(right.sum())) / len(right)
    return lost[: len(sets)] / draws, lost[len(sets) :] / draws


def fits(table: pa.Table) -> list[Fit]:
    """Return how far sums tell joint drops, for each network, perturbation and level of ``budget_additivity``."""
    groups: dict[tuple[str, str, float], list[tuple[float, float]]] = {}
    for row in table.to_pylist():
        key = (row["network"], row["perturbation"], row["level"])
        groups.setdefault(key, []).append((row["sum_of_drops"], row["joint_drop"]))
    return [Fit(*key, len(pairs), *_fit(np.array(pairs).T)) for key, pairs in groups.items()]


def _fit(pairs: Array) -> tuple[float, float, float]:
    """Return correlation, slope and explained share of (sum, joint drop), ``(2, n_sets)``."""
    total, joint = pairs
    if any(np.ptp(drops) <= ROUNDING for drops in pairs):  # one answer of a million would be more
        return float("nan"), float("nan"), float("nan")
    variance = joint.var()
    covariance = np.mean((total - total.mean()) * (joint - joint.mean()))
    correlation = np.clip(covariance / np.sqrt(variance * total.var()), -1.0, 1.0)
    explained = 1.0 - np.mean((joint - total) ** 2) / variance
    return float(correlation), float(covariance / total.var()), float(explained)
