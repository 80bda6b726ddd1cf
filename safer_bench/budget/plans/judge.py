"""What choices leave, measured on examples that chose nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from safer_bench.budget.equal_spending import uniform_at
from safer_bench.budget.intervals import IntervalEstimate, accuracy, accuracy_lost, allowing_for_unseen, gain
from safer_bench.budget.plans.additive import average_cost
from safer_bench.budget.plans.joint import Joint
from safer_bench.budget.plans.plan import Interval, Point

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Judge:
    """Measures choices on the examples that judge.

    Attributes:
        joint: of these examples.
        sizes: weights of each layer ``(n_layers,)``.
        costs: of one weight at each choice.
        examples: which each answer belongs to ``(n_answers,)``.
        unchanged: which answers are right with the stored weights ``(1, n_answers)``.
    """

    joint: Joint
    sizes: Array
    costs: Array
    examples: Array
    unchanged: Array

    def point(self, choices: Array, budget: float) -> Point:
        """Return what choices leave; ``budget`` is what was asked for."""
        right = self.joint.correct(choices)
        spent = self.joint.menu.budget(average_cost(choices, self.sizes, self.costs))
        estimate = allowing_for_unseen(accuracy(right, self.examples), _trials(right, self.examples), least=0.0)
        return Point(
            budget=budget,
            spent=float(spent),
            accuracy=interval_of(estimate),
            drop=drop_interval(self.unchanged, right, self.examples),
        )

    def gain(self, choices: Array) -> Interval:
        """Return the accuracy of choices minus that of all layers alike at equal spending, paired by answer.

        The interval allows for what was not seen on these examples. Both meet the same bit errors, so draws do not count.
        """
        alike = {float(cost): self.joint.correct(np.full(len(self.sizes), i)) for i, cost in enumerate(self.costs)}
        uniform = uniform_at(average_cost(choices, self.sizes, self.costs), alike)
        right = self.joint.correct(choices)
        shape = np.broadcast_shapes(right.shape, uniform.shape)  # of one draw is what has nothing random
        found = gain(np.broadcast_to(right, shape), np.broadcast_to(uniform, shape), self.examples)
        is_uniform = len(set(choices.tolist())) == 1
        return interval_of(found if is_uniform else allowing_for_unseen(found, len(np.unique(self.examples))))

    def uniform(self, tell: Callable[[str], None]) -> Iterator[Point]:
        """Yield what all layers alike leave, at every choice."""
        for choice, cost in enumerate(self.costs.tolist()):
            tell(f"judging uniform {self.joint.menu.budget(cost):g}")
            yield self.point(np.full(len(self.sizes), choice), self.joint.menu.budget(cost))


def judge_of(joint: Joint, sizes: Array) -> Judge:
    """Return what judges on the examples of ``joint``; ``sizes``: weights of each layer."""
    network = joint.whole.network
    examples = np.repeat(np.arange(len(network.labels)), network.n_answers.numpy())
    return Judge(joint, sizes, np.array(joint.menu.costs), examples, joint.unchanged())


def drop_interval(unchanged: Array, right: Array, examples: Array) -> Interval:
    """Return the mean of unchanged minus right, paired by answer, with a 95 % interval that allows for what was not seen.

    Args:
        unchanged: which answers are right ``(1, n_answers)``.
        right: the same after the change ``(n_draws, n_answers)``, nan where unseen.
        examples: which each answer belongs to ``(n_answers,)``.
    """
    return interval_of(accuracy_lost(unchanged, right, examples, _trials(right, examples)))


def _trials(right: Array, examples: Array) -> int:
    """Return the number of draws, of which one may lose everything; of examples where nothing is drawn."""
    return len(right) if len(right) > 1 else len(np.unique(examples))


def interval_of(estimate: IntervalEstimate) -> Interval:
    """Return it as a plan holds it."""
    low, high = (None if np.isnan(end) else float(end) for end in (estimate.low, estimate.high))
    return Interval(value=estimate.mean, low=low, high=high)
