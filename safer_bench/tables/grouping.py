"""Rows by what they have in common."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return the rows of each key; keys in order of first appearance, rows in the order given.

    >>> grouped(["ab", "b", "ac"], key=lambda word: word[0])
    {'a': ['ab', 'ac'], 'b': ['b']}
    """
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
