"""Perturbations by their names, or from ``FILE.py:FUNC``, with levels."""

import re
from collections.abc import Mapping

from safer_bench.errors import BadInput
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.registry import collect, is_file_spec, load_function, look_up

NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def perturbations() -> Mapping[str, Perturbation]:
    """Return all built-in perturbations by name."""
    return collect("safer_bench.perturbations", Perturbation)


def parse_perturbation(spec: str | Perturbation) -> tuple[Perturbation, tuple[float, ...]]:
    """Read ``NAME[:LEVEL,...]``, ``FILE.py:FUNC[:LEVEL,...]`` or an entry into the entry and its levels, mild to severe.

    All levels of the entry where none is given.

    Raises:
        UnknownName: no perturbation has that name.
        BadInput: a level is no number, given twice or outside the domain, or the function of a file is not decorated.
    """
    if isinstance(spec, Perturbation):
        return spec, spec.ordered(spec.levels)
    if not isinstance(spec, str):
        raise BadInput(f"perturbation {spec!r}; expected NAME[:LEVEL,...], FILE.py:FUNC[:LEVEL,...] or a perturbation")
    name, colon, level_text = spec.partition(":")
    if is_file_spec(spec):
        path, _, rest = spec.partition(".py:")
        function, colon, level_text = rest.partition(":")
        entry = _from_file(f"{path}.py:{function}")
    else:
        entry = look_up(perturbations(), name, "perturbation")
    levels = _levels(spec, level_text, entry) if colon else entry.levels
    return entry, entry.ordered(levels)


def _levels(spec: str, text: str, entry: Perturbation) -> tuple[float, ...]:
    """Read ``LEVEL,LEVEL,...``: decimal numbers alone, as ``float`` takes ``1_0`` for ten and the digits of any script."""
    parts = [part.strip() for part in text.split(",")]
    wrong = next((part for part in parts if not re.fullmatch(NUMBER, part)), None)
    if wrong is not None:
        example = ",".join(f"{level:g}" for level in entry.levels[:2])
        raise BadInput(
            f"perturbation {spec!r}: level {wrong!r} is no number; expected {entry.range}, such as {entry.name}:{example}"
        )
    return tuple(map(float, parts))


def _from_file(spec: str) -> Perturbation:
    found = load_function(spec)
    if not isinstance(found, Perturbation):
        raise BadInput(f"{spec}: expected a function decorated with @safer_bench.perturbation(...)")
    return found
