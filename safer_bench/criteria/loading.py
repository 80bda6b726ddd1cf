"""Criteria by their names, or from ``FILE.py:FUNC``."""

from collections.abc import Callable, Mapping

from safer_bench.criteria.criterion import Criterion, Scores, criterion
from safer_bench.registry import collect, is_file_spec, load_function, look_up


def criteria() -> Mapping[str, Criterion]:
    """Return all built-in criteria by name."""
    return collect("safer_bench.criteria", Criterion)


def parse_criterion(spec: str | Criterion | Callable[..., Scores]) -> Criterion:
    """Return the criterion of a name, ``FILE.py:FUNC`` or a function; a plain one of (model, batches) counts as blind.

    Raises:
        UnknownName: no criterion has that name.
        BadInput: the file or function is not there.
    """
    if isinstance(spec, str) and not is_file_spec(spec):
        return look_up(criteria(), spec, "criterion")
    function = load_function(spec) if isinstance(spec, str) else spec
    source = spec if isinstance(spec, str) else "a function"
    if isinstance(function, Criterion):
        return function
    name = "" if hasattr(function, "__name__") else source.rpartition(":")[2]  # an object that can be called has none
    return criterion(name=name, needs="gradients", source=source)(function)
