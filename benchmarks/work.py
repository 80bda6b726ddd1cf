"""What a round measures: the truth as it is made, one draw a slice, or what flatters the engine, draws of noise on one."""

from dataclasses import dataclass

from safer_bench.measurement.design import Probe
from safer_bench.measurement.gradients import N_PARTS
from safer_bench.networks.layers import Layer
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import perturbations
from safer_bench.perturbations.perturbation import Perturbation

NOISE, NOISE_LEVEL = "gaussian_noise", 0.3
KINDS = ("noise", "truth", "random", "exponent flips")
SPREAD = 9  # rounds whose slices lie evenly over the examples


@dataclass(frozen=True, slots=True)
class Work:
    """One row set.

    Attributes:
        kind: ``noise`` of one level, ``truth`` (every perturbation at every level), the ``random`` perturbations of it, or
            ``exponent flips`` at every level.
        n_examples: examples a probe sees.
        n_draws: of noise; all others have one draw a slice.
        n_layers: evenly chosen layers; all where there are fewer.
    """

    kind: str
    n_examples: int
    n_draws: int = 1
    n_layers: int = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """Probes of one layer that are timed together; ``faults``: of perturbations whose weights may be infinite."""

    faults: bool
    probes: tuple[Probe, ...]


def chosen(layers: tuple[Layer, ...], n: int) -> list[Layer]:
    """Return layers in the middle of n equal stretches, so that what follows them is as much work as in the mean."""
    n = min(n, len(layers))
    return [layers[int((i + 0.5) * len(layers) / n)] for i in range(n)]


def pieces(network: Network, work: Work, number: int) -> list[Piece]:
    """Return the work of a round, layer by layer.

    In the truth, a round meets every condition (perturbation and level) once, and every layer has its share of conditions,
    others in the next round. Rounds of noise are draws of one slice, all others have a slice of their own.
    """
    layers, n_slices = chosen(network.layers, work.n_layers), len(network.labels) // work.n_examples
    start = 0 if work.kind == "noise" else (1 + number * n_slices // SPREAD) % n_slices * work.n_examples
    found = []
    for place, layer in enumerate(layers):
        conditions = _conditions(work, number, place, len(layers))
        for faults in (False, True):
            probes = [
                Probe(layer, entry, level, draw, start, work.n_examples)
                for entry, level, draw in conditions
                if entry.faulty is faults
            ]
            found += [Piece(faults, tuple(probes))] if probes else []
    return found


def _conditions(work: Work, number: int, place: int, n_places: int) -> list[tuple[Perturbation, float, int]]:
    """Return (perturbation, level, draw) of one layer in a round; all draws use gradients of the same examples."""
    entries, draw = list(perturbations().values()), N_PARTS * number
    if work.kind == "noise":
        return [(perturbations()[NOISE], NOISE_LEVEL, work.n_draws * number + i) for i in range(work.n_draws)]
    if work.kind == "exponent flips":
        entry = perturbations()["float32_bit_flip_exponent"]
        return [(entry, level, draw) for level in entry.levels]
    return [
        (entry, level, draw)
        for i, entry in enumerate(entries)
        for j, level in enumerate(entry.levels)
        if (i + j + number) % n_places == place and not (work.kind == "random" and entry.deterministic)
    ]
