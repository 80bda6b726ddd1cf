"""What one perturbation is: a pure function of a weight, a level and a random stream, with its levels and their scale."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from numbers import Real
from typing import Any

import numpy as np

from safer_bench.errors import BadInput
from safer_bench.registry import error_text
from safer_bench.stream import Array, Stream

SCALES = ("linear", "log10")
NEEDS = ("layer", "gradient")


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
        use_case: what it stands for: boards are by use case; empty where it is only compared with another.
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
        faulty: infinite weights and NaN may result, as of a fault of the hardware.
    """

    name: str
    family: str
    function: Callable[..., Array]
    levels: tuple[float, ...]
    scale: str
    unit: str
    formula: str
    source: str
    use_case: str = "own"
    needs: tuple[str, ...] = ()
    deterministic: bool = False
    neutral: float | None = None
    domain: tuple[float, float] = (0.0, math.inf)
    whole: bool = False
    faulty: bool = False

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

    @property
    def range(self) -> str:
        """Which levels make sense, for messages."""
        low, high = self.domain
        above = self.scale == "log10" and low <= 0
        end = f" to {high:g}" if math.isfinite(high) else "" if above else " on"
        return f"a {'whole ' * self.whole}number {'above 0' if above else f'from {low:g}'}{end}"

    def _allows(self, level: float) -> bool:
        low, high = self.domain
        fits = low <= level <= high and math.isfinite(level) and (self.scale == "linear" or level > 0)
        return fits and (not self.whole or level == int(level))

    def ordered(self, levels: tuple[float, ...]) -> tuple[float, ...]:
        """Return levels from mild to severe.

        Raises:
            BadInput: a level that is given twice, outside the domain, not whole, or not positive on a log scale.
        """
        for level in levels:
            if not self._allows(level):
                example = ",".join(f"{x:g}" for x in self.levels[:2])
                raise BadInput(
                    f"perturbation {self.name!r}: level {level:g}; expected {self.range}, such as {self.name}:{example}"
                )
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
            BadInput: the function raised, returned another shape or type or what is not finite, or would not do so again.
        """
        again = copy.deepcopy(rng) if not self.built_in else None
        found = self._apply(weight, level, rng, needs)
        if again is not None and self._apply(weight, level, again, needs).digest != found.digest:
            raise BadInput(
                f"perturbation {self.name!r} at level {level}: applied twice to one weight, with one random stream, it gave "
                "two results; take random numbers from rng alone (rng.normal(shape), rng.uniform(shape)), and keep no state"
            )
        return found

    @property
    def built_in(self) -> bool:
        """Whether it is one of our own, of which tests know that it is pure."""
        return self.function.__module__.startswith(f"{__package__}.")

    def _apply(self, weight: Array, level: float, rng: Stream, needs: dict[str, Any]) -> Perturbed:
        original = weight.astype(np.float64)
        given = {key: _read_only(needs[key]) for key in self.needs}
        try:
            with np.errstate(all="ignore"):
                result = self.function(_read_only(original), level, rng, **given)
        except (Exception, SystemExit) as error:
            raise BadInput(f"perturbation {self.name!r} at level {level}: {error_text(error)}") from error
        if type(result) is not np.ndarray or result.shape != weight.shape or result.dtype != np.float64:
            kind = type(result).__name__
            returned = f"{kind if kind != 'ndarray' else result.dtype} {getattr(result, 'shape', '')}".strip()
            raise BadInput(f"perturbation {self.name!r} returned {returned}; expected float64 {weight.shape}")
        if not self.faulty and not np.isfinite(result).all() and np.isfinite(original).all():
            raise BadInput(
                f"perturbation {self.name!r} at level {level}: {np.count_nonzero(~np.isfinite(result))} of {result.size} "
                "weights are NaN or infinite afterwards; expected finite ones, or @perturbation(..., faulty=True) where "
                "they are meant to be"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = np.ascontiguousarray(result.astype("<f4"))
        changed = int(np.count_nonzero(rounded.view(np.uint32) != np.ascontiguousarray(weight).view(np.uint32)))
        return Perturbed(rounded, sha256(rounded.tobytes()).hexdigest()[:16], changed)


def _read_only(value: Any) -> Any:
    """Return an array that cannot be written through, as it is given to other draws too; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.setflags(write=False)
    return view


def perturbation(
    *,
    levels: tuple[float, ...],
    scale: str,
    unit: str,
    source: str,
    formula: str = "",
    use_case: str = "own",
    needs: tuple[str, ...] = (),
    deterministic: bool = False,
    neutral: float | None = None,
    domain: tuple[float, float] = (0.0, math.inf),
    whole: bool = False,
    faulty: bool = False,
) -> Callable[[Callable[..., Array]], Perturbation]:
    """Make a perturbation of a pure function; the function's name is the perturbation's.

    Raises:
        BadInput: an unknown scale or need, levels that are not finite numbers from mild to severe, outside the domain, or
            not positive on a log scale, texts that are none, or a function without a name.
    """
    if scale not in SCALES:
        raise BadInput(f"scale {scale!r}; expected one of {', '.join(SCALES)}")
    if not isinstance(needs, tuple | list) or not set(needs) <= set(NEEDS):
        raise BadInput(f"needs {needs!r}; expected some of {NEEDS}")
    if any(not isinstance(text, str) or not text.isprintable() for text in (unit, source, formula, use_case)):
        raise BadInput("unit, source, formula and use_case; expected texts of one line each")
    if not _are_numbers(domain) or len(domain) != 2 or not domain[0] <= domain[1]:
        raise BadInput(f"domain {domain!r}; expected (smallest, largest)")
    if not _are_numbers(levels) or not levels or not all(map(math.isfinite, levels)) or not _is_monotone(levels):
        raise BadInput(f"levels {levels!r}; expected finite numbers from mild to severe")
    if scale == "log10" and min(levels) <= 0:
        raise BadInput(f"levels {levels!r}; a log10 scale needs positive ones")
    numbers = tuple(map(float, levels))

    def decorate(function: Callable[..., Array]) -> Perturbation:
        name, module = (str(getattr(function, about, "")) for about in ("__name__", "__module__"))
        if not callable(function) or not name.isidentifier() or not module:
            raise BadInput(f"@perturbation of {function!r}; expected a function with a name of its own")
        entry = Perturbation(
            name,
            module.rpartition(".")[2],
            function,
            numbers,
            scale,
            unit,
            formula,
            source,
            use_case,
            tuple(needs),
            deterministic,
            neutral,
            domain,
            whole,
            faulty,
        )
        entry.ordered(numbers)
        return entry

    return decorate


def _are_numbers(values: Any) -> bool:
    return isinstance(values, tuple | list) and all(isinstance(v, Real) and not isinstance(v, bool) for v in values)


def _is_monotone(levels: Sequence[float]) -> bool:
    steps = np.diff(np.asarray(levels, dtype=np.float64))
    return bool(np.all(steps > 0) or np.all(steps < 0))
