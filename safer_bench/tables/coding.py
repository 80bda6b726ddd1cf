"""Columns as numbers: what repeats in a million rows is compared, sorted and looked up once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Array = np.ndarray


def coded(column: pa.ChunkedArray) -> tuple[list[Any], Array]:
    """Return values of a column, sorted, None last where there is one, and which of them each row has ``(n_rows,)``.

    A column that holds a dictionary may hold values in it that no row has.

    >>> values, codes = coded(pa.chunked_array([["b", None, "a", "b"]]))
    >>> values, codes.tolist()
    (['a', 'b', None], [1, 2, 0, 1])
    """
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    places = np.append(np.argsort(order), len(values)).astype(np.int64)  # the last of them for null
    codes = np.asarray(pc.fill_null(encoded.indices, len(values)).to_numpy())
    return [values[i] for i in order] + [None] * bool(encoded.null_count), places[codes]


def ranked(values: Sequence[Any]) -> Array:
    """Return the place of each value among the distinct ones in rising order, None last ``(n_values,)``.

    >>> ranked(["b", None, "a", "b"]).tolist()
    [1, 2, 0, 1]
    """
    distinct = sorted(set(values), key=lambda value: (value is None, value))
    place = {value: i for i, value in enumerate(distinct)}
    return np.array([place[value] for value in values], dtype=np.int64)


def numbered(keys: Array) -> tuple[Array, Array]:
    """Return the distinct keys, whole numbers from 0 to a few million, and which of them each is: ``np.unique`` unsorted.

    >>> distinct, number = numbered(np.array([7, 2, 7]))
    >>> distinct.tolist(), number.tolist()
    ([2, 7], [1, 0, 1])
    """
    there = np.bincount(keys) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[keys]


def dictionary(values: Sequence[str | None], codes: Array) -> pa.DictionaryArray:
    """Return a column of text from its values, None only at the end, and which of them each row has.

    >>> dictionary(["a", None], np.array([1, 0, 0])).to_pylist()
    [None, 'a', 'a']
    """
    names = [value for value in values if value is not None]
    indices = pa.array(codes.astype(np.int32, copy=False), mask=codes >= len(names))
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))
