"""Who chooses what each layer gets: the measured drops, corrected by joint measurements, or scores by the rank rules."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from safer_bench.budget.images import calibration_examples, check_known, seen_examples, some_examples
from safer_bench.budget.plans.additive import cheapest
from safer_bench.budget.plans.by_rank import by_rank
from safer_bench.budget.plans.joint import Joint, corrected
from safer_bench.budget.plans.menu import Menu, narrowed
from safer_bench.budget.plans.predicted import predicted
from safer_bench.budget.plans.truths import Truth, drops_of, measured_examples
from safer_bench.budget.whole import WholeNetwork
from safer_bench.networks.network import Network

Array = np.ndarray
MOST_CHOOSING = 500  # examples that correct a plan, at most
Score = Callable[[Network, Menu], Mapping[str, float]]


class Chooser(Protocol):
    """Chooses.

    Attributes:
        menu: what layers may get.
        predicted: accuracy that each layer loses alone at each choice ``(n_layers, n_choices)``, nan where that was not
            measured; None where nothing was.
    """

    menu: Menu
    predicted: Array | None

    def __call__(self, most: float) -> tuple[Array, list[float]]:
        """Return each layer's choice such that a weight costs ``most`` on average at most, and each round's accuracy."""


class ByDrops:
    """Chooses what loses least by the drops of single layers, summed; then corrects it on examples that the truth saw."""

    def __init__(
        self, network: Network, menu: Menu, truth: Truth, draws: int = 1, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        layers = [layer.name for layer in network.layers]
        drops, costs = drops_of(network.name, menu.perturbation, truth)
        self.menu = narrowed(menu, layers, costs)
        seen = WholeNetwork(seen_examples(network, menu.perturbation, truth, MOST_CHOOSING))
        self._lost = predicted(network, self.menu, costs, seen.perturbed)
        if menu.task != "quantize":  # what is spared changes nothing; 8 bits may
            drops = {**{(layer, self.menu.levels[0]): 0.0 for layer in layers}, **drops}
        alone = [[drops.get((layer, level), np.nan) for level in self.menu.levels] for layer in layers]
        self.predicted: Array | None = np.array(alone)
        self._sizes = np.array([layer.parameters for layer in network.layers])
        self._joint, self._tell = Joint(seen, self.menu, draws), tell

    def uncorrected(self, most: float) -> Array:
        """Return each layer's choice by the additive model alone.

        Raises:
            BadInput: the budget cannot be met by levels that were measured.
        """
        self.menu.check(most)
        return cheapest(self._lost, self._sizes, np.array(self.menu.costs), most)

    def __call__(self, most: float) -> tuple[Array, list[float]]:
        """Return the corrected choices.

        Raises:
            BadInput: the budget cannot be met by levels that were measured.
        """
        start = self.uncorrected(most)
        tell = lambda step: self._tell(f"budget {self.menu.budget(most):g}, {step}")  # noqa: E731
        return corrected(self._joint, self._lost, self._sizes, most, start, tell)


class ByScores:
    """Chooses by the order of a criterion's scores."""

    def __init__(self, network: Network, menu: Menu, score: Score) -> None:
        scores = score(network, menu)
        self.menu = menu
        self.predicted: Array | None = None
        self._scores = np.array([scores[layer.name] for layer in network.layers])
        self._sizes = np.array([layer.parameters for layer in network.layers])

    def __call__(self, most: float) -> tuple[Array, list[float]]:
        """Return the choices of the rank rules; no rounds."""
        return by_rank(self.menu, self._scores, self._sizes, most), []


def choosing_network(network: Network, menu: Menu, truth: Truth | None, *, by_scores: bool) -> Network:
    """Return a network with examples that may choose, at most ``MOST_CHOOSING``: none of them judges the plan.

    Those that the truth saw, or will see where it is still to be measured for this plan; scores without a truth leave all
    evaluation examples to judge, so that the calibration examples choose.

    Raises:
        BadInput: the truth is of another network or has none of this perturbation, or there are too few examples.
    """
    if truth is not None:
        check_known(network, truth)
        return seen_examples(network, menu.perturbation, truth, MOST_CHOOSING)
    if by_scores:
        return calibration_examples(network, MOST_CHOOSING)
    return some_examples(network, 0, min(MOST_CHOOSING, measured_examples(network, menu)))
