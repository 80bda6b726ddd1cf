"""What there is to spend a budget on: pruning, quantization, protection from bit errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safer_bench.errors import BadInput
from safer_bench.registry import suggestion


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of budget.

    Attributes:
        name: of the task.
        perturbations: what layers get, and the levels tried (bit-error rates; none where the budget itself says how
            much); the first is the default.
        budgets: the default ones, generous to tight.
        domain: smallest and largest budget that make sense; a share's ends are no budgets.
        unit: of the budget.
        phrase: what is done with a budget.
    """

    name: str
    perturbations: Mapping[str, tuple[float, ...]]
    budgets: tuple[float, ...]
    domain: tuple[float, float]
    unit: str
    phrase: str

    def label(self, perturbation: str) -> str:
        """Return what tells results from others: the task's name, and the perturbation unless it is the usual one.

        >>> [TASKS["quantize"].label(name) for name in ("quantize", "quantize_per_channel")]
        ['quantize', 'quantize-quantize_per_channel']
        """
        usual = perturbation == next(iter(self.perturbations)) and not self.perturbations[perturbation]
        return self.name if usual else f"{self.name}-{perturbation}"

    def spending(self, budget: float) -> str:
        """Say what is done with a budget."""
        return self.phrase.format(budget=budget, percent=100 * budget)

    def amount(self, spent: float) -> str:
        """Say how much was spent."""
        return f"{spent:.3g} bits" if self.name == "quantize" else f"{100 * spent:.3g} %"

    def chosen_budgets(self, given: Sequence[float]) -> tuple[float, ...]:
        """Return the budgets to measure: those given, sorted, or the default ones.

        Raises:
            BadInput: a budget outside the domain.
        """
        low, high = self.domain
        for budget in given:
            if not (low < budget < high or (self.name == "quantize" and budget in self.domain)):
                raise BadInput(f"budget {budget:g} of task {self.name!r}; expected {self.unit} from {low:g} to {high:g}")
        return tuple(sorted(set(given), reverse=self.name == "quantize")) or self.budgets

    def chosen_levels(self, perturbation: str, given: Sequence[float]) -> tuple[float | None, ...]:
        """Return the levels to measure; one None where the budget itself says how much.

        Raises:
            BadInput: levels of a task that has none, or a level that is no rate.
        """
        if given and not self.perturbations[perturbation]:
            raise BadInput(f"task {self.name!r} has no levels: its budget says how much; leave out --level")
        for level in given:
            if not 0.0 < level < 1.0:
                raise BadInput(f"level {level:g} of {perturbation}; expected a bit-error rate between 0 and 1")
        return tuple(sorted(set(given))) or self.perturbations[perturbation] or (None,)


# Bit-error rates: on validation networks (vgg10, digits_cnn, digits_mlp) they cost about 3, 20 and 60 points where nothing
# is protected.
RATES = {"int8_bit_flip": (0.003, 0.01, 0.03), "float32_bit_flip": (1e-06, 3e-06, 1e-05)}
TASKS = {
    task.name: task
    for task in (
        Task(
            "prune",
            {"magnitude_prune": ()},
            (0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
            (0.0, 1.0),
            "share of the weights pruned",
            "pruning {percent:g} % of the weights",
        ),
        Task(
            "quantize",
            {"quantize": (), "quantize_per_channel": ()},
            (6.0, 5.0, 4.0, 3.5, 3.0),
            (2.0, 8.0),
            "mean bits",
            "{budget:g} bits a weight",
        ),
        Task(
            "protect",
            RATES,
            (0.01, 0.05, 0.1, 0.2, 0.5),
            (0.0, 1.0),
            "share of the weights",
            "protecting {percent:g} % of the weights",
        ),
    )
}
ADDITIVITY = "additivity"


def look_up_task(name: str) -> Task:
    """Return the task called ``name``.

    Raises:
        BadInput: there is none.
    """
    if name not in TASKS:
        names = (*TASKS, ADDITIVITY)
        raise BadInput(f"task {name!r}; expected one of {', '.join(names)}.{suggestion(name, names)}")
    return TASKS[name]


def look_up_perturbation(task: Task, name: str | None) -> str:
    """Return the perturbation of a task, the default where None.

    Raises:
        BadInput: the task has no such perturbation.
    """
    if name is not None and name not in task.perturbations:
        raise BadInput(f"perturbation {name!r} of task {task.name!r}; expected {' or '.join(task.perturbations)}")
    return name or next(iter(task.perturbations))
