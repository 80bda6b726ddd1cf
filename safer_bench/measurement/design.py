"""Which probes are measured: layers x perturbations x levels x draws, and the examples each draw sees."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safer_bench.errors import BadInput
from safer_bench.measurement.answers.canonical import check_answers
from safer_bench.measurement.gradients import N_PARTS
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.layers import Layer
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import package_of, parse_perturbation, perturbations
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.registry import absolute
from safer_bench.truth.slices import EXAMPLES, Slice, slice_of

DRAWS = 32  # of a random perturbation at each level, unless another number is asked for


@dataclass(frozen=True, slots=True)
class Probe:
    """One measurement: a layer perturbed once and judged on ``n_examples`` evaluation examples from ``example_start``."""

    layer: Layer
    perturbation: Perturbation
    level: float
    draw: int
    example_start: int
    n_examples: int


Draws = int | Mapping[str, Mapping[str, Sequence[int]]]  # of all alike, or by network, perturbation and level
FirstDraw = int | Mapping[str, int]  # of all alike, or by perturbation


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is measured of every network; ``make_protocol`` makes one.

    Attributes:
        specs: the perturbations as they were asked for.
        perturbations: their entries with the levels asked for.
        draws: draws of each random perturbation at each level; None for ``DRAWS``, or as many as a perturbation has, where
            that is fewer. Deterministic ones have one.
        n_examples: examples that a draw of a random perturbation sees, at most; None for all. See ``slice_of``.
        seed: of all random streams.
        first_draw: number of the first draw; above 0, an earlier measurement is continued by further draws (in a run folder
            of its own, which ``pack`` merges), and deterministic perturbations are left out.
        deterministic_examples: examples that deterministic perturbations see, the first ones, at most; None for all.
    """

    specs: tuple[str | Perturbation, ...]
    perturbations: tuple[tuple[Perturbation, tuple[float, ...]], ...]
    draws: Draws | None = None
    n_examples: int | None = EXAMPLES
    seed: int = 0
    first_draw: FirstDraw = 0
    deterministic_examples: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what was asked for: functions of a user's file have no importable name."""
        asked = (self.specs, self.draws, self.n_examples, self.seed, self.first_draw, self.deterministic_examples)
        return make_protocol, asked

    def first_of(self, perturbation: str) -> int:
        """Return the number of a perturbation's first draw."""
        return self.first_draw if isinstance(self.first_draw, int) else self.first_draw[perturbation]

    def draws_of(self, network: str, entry: Perturbation, level: float) -> range:
        """Return the numbers of the draws of a perturbation at a level."""
        first = self.first_of(entry.name)
        if entry.deterministic:
            return range(1 if first == 0 else 0)
        if self.draws is None:
            return range(first, min(first + DRAWS, most_draws(entry) or first + DRAWS))
        return range(first, first + self._n_draws(self.draws, network, entry, level))

    def _n_draws(self, draws: Draws, network: str, entry: Perturbation, level: float) -> int:
        if isinstance(draws, int):
            return draws
        return draws[network][entry.name][dict(self.perturbations)[entry].index(level)]

    def slice_of(self, network: Network, entry: Perturbation, draw: int) -> Slice:
        """Return (first example, number of examples) of a draw of a perturbation."""
        n_examples = self.deterministic_examples if entry.deterministic else self.n_examples
        return slice_of(draw, n_examples, len(network.labels))


def examples_asked(examples: int | None, deterministic: int | None) -> tuple[int | None, int | None]:
    """Return the examples of random and of deterministic perturbations, at most; None for all.

    Args:
        examples: number asked for, which holds for both; ``EXAMPLES`` a draw, and all for deterministic ones, where None.
        deterministic: number asked for of deterministic ones alone; that of ``examples`` where None.

    >>> examples_asked(None, None), examples_asked(100, None), examples_asked(100, 250)
    ((60, None), (100, 100), (100, 250))
    """
    return EXAMPLES if examples is None else examples, examples if deterministic is None else deterministic


def most_draws(entry: Perturbation) -> int | None:
    """Return how many different draws a perturbation has; None for no end of them."""
    return N_PARTS if "gradient" in entry.needs else None


def _spec(given: str | Perturbation) -> str | Perturbation:
    """Return what another process can read, where there is such a thing: a path that holds everywhere, or a name."""
    if isinstance(given, str):
        return absolute(given)
    return given.name if perturbations().get(given.name) is given or package_of(given) else given


