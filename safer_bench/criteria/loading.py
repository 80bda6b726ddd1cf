"""Criteria by their names, built in or of installed packages, or from ``FILE.py:FUNC``."""

from collections.abc import Callable, Mapping
from inspect import signature

from safer_bench.criteria.criterion import Criterion, Scores, criterion
from safer_bench.errors import BadInput
from safer_bench.packages import BrokenPackage, Offer, find, offers
from safer_bench.registry import collect, is_file_spec, load_function


def criteria() -> Mapping[str, Criterion]:
    """Return all built-in criteria by name."""
    return collect("safer_bench.criteria", Criterion)


def package_of(name: str) -> Offer | None:
    """Return which installed package offers the criterion of a name; None where it is built in or not there."""
    return offers("criteria", criteria()).get(name)


def parse_criterion(spec: str | Criterion | Callable[..., Scores]) -> Criterion:
    """Return the criterion of a name, ``FILE.py:FUNC`` or a function; a plain one of (model, batches) counts as blind.

    Raises:
        UnknownName: no criterion has that name.
        BadInput: the file or function is not there, or the package that offers the criterion is broken.
    """
    if isinstance(spec, str) and not is_file_spec(spec):
        found = find("criteria", criteria(), spec)
        return _of_package(found) if isinstance(found, Offer) else found
    function = load_function(spec) if isinstance(spec, str) else spec
    source = spec if isinstance(spec, str) else "a function"
    where = spec if isinstance(spec, str) else getattr(function, "__name__", "a function")
    if isinstance(function, Criterion):
        _check_aware(function, spec if isinstance(spec, str) else f"criterion {function.name!r}")
        return function
    _check_arguments(function, where)
    name = "" if hasattr(function, "__name__") else source.rpartition(":")[2]  # an object that can be called has none
    return criterion(name=name, needs="", source=source)(function)


def _check_arguments(function: Callable[..., Scores], source: str) -> None:
    """Refuse a plain function that wants more than a model and batches."""
    try:
        wanted = signature(function)
    except (TypeError, ValueError):  # compiled code may not tell
        return
    try:
        wanted.bind(None, None)
    except TypeError as error:
        raise BadInput(
            f"{source}: takes {wanted}; expected (model, batches). One that sees the perturbation, by (model, batches, "
            "perturb, level), is decorated with @sb.criterion(aware=True)"
        ) from error


def _check_aware(entry: Criterion, source: str) -> None:
    """Refuse a decorated function that takes other arguments than its track gives."""
    given = (None,) * (4 if entry.aware else 2)
    try:
        wanted = signature(entry.function)
        wanted.bind(*given)
    except ValueError:  # compiled code may not tell
        return
    except TypeError as error:
        expected = (
            "with aware=True (model, batches, perturb, level)" if entry.aware else "without aware=True (model, batches)"
        )
        raise BadInput(f"{source}: takes {signature(entry.function)}; expected {expected}") from error


def _of_package(offer: Offer) -> Criterion:
    found = offer.load()
    if not callable(found):
        raise BrokenPackage(f"{offer}: a {type(found).__name__}; expected a function of (model, batches)")
    source = f"{offer.package} ({offer.target})"
    entry = found if isinstance(found, Criterion) else criterion(name=offer.name, needs="", source=source)(found)
    offer.check_name(entry.name)
    return entry
