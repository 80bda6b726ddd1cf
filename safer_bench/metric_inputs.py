"""What metrics take: anything that is numbers, as float64; and nan where a metric is undefined; no I/O."""

from collections.abc import Callable
from functools import wraps
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

Array = np.ndarray
EXACT = 2**53  # whole numbers up to here differ in float64 where they differ

F = TypeVar("F", bound=Callable[..., Any])


def of_arrays(*finite: str) -> Callable[[F], F]:
    """Let a metric take anything that is numbers, and make it nan wherever an input has an undefined value.

    Args:
        finite: inputs of which sums are taken, so that infinite values are undefined too.
    """

    def decorate(metric: F) -> F:
        @wraps(metric)
        def call(**given: Any) -> Any:
            options = {"k": _count(given.pop("k"))} if "k" in given else {}
            arrays = {name: _numbers(name, values) for name, values in given.items()}
            shape = _shape(arrays)
            if shape[-1] < 2:
                return where_defined(np.zeros(shape[:-1], dtype=bool), np.asarray(np.nan))
            defined = np.asarray(True)
            for name, values in arrays.items():
                known = np.isfinite(values) if name in finite else ~np.isnan(values)
                if not known.all():
                    arrays[name] = np.where(known, values, 0.0)
                    defined = defined & known.all(axis=None if name == "given" else -1)
            return where_defined(defined, metric(**arrays, **options))

        return call  # type: ignore[return-value]

    return decorate


def where_defined(defined: Array, values: Array) -> Any:
    """Return values where they are defined, else nan; a plain float for a single one."""
    found = np.where(defined, values, np.nan)
    return float(found) if found.ndim == 0 else found


def _count(k: Any) -> int:
    if not isinstance(k, Integral) or isinstance(k, bool) or int(k) < 1:
        raise ValueError(f"k = {k!r}; expected a whole number from 1 on")
    return int(k)


def _numbers(name: str, values: Any) -> Array:
    """Return numbers as float64, what is missing as nan.

    Raises:
        ValueError: they are none, or float64 would not keep them apart.
    """
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    try:
        raw = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
        entries = _entries(np.ma.getdata(raw))
        if raw.dtype.kind not in "biufO" or any(isinstance(entry, str | bytes) for entry in entries):
            raise TypeError(f"{raw.dtype} values")
        if any(isinstance(entry, Integral) and abs(int(entry)) > EXACT for entry in entries):
            raise TypeError("whole numbers beyond 2**53, which float64 does not keep apart")
        return np.ma.filled(raw.astype(np.float64), np.nan)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ValueError(f"{name}: {error}; expected an array of real numbers") from error


def _entries(raw: Array) -> list[Any]:
    """Return what has to be looked at one by one: every object, and of whole numbers the least and the greatest."""
    if raw.dtype.kind in "iu" and raw.size:
        return [int(raw.min()), int(raw.max())]
    return list(raw.ravel()) if raw.dtype.kind == "O" else []


def _shape(arrays: dict[str, Array]) -> tuple[int, ...]:
    """Return the shape that all inputs broadcast to, but for what is given, which is the same for all pairs."""
    sides = [values for name, values in arrays.items() if name != "given"]
    try:
        shape = np.broadcast_shapes(*(values.shape for values in sides))
    except ValueError:
        shape = ()
    told = f"{' and '.join(f'{name} {values.shape}' for name, values in arrays.items())}; expected shapes"
    if not shape or any(values.shape[-1:] != shape[-1:] for values in sides):
        raise ValueError(f"{told} (..., n_layers) that broadcast")
    if "given" in arrays and (arrays["given"].ndim != 2 or arrays["given"].shape[-1:] != shape[-1:]):
        raise ValueError(f"{told} (..., n_layers) that broadcast, given (n_given, n_layers)")
    return shape
