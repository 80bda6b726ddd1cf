"""What a network gets right with all layers changed at once, and choices corrected by it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from safer_bench.budget.plans.additive import cheapest
from safer_bench.budget.plans.menu import Menu
from safer_bench.budget.protection import slice_of
from safer_bench.budget.whole import WholeNetwork
from safer_bench.truth.answers import begins

Array = np.ndarray
ROUNDS = 4
FLOOR = 0.002  # of accuracy: what two drops have to differ by to matter, so that 0 is corrected too
OnStep = Callable[[str], None]


@dataclass(slots=True)
class Joint:
    """Measures choices of all layers together on a network's evaluation examples.

    Attributes:
        whole: the network.
        menu: what layers get.
        draws: of bit errors; 1 where nothing is random. Draw d sees a fifth of the examples.
        first_draw: number of the first: those that judge are others than those that choose.
    """

    whole: WholeNetwork
    menu: Menu
    draws: int = 1
    first_draw: int = 0
    _weights: dict[tuple[int, int, int], Array] = field(default_factory=dict)
    _known: dict[bytes, Array] = field(default_factory=dict)

    def correct(self, choices: Array) -> Array:
        """Return which answers are right ``(n_draws, n_answers)``, nan where a draw does not see them.

        Where every layer is protected nothing is random: it is one draw that sees all.
        """
        key = choices.astype(np.int64).tobytes()
        if key not in self._known:
            self._known[key] = self._measured(choices)
        return self._known[key]

    def unchanged(self) -> Array:
        """Return which answers are right with the stored weights ``(1, n_answers)``."""
        return self.whole.correct({})[None].astype(np.float64)

    def _measured(self, choices: Array) -> Array:
        network = self.whole.network
        begin = begins(network.n_answers.numpy())
        draws = 1 if self.menu.task == "protect" and not choices.any() else self.draws
        correct = np.full((draws, begin[-1]), np.nan)
        for draw in range(draws):
            start, n = slice_of(draw, draws, len(network.labels)) if draws > 1 else (0, len(network.labels))
            weights = {layer.name: self._weight(layer.index, int(choices[layer.index]), draw) for layer in network.layers}
            right = self.whole.correct({name: each for name, each in weights.items() if each is not None}, start, n)
            correct[draw, begin[start] : begin[start + n]] = right
        return correct

    def _weight(self, layer: int, choice: int, draw: int) -> Array | None:
        """Return a layer's weight; None where it stays as it is stored."""
        level = self.menu.levels[choice]
        if self.menu.task == "prune" and level == 0.0:
            return None
        if (layer, choice, draw) not in self._weights:
            of, number = self.whole.network.layers[layer], self.first_draw + draw
            self._weights[layer, choice, draw] = self.whole.perturbed(of, self.menu.perturbation, level, number)
        return self._weights[layer, choice, draw]


def corrected(
    joint: Joint, drops: Array, sizes: Array, most: float, start: Array, tell: OnStep = lambda _: None
) -> tuple[Array, list[float]]:
    """Return choices that lose less together than those that the additive model starts with, and each round's accuracy.

    Drops do not add up: layers hide each other's errors, or add to them. So each round measures what the network gains when
    one layer alone is spared, layer by layer, scales that layer's predicted drops by it, and solves again. The best round
    counts, or the same choice for all layers where none is better. ``joint`` needs examples that judge nothing.

    Args:
        joint: what measures.
        drops: predicted ``(n_layers, n_choices)``.
        sizes: weights of each layer.
        most: that a weight may cost on average.
        start: choices of the additive model.
        tell: called before each round.
    """
    costs, choices, scaled = np.array(joint.menu.costs), start, drops
    accuracies = [float(np.nanmean(joint.correct(start)))]
    best, best_accuracy = start, accuracies[0]
    for number in range(ROUNDS):
        tell(f"correction, round {number + 1}")
        scaled = _rescaled(joint, drops, scaled, choices)
        choices = cheapest(scaled, sizes, costs, most)
        accuracies.append(float(np.nanmean(joint.correct(choices))))
        if accuracies[-1] > best_accuracy:
            best, best_accuracy = choices, accuracies[-1]
        elif accuracies[-1] < best_accuracy - FLOOR or np.array_equal(choices, best):
            break
    alike = np.full(len(sizes), np.flatnonzero(costs <= most + 1e-9)[0])
    if float(np.nanmean(joint.correct(alike))) > best_accuracy:
        best = alike
    return best, accuracies


def _rescaled(joint: Joint, drops: Array, before: Array, choices: Array) -> Array:
    """Return predicted drops with those of each changed layer scaled by what sparing it alone gains."""
    now, scaled = float(np.nanmean(joint.correct(choices))), before.copy()
    for layer in np.flatnonzero(choices):
        spared = choices.copy()
        spared[layer] = 0
        gain = max(0.0, float(np.nanmean(joint.correct(spared))) - now)
        scaled[layer] = drops[layer] * (gain + FLOOR) / (drops[layer, choices[layer]] + FLOOR)
        scaled[layer, choices[layer]] = gain
        scaled[layer, 1:] = np.maximum.accumulate(scaled[layer, 1:])
    return scaled
