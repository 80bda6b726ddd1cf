"""Canonical order of rows, by whichever of the ways is the fastest."""

import numpy as np
import pyarrow as pa
import pytest

from safer_bench.tables import schema
from safer_bench.tables.files import parquet_bytes, read_parquet


def probes(networks, draws=(0, 1)):
    rows = [(network, level, draw) for network in networks for level in (0.1, 1.0) for draw in draws]
    return pa.table({name: list(of) for name, of in zip(("network", "level", "draw"), zip(*rows, strict=True), strict=True)})


@pytest.mark.parametrize("dictionary", [False, True])
def test_networks_of_two_splits_are_put_in_order_without_being_sorted(monkeypatch, dictionary):
    parts = pa.concat_tables([probes(["b", "d"]), probes(["a", "c"])])
    if dictionary:
        parts = parts.set_column(0, "network", parts["network"].dictionary_encode())
    monkeypatch.setattr(schema, "MOST_RUNS", 4)
    found = schema.in_order(parts)
    assert found["network"].to_pylist() == probes("abcd")["network"].to_pylist()
    assert found.select(["level", "draw"]).equals(probes("abcd").select(["level", "draw"]))
    assert found["level"].num_chunks > 1  # slices of what was there


@pytest.mark.parametrize("most", [0, 1000])
def test_rows_in_any_order_are_sorted(monkeypatch, most):
    monkeypatch.setattr(schema, "MOST_RUNS", most)
    shuffled = probes("abcd").take(np.random.default_rng(0).permutation(16))
    assert schema.in_order(shuffled).equals(probes("abcd"))


def test_strings_that_repeat_are_read_as_they_were_written():
    rng = np.random.default_rng(0)
    columns = {
        "network": pa.array(rng.choice(["a", "b"], 5000)),
        "digest": pa.array([rng.bytes(8).hex() for _ in range(5000)]),
        "note": pa.array([None, "x"] * 2500),
        "n": pa.array(rng.integers(9, size=5000)),
    }
    written = pa.table(columns).replace_schema_metadata({"of": "a table"})
    found = read_parquet(parquet_bytes(written))
    assert found.schema.equals(written.schema, check_metadata=True)
    assert found.equals(written)
    assert read_parquet(parquet_bytes(written.slice(0, 0))).equals(written.slice(0, 0))
