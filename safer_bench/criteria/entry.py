"""What one criterion is: a function of a model and batches that gives every layer a score; higher is more sensitive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from safer_bench.criteria.shared import shared
from safer_bench.errors import BadInput
from safer_bench.layers import Layer, discover_layers

Batches = Sequence[tuple[Tensor, Tensor]]  # (images (n, ...), labels (n,)) each
Scores = dict[str, float]
Perturb = Callable[[str, float], np.ndarray]  # (layer, level) -> perturbed weight, float32

NEEDS = ("weights", "data", "labels", "gradients", "hessian", "measurement")
TRACKS = ("blind", "perturbation_aware", "level_aware")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion.

    Attributes:
        name: unique.
        function: ``(model, batches) -> {layer: score}``; aware ones ``(model, batches, perturb, level)``.
        needs: some of ``weights`` (one example finds the layers), ``data``, ``labels``, ``gradients``, ``hessian`` and
            ``measurement``, separated by commas.
        formula: the score in terms of W, g (gradient of the mean loss), x and y (a layer's input and output), L (the loss),
            H (Hessian of the mean loss), W' (the perturbed weight).
        source: where it comes from.
        track: ``blind``; ``perturbation_aware``: called once a level, and its levels are averaged as in the area;
            ``level_aware``: called once a level, and each level's score counts for itself.
        examples: most probe examples it uses; None for the caller's choice.
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
) -> Callable[[Callable[..., Scores]], Criterion]:
    """Make a criterion of a function; its name and the first line of its docstring are the criterion's unless given.

    Raises:
        BadInput: an unknown need.
    """
    unknown = set(needs.split(", ")) - set(NEEDS)
    if unknown:
        raise BadInput(f"needs {min(unknown)!r}; expected some of {', '.join(NEEDS)}")
    track = TRACKS[int(aware)]

    def decorate(function: Callable[..., Scores]) -> Criterion:
        what = description or (function.__doc__ or "").strip().split("\n")[0]
        return Criterion(name or function.__name__, function, needs, formula, source, track, examples, cost, what)

    return decorate


@shared
def used_layers(model: nn.Module, batches: Batches) -> tuple[Layer, ...]:
    """Return the layers in order of first use, found by a pass over one example."""
    return tuple(layer for layer in discover_layers(model, batches[0][0][:1]) if layer.index >= 0)


def layer_weights(model: nn.Module, batches: Batches) -> dict[str, nn.Parameter]:
    """Return the weight of every layer by name, in order of first use; found by a pass over one example."""
    return {layer.name: model.get_parameter(layer.parameter) for layer in used_layers(model, batches)}


def count_examples(batches: Batches) -> int:
    """Return the number of examples of all batches."""
    return sum(len(labels) for _, labels in batches)


def output_matrix(weight: Tensor, layer: Layer) -> Tensor:
    """Return a weight, or what has its shape, as float64 ``(outputs, fan-in)``."""
    return weight.detach().double().movedim(layer.output_axis, 0).flatten(1)
