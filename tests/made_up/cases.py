"""Which cases of a test run by default."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_by_default(cases: Iterable[Any], n: int = 1) -> list[Any]:
    """Return the cases of a parametrized test, all but the first marked as long: what they test, those test already."""
    every = list(cases)
    further = (each if isinstance(each, tuple) else (each,) for each in every[n:])
    return [*every[:n], *(pytest.param(*each, marks=pytest.mark.long) for each in further)]
