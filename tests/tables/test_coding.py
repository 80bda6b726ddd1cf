"""Columns as numbers."""

import numpy as np
import pyarrow as pa
import pytest

from safer_bench.tables.coding import coded, dictionary, numbered, ranked

TEXTS = ["b", None, "a", "b", "ä", "B"]
PLAIN = pa.chunked_array([TEXTS[:3], TEXTS[3:]], pa.string())
ENCODED = pa.chunked_array([pa.array(part, pa.string()).dictionary_encode() for part in (TEXTS[:3], TEXTS[3:])])


@pytest.mark.parametrize("column", [PLAIN, ENCODED, pa.chunked_array([[3.0, None, 1.5]]), pa.chunked_array([], pa.string())])
def test_the_numbers_of_a_column_name_its_values_in_rising_order(column):
    values, codes = coded(column)
    assert [values[code] for code in codes] == column.to_pylist()
    assert values == sorted(values, key=lambda value: (value is None, value))
    assert len(values) == len(set(column.to_pylist()))


def test_ranks_are_those_of_the_codes():
    assert ranked(TEXTS).tolist() == coded(PLAIN)[1].tolist()


def test_keys_are_numbered_as_unique_does():
    keys = np.random.default_rng(0).integers(0, 50, 200)
    for found, expected in zip(numbered(keys), np.unique(keys, return_inverse=True), strict=True):
        assert np.array_equal(found, expected)


def test_a_column_is_made_of_numbers_again():
    assert dictionary(*coded(PLAIN)).to_pylist() == TEXTS
