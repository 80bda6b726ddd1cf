"""What one perturbation is: a pure function of a weight, a level and a random stream, with its levels and their scale."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from safer_bench.errors import BadInput
from safer_bench.registry import error_text
from safer_bench.stream import Array, Stream

SCALES = ("linear", "log10")


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What a perturbation may know of its layer.

    Attributes:
        kind: class name of the owning module.
        output_axis: axis of the weight that runs over its outputs.
        fan_in: number of weights that feed one output.
    """

    kind: str
    output_axis: int
    fan_in: int


@dataclass(frozen=True, slots=True)
class Perturbed:
    """A perturbed weight as it is set: float32 values, 16 hex digits of their SHA-256, number of changed entries."""

    weight: Array
    digest: str
    changed_entries: int


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One perturbation.

    Attributes:
        name: unique; names the perturbation in tables and in its random streams.
        family: the file that defines it; variants of one family share a file.
        function: ``(weight, level, rng, **needs) -> weight``, float64 in and out, pure.
        levels: mild to severe.
        scale: ``linear`` or ``log10``: the axis along which the area is taken.
        unit: unit of the level.
        formula: W' in terms of W, level and z (standard normal).
        source: where it comes from.
        needs: keyword arguments beyond the first three: ``layer`` (``LayerFacts``), ``gradient`` (float64, shape of W).
        deterministic: every draw would be the same, so that one is enough.
        neutral: the level at which W' = W, where there is one.
        domain: smallest and largest level that make sense.
        whole: levels are whole numbers.
    """

    name: str
    family: str
    function: Callable[..., Array]
    levels: tuple[float, ...]
    scale: str
    unit: str
    formula: str
    source: str
    needs: tuple[str, ...] = ()
    deterministic: bool = False
    neutral: float | None = None
    domain: tuple[float, float] = (0.0, math.inf)
    whole: bool = False

    def __call__(self, weight: Array, level: float, rng: Stream, **needs: Any) -> Array:
        """Call the bare function: float64 in and out."""
        return self.function(weight, level, rng, **needs)

    @property
    def direction(self) -> str:
        """``increasing`` where larger levels are worse, else ``decreasing``."""
        return "increasing" if self.levels[-1] >= self.levels[0] else "decreasing"

    @property
    def description(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().split("\n")[0]

    def ordered(self, levels: tuple[float, ...]) -> tuple[float, ...]:
        """Return levels from mild to severe.

        Raises:
            BadInput: a level that is given twice, outside the domain, not whole, or not positive on a log scale.
        """
        low, high = self.domain
        for level in levels:
            fits = low <= level <= high and math.isfinite(level) and (self.scale == "linear" or level > 0)
            if not fits or (self.whole and level != int(level)):
                expected = "whole number" if self.whole else "positive number" if self.scale == "log10" else "number"
                limits = f"from {low:g}" + (f" to {high:g}" if math.isfinite(high) else " on")
                raise BadInput(f"perturbation {self.name!r}: level {level:g}; expected a {expected} {limits}")
        if len(set(levels)) < len(levels):
            raise BadInput(f"perturbation {self.name!r}: a level is given twice: {', '.join(f'{x:g}' for x in levels)}")
        return tuple(sorted(levels, reverse=self.direction == "decreasing"))

    def apply(self, weight: Array, level: float, rng: Stream, **needs: Any) -> Perturbed:
        """Perturb a float32 weight: computed in float64, rounded once.

        Args:
            weight: float32, any shape; not changed.
            level: one level.
            rng: the probe's stream.
            needs: what ``self.needs`` names.

        Raises:
            BadInput: the function raised, or returned another shape or type.
        """
        original = weight.astype(np.float64)
        original.setflags(write=False)
        try:
            result = self.function(original, level, rng, **{key: needs[key] for key in self.needs})
        except (Exception, SystemExit) as error:
            raise BadInput(f"perturbation {self.name!r} at level {level}: {error_text(error)}") from error
        if not isinstance(result, np.ndarray) or result.shape != weight.shape or result.dtype != np.float64:
            returned = f"{getattr(result, 'dtype', type(result).__name__)} {getattr(result, 'shape', '')}"
            raise BadInput(f"perturbation {self.name!r} returned {returned}; expected float64 {weight.shape}")
        with np.errstate(over="ignore"):
            rounded = np.ascontiguousarray(result.astype("<f4"))
        changed = int(np.count_nonzero(rounded.view(np.uint32) != np.ascontiguousarray(weight).view(np.uint32)))
        return Perturbed(rounded, sha256(rounded.tobytes()).hexdigest()[:16], changed)


def perturbation(
    *,
    levels: tuple[float, ...],
    scale: str,
    unit: str,
    source: str,
    formula: str = "",
    needs: tuple[str, ...] = (),
    deterministic: bool = False,
    neutral: float | None = None,
    domain: tuple[float, float] = (0.0, math.inf),
    whole: bool = False,
) -> Callable[[Callable[..., Array]], Perturbation]:
    """Make a perturbation of a pure function; the function's name is the perturbation's.

    Raises:
        BadInput: an unknown scale, or levels that are not finite, not monotone, or not positive on a log scale.
    """
    if scale not in SCALES:
        raise BadInput(f"scale {scale!r}; expected one of {', '.join(SCALES)}")
    steps = np.diff(np.asarray(levels, dtype=np.float64))
    if not all(map(math.isfinite, levels)) or not (np.all(steps > 0) or np.all(steps < 0)):
        raise BadInput(f"levels {levels}; expected finite numbers from mild to severe")
    if scale == "log10" and min(levels) <= 0:
        raise BadInput(f"levels {levels}; a log10 scale needs positive ones")

    def decorate(function: Callable[..., Array]) -> Perturbation:
        family = function.__module__.rpartition(".")[2]
        return Perturbation(
            function.__name__,
            family,
            function,
            levels,
            scale,
            unit,
            formula,
            source,
            needs,
            deterministic,
            neutral,
            domain,
            whole,
        )

    return decorate
