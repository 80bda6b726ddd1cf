"""Perturbations by their names, or from ``FILE.py:FUNC``, with levels."""

from collections.abc import Mapping

from safer_bench.errors import BadInput, text_of
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.registry import collect, is_file_spec, load_function, look_up


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
    name, _, level_text = spec.partition(":")
    if is_file_spec(spec):
        path, _, rest = spec.partition(".py:")
        function, _, level_text = rest.partition(":")
        entry = _from_file(f"{path}.py:{function}")
    else:
        entry = look_up(perturbations(), name, "perturbation")
    try:
        levels = tuple(float(text) for text in level_text.split(",")) if level_text else entry.levels
    except ValueError as error:
        raise BadInput(f"perturbation {spec!r}: {text_of(error)}; expected NAME:LEVEL,LEVEL,...") from error
    return entry, entry.ordered(levels)


def _from_file(spec: str) -> Perturbation:
    found = load_function(spec)
    if not isinstance(found, Perturbation):
        raise BadInput(f"{spec}: expected a function decorated with @safer_bench.perturbation(...)")
    return found
