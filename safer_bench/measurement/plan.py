"""Which probes are measured: layers x perturbations x levels x draws, and the examples each draw sees."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from safer_bench.errors import BadInput
from safer_bench.layers import Layer
from safer_bench.measurement.gradients import N_PARTS
from safer_bench.networks import Network
from safer_bench.perturbations import Perturbation, parse_perturbation, perturbations


@dataclass(frozen=True, slots=True)
class Probe:
    """One measurement: a layer perturbed once and judged on ``n_examples`` evaluation examples from ``example_start``."""

    layer: Layer
    perturbation: Perturbation
    level: float
    draw: int
    example_start: int
    n_examples: int


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is measured of every network.

    Attributes:
        perturbations: entries with the levels asked for.
        draws: draws of each random perturbation at each level; deterministic ones have one.
        n_examples: examples a probe sees, None for all; draw d sees slice d modulo the number of whole slices.
        seed: of all random streams.
        first_draw: number of the first draw; above 0, an earlier measurement is continued by further draws (in a run folder
            of its own, which ``pack`` merges), and deterministic perturbations are left out.
    """

    perturbations: tuple[tuple[Perturbation, tuple[float, ...]], ...]
    draws: int = 1
    n_examples: int | None = None
    seed: int = 0
    first_draw: int = 0

    def draws_of(self, entry: Perturbation) -> range:
        """Return the numbers of the draws of a perturbation."""
        if entry.deterministic:
            return range(1 if self.first_draw == 0 else 0)
        return range(self.first_draw, self.first_draw + self.draws)

    def slice_of(self, network: Network, draw: int) -> tuple[int, int]:
        """Return (first example, number of examples) of a draw.

        Raises:
            BadInput: a probe would see more examples than the network has.
        """
        total = len(network.labels)
        n_examples = total if self.n_examples is None else self.n_examples
        if not 1 <= n_examples <= total:
            raise BadInput(f"{n_examples} examples a probe; network {network.name!r} has {total} evaluation examples")
        return draw % (total // n_examples) * n_examples, n_examples


def make_protocol(
    specs: Sequence[str], draws: int = 1, n_examples: int | None = None, seed: int = 0, first_draw: int = 0
) -> Protocol:
    """Return the protocol for perturbations given as ``NAME[:LEVEL,...]``; all built-in ones where none is given.

    Raises:
        UnknownName: no perturbation has that name.
        BadInput: levels that are no numbers, a perturbation named twice, fewer than one draw.
    """
    chosen = tuple(parse_perturbation(spec) for spec in (specs or list(perturbations())))
    names = [entry.name for entry, _ in chosen]
    if len(set(names)) < len(names):
        raise BadInput(f"a perturbation is named twice: {', '.join(names)}; give all its levels at once")
    if draws < 1:
        raise BadInput(f"{draws} draws; expected at least one")
    if first_draw < 0:
        raise BadInput(f"first draw {first_draw}; draws are counted from 0")
    return Protocol(chosen, draws, n_examples, seed, first_draw)


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """What is measured and stored at once: all probes of one layer on one slice of examples."""

    layer: Layer
    example_start: int
    probes: tuple[Probe, ...]


def work_units(network: Network, protocol: Protocol) -> Iterator[WorkUnit]:
    """Yield the units of a network, slice by slice and layer by layer: the order in which least is computed again."""
    for start, n_examples in slices(network, protocol):
        for layer in network.layers:
            probes = (
                Probe(layer, entry, level, draw, start, n_examples)
                for entry, levels in protocol.perturbations
                for level in levels
                for draw in protocol.draws_of(entry)
                if protocol.slice_of(network, draw)[0] == start
            )
            if found := tuple(probes):
                yield WorkUnit(layer, start, found)


def slices(network: Network, protocol: Protocol) -> list[tuple[int, int]]:
    """Return (first example, number of examples) of each slice that a draw sees, in order."""
    draws = {draw for entry, _ in protocol.perturbations for draw in protocol.draws_of(entry)}
    return sorted({protocol.slice_of(network, draw) for draw in draws})


def n_probes(networks: Iterable[Network], protocol: Protocol) -> int:
    """Return the number of probes of all networks."""
    return sum(len(unit.probes) for network in networks for unit in work_units(network, protocol))


def check_measurable(network: Network, protocol: Protocol) -> None:
    """Refuse what could not be measured, before anything is.

    Raises:
        BadInput: no layers, no probes, more examples or draws than there are, or no probe examples for gradients.
    """
    if not network.layers:
        raise BadInput(
            f"network {network.name!r} has no layers: no weight of a convolution, linear layer or embedding is used"
        )
    if n_probes([network], protocol) == 0:
        raise BadInput("nothing to measure: further draws of deterministic perturbations would repeat the first")
    if not any("gradient" in entry.needs for entry, _ in protocol.perturbations):
        return
    if protocol.first_draw + protocol.draws > N_PARTS:
        raise BadInput(f"gradient perturbations have {N_PARTS} different draws, one for each part of the probe examples")
    if len(network.probe[1]) < N_PARTS:
        raise BadInput(f"network {network.name!r}: {len(network.probe[1])} probe examples, expected at least {N_PARTS}")