def make_protocol(
    specs: Sequence[str | Perturbation],
    draws: Draws | None = None,
    n_examples: int | None = EXAMPLES,
    seed: int = 0,
    first_draw: FirstDraw = 0,
    deterministic_examples: int | None = None,
) -> Protocol:
    """Return the protocol for perturbations given as ``NAME[:LEVEL,...]`` or entries; all built-in ones where none is given.

    Raises:
        UnknownName: no perturbation has that name.
        BadInput: levels that are no numbers, a perturbation named twice, fewer than one draw or example.
    """
    readable = tuple(map(_spec, specs or perturbations()))
    parsed = tuple(parse_perturbation(spec) for spec in readable)
    names = [entry.name for entry, _ in parsed]
    if len(set(names)) < len(names):
        raise BadInput(f"a perturbation is named twice: {', '.join(names)}; give all its levels at once")
    if isinstance(draws, int) and draws < 1:
        raise BadInput(f"{draws} draws; expected at least one")
    for what, number in (("draw", n_examples), ("deterministic perturbation", deterministic_examples)):
        if number is not None and number < 1:
            raise BadInput(f"{number} examples a {what}; expected at least one")
    if isinstance(first_draw, int) and first_draw < 0:
        raise BadInput(f"first draw {first_draw}; draws are counted from 0")
    return Protocol(readable, parsed, draws, n_examples, seed, first_draw, deterministic_examples)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several shares of a run, counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``i/n``.

        Raises:
            BadInput: another form, or a number that is not from 1 to n.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise BadInput(f"shard {text!r}; expected i/n with i from 1 to n, such as 1/4")
        return cls(int(match[1]), int(match[2]))

    def stretch(self, n: int) -> tuple[int, int]:
        """Return first and last (exclusive) of this share of n things."""
        return n * (self.number - 1) // self.of, n * self.number // self.of


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """What is measured and stored at once: all probes of one layer on one slice of examples."""

    layer: Layer
    slice: Slice
    probes: tuple[Probe, ...]


class Design:
    """The work units of one network, slice by slice and layer by layer: the order in which least is computed again.

    Args:
        network: to measure.
        protocol: what is measured of it.

    Attributes:
        slices: (first example, number of examples) of each slice that a draw sees, in order.
    """

    def __init__(self, network: Network, protocol: Protocol) -> None:
        self.network = network
        self._conditions: dict[Slice, list[tuple[Perturbation, float, int]]] = {}
        for entry, levels in protocol.perturbations:
            for level in levels:
                for draw in protocol.draws_of(network.name, entry, level):
                    where = protocol.slice_of(network, entry, draw)
                    self._conditions.setdefault(where, []).append((entry, level, draw))
        self.slices = sorted(self._conditions)

    def conditions(self, where: Slice) -> list[tuple[Perturbation, float, int]]:
        """Return perturbation, level and draw of each probe of a unit on a slice."""
        return self._conditions[where]

    def places(self) -> Iterator[tuple[Slice, Layer]]:
        """Yield slice and layer of each unit in order, without its probes."""
        return ((where, layer) for where in self.slices for layer in self.network.layers)

    def units(self) -> Iterator[WorkUnit]:
        """Yield all units in order."""
        return (self.unit(*place) for place in self.places())

    def unit(self, where: Slice, layer: Layer) -> WorkUnit:
        """Return one unit."""
        return WorkUnit(layer, where, tuple(Probe(layer, *condition, *where) for condition in self._conditions[where]))

    def work(self, where: Slice, layer: Layer) -> float:
        """Return how much work a unit is, in multiply-accumulates: its probes run the layer and all that follow.

        A tenth of the network stands for what is done whichever layer is perturbed.
        """
        macs = sum(other.macs for other in self.network.layers if other.index >= layer.index)
        whole = sum(other.macs for other in self.network.layers)
        return len(self._conditions[where]) * where[1] * (macs + 0.1 * whole + 1)


def check_measurable(network: Network, protocol: Protocol) -> None:
    """Refuse what could not be measured, before anything is.

    Raises:
        BadInput: no layers, no probes, a slice without a label that counts, more draws than there are, no calibration
            examples for gradients, a model that fails in float64, one that answers the same examples differently each
            time, or a state of which there is no digest.
    """
    if not network.layers:
        names = "; ".join(f"{name} ({reason})" for name, reason in list(network.left_out.items())[:3])
        left = f". Left out: {names}" if names else ""
        raise BadInput(
            f"network {network.name!r} has no layers: no parameter of two dimensions or more is multiplied, convolved or "
            f"looked up{left}; a weight has to be a parameter that forward multiplies itself, such as x @ weight, not a "
            "copy of it"
        )
    if not Design(network, protocol).slices:
        raise BadInput(
            "nothing to measure: further draws of deterministic perturbations would repeat the first, those of gradient "
            f"perturbations from {N_PARTS} on too"
        )
    _check_slices(network, Design(network, protocol).slices)
    check_answers(network)
    _ = network.weights_sha256
    stops = [
        protocol.draws_of(network.name, entry, level).stop
        for entry, levels in protocol.perturbations
        for level in levels
        if "gradient" in entry.needs
    ]
    if not stops:
        return
    if max(stops) > N_PARTS:
        raise BadInput(
            f"gradient perturbations have {N_PARTS} different draws, one for each part of the calibration examples: "
            f"give {N_PARTS} at most"
        )
    n_calibration = len(network.calibration[1])
    if n_calibration < N_PARTS:
        raise BadInput(f"network {network.name!r}: {n_calibration} calibration examples, expected at least {N_PARTS}")


def _check_slices(network: Network, slices: Sequence[Slice]) -> None:
    for first, n in slices:
        if (network.labels[first : first + n] == NOT_COUNTED).all():
            raise BadInput(
                f"network {network.name!r}: no label of evaluation examples {first} to {first + n - 1}, which a draw sees, "
                f"counts (all are {NOT_COUNTED}); give a draw more examples, or leave out those without an answer"
            )
