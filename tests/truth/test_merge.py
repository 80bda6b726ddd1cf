"""Rows of several run folders become one table, whatever their number."""

import time

import numpy as np
import pyarrow as pa
import pytest

from safer_bench.errors import BadInput
from safer_bench.truth.merge import merge
from safer_bench.truth.run_folder import PART


def probes(n, **changed):
    numbers = np.arange(n)
    columns = {field.name: np.zeros(n, field.type.to_pandas_dtype()) for field in PART if not pa.types.is_string(field.type)}
    columns |= {field.name: ["x"] * n for field in PART if pa.types.is_string(field.type)}
    columns |= {"flips": [b"\0" * 63] * n, "draw": numbers % 20, "level": numbers // 20 % 5 / 10}
    columns |= {"layer": [f"layer{number // 100}" for number in numbers]}
    return pa.table(columns | changed, schema=PART)


KEY = ["network", "layer", "perturbation", "level", "draw"]


def test_rows_of_two_parts_are_ordered_and_repeated_ones_kept_once():
    whole = probes(300)
    found = merge("probes", [whole.slice(100), whole.slice(0, 150)], KEY)
    assert found.num_rows == 300
    assert found.equals(merge("probes", [whole], KEY))


def test_losses_may_differ_and_the_first_is_kept():
    found = merge("probes", [probes(2, loss_increase=np.float32([1, 1])), probes(2, loss_increase=np.float32([1, 2]))], KEY)
    assert found["loss_increase"].to_pylist() == [1.0, 1.0]


def test_a_contradiction_names_row_column_and_values():
    with pytest.raises(BadInput) as error:
        merge("probes", [probes(3), probes(3, broken=np.int32([0, 7, 0]))], KEY)
    assert str(error.value) == (
        "the run folders contradict each other in probes: x, layer0, x, 0.0, 1: broken is 0 and 7; "
        "measure both by the same protocol, or pack them apart"
    )


def test_values_missing_in_both_agree_and_lists_are_compared_whole():
    table = pa.table(
        {"perturbation": ["a", "a"], "unit": pa.array([None, None], pa.string()), "levels": [[1.0, 2.0], [1.0, 2.0]]}
    )
    assert merge("perturbations", [table], ["perturbation"]).num_rows == 1
    other = pa.table({"perturbation": ["a"], "unit": pa.array([None], pa.string()), "levels": [[1.0, 3.0]]})
    with pytest.raises(BadInput, match=r"a: levels is \[1.0, 2.0\] and \[1.0, 3.0\]"):
        merge("perturbations", [table, other], ["perturbation"])


def test_nothing_merges_to_nothing():
    assert merge("probes", [probes(0)], KEY).num_rows == 0


@pytest.mark.long
def test_a_million_rows_in_parts_merge_in_half_a_minute():
    parts = [probes(1000).set_column(0, PART.field(0), pa.array([f"n{part}"] * 1000)) for part in range(1000)]
    started = time.monotonic()
    assert merge("probes", parts, KEY).num_rows == 1_000_000
    assert time.monotonic() - started < 30
