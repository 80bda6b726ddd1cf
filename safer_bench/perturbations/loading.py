"""Perturbations by their names, built in or of installed packages, or from ``FILE.py:FUNC``, with levels."""

import re
from collections.abc import Mapping

from safer_bench.errors import BadInput
from safer_bench.packages import BrokenPackage, Offer, find, offers
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.registry import collect, is_file_spec, load_function

NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def perturbations() -> Mapping[str, Perturbation]:
    """Return all built-in perturbations by name."""
    return collect("safer_bench.perturbations", Perturbation)


def perturbation_called(name: str) -> Perturbation:
    """Return the perturbation of a name, built in or of an installed package.

    Raises:
        UnknownName: there is none.
        BadInput: two packages offer it, or the one that does is broken.
    """
    found = find("perturbations", perturbations(), name)
    return _of_package(found) if isinstance(found, Offer) else found


def package_of(entry: Perturbation) -> Offer | None:
    """Return which installed package offers a perturbation; None where it is not from one."""
    offer = offers("perturbations", perturbations()).get(entry.name)
    return offer if offer is not None and offer.gave(entry) else None


def parse_perturbation(spec: str | Perturbation) -> tuple[Perturbation, tuple[float, ...]]:
    """Read ``NAME[:LEVEL,...]``, ``FILE.py:FUNC[:LEVEL,...]`` or an entry into the entry and its levels, mild to severe.

    All levels of the entry where none is given.

    Raises:
        UnknownName: no perturbation has that name.
        BadInput: a level is no number, given twice or outside the domain, the function of a file is not decorated, or the
            package that offers it is broken.
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
        entry = perturbation_called(name)
    levels = _levels(spec, level_text, entry) if colon else entry.levels
    return entry, entry.ordered(levels)


def _levels(spec: str, text: str, entry: Perturbation) -> tuple[float, ...]:
    """Read ``LEVEL,LEVEL,...``: decimal numbers alone, as ``float`` takes ``1_0`` for ten and the digits of any script."""
    parts = [part.strip() for part in text.split(",")]
    wrong = next((part for part in parts if not re.fullmatch(NUMBER, part)), None)
    if wrong is not None:
        example = ",".join(f"{level:g}" for level in entry.levels[:2])
        raise BadInput(
            f"perturbation {spec!r}: level {wrong!r} is not a number; expected {entry.range}, such as {entry.name}:{example}"
        )
    return tuple(map(float, parts))


def _from_file(spec: str) -> Perturbation:
    found = load_function(spec)
    if not isinstance(found, Perturbation):
        raise BadInput(f"{spec}: expected a function decorated with @safer_bench.perturbation(...)")
    return found


def _of_package(offer: Offer) -> Perturbation:
    found = offer.load()
    if not isinstance(found, Perturbation):
        raise BrokenPackage(f"{offer}: expected a function decorated with @safer_bench.perturbation(...)")
    offer.check_name(found.name)
    return found
