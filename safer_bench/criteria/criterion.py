"""What one criterion is: a function of a model and batches that gives every layer a score; higher is more sensitive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from torch import nn

from safer_bench.criteria.passes.layers import Batches
from safer_bench.errors import BadInput
from safer_bench.registry import NEEDS, TRACKS

Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion.

    Attributes:
        name: unique.
        function: ``(model, batches) -> {layer: score}``; aware ones ``(model, batches, perturb, level)``.
        needs: some of ``weights`` (one example finds the layers), ``data``, ``labels``, ``gradients``, ``hessian`` and
            ``measurement``, separated by commas; empty where its author has not said.
        formula: the score in terms of W, g (gradient of the mean loss), x and y (a layer's input and output), L (the loss),
            H (Hessian of the mean loss), W' (the perturbed weight).
        source: where it comes from.
        track: ``blind``; ``perturbation_aware``: called once a level, and its levels are averaged as in the area;
            ``level_aware``: called once a level, and each level's score counts for itself.
        examples: most calibration examples it uses; None for the caller's choice.
        cost: forward-equivalents in terms of N (examples), L (layers) and C (classes), aware ones a level; passes
            over an example or two, which find the layers and what they read, are left out.
        description: one sentence.
    """

    name: str
    function: Callable[..., Scores]
    needs: str
    formula: str
    source: str
    track: str = "blind"
    examples: int | None = None
    cost: str = ""
    description: str = ""

    def __call__(self, model: nn.Module, batches: Batches, *aware: Any) -> Scores:
        """Call the bare function, unchecked; ``safer_bench.score`` checks what it returns."""
        return self.function(model, batches, *aware)

    @property
    def aware(self) -> bool:
        """Whether it sees the perturbation."""
        return self.track != "blind"

    @property
    def of_examples(self) -> bool:
        """Whether its score is an estimate from examples, another one for others; measuring itself is what it is."""
        return not {"weights", "measurement"} & set(self.needs.split(", "))


def check_sees_perturbation(entries: Sequence[Criterion]) -> None:
    """Refuse a perturbation that nobody looks at.

    Raises:
        BadInput: all criteria are blind.
    """
    if all(not entry.aware for entry in entries):
        named = ", ".join(repr(entry.name) for entry in entries)
        are = "criteria {} are blind: they see" if len(entries) > 1 else "criterion {} is blind: it sees"
        raise BadInput(f"{are.format(named)} no perturbation; leave perturbation out")


@overload
def criterion(function: Callable[..., Scores], /) -> Criterion: ...


@overload
def criterion(
    *,
    name: str = "",
    needs: str = "weights",
    formula: str = "",
    source: str = "",
    aware: bool = False,
    examples: int | None = None,
    cost: str = "",
    description: str = "",
) -> Callable[[Callable[..., Scores]], Criterion]: ...


def criterion(
    function: Callable[..., Scores] | None = None,
    /,
    *,
    name: str = "",
    needs: str = "weights",
    formula: str = "",
    source: str = "",
    aware: bool = False,
    examples: int | None = None,
    cost: str = "",
    description: str = "",
) -> Criterion | Callable[[Callable[..., Scores]], Criterion]:
    """Make a criterion of a function; its name and the first line of its docstring are the criterion's unless given.

    Without brackets, ``@criterion`` takes all that may be given as it is by default.

    Raises:
        BadInput: an unknown need.
    """
    unknown = set(needs.split(", ")) - {*NEEDS, ""}
    if unknown:
        raise BadInput(f"needs {min(unknown)!r}; expected some of {', '.join(NEEDS)}")
    track = TRACKS[int(aware)]

    def decorate(function: Callable[..., Scores]) -> Criterion:
        what = description or (function.__doc__ or "").strip().split("\n")[0]
        return Criterion(name or function.__name__, function, needs, formula, source, track, examples, cost, what)

    return decorate if function is None else decorate(function)
