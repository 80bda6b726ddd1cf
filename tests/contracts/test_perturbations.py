"""Every perturbation obeys the same laws."""

import json
from pathlib import Path

import numpy as np
import pytest

from safer_bench.perturbations import perturbations
from safer_bench.perturbations.stream import Stream

GOLDEN = Path(__file__).parents[1] / "golden" / "weights.json"
ENTRIES = list(perturbations().values())
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def weight_and_gradient(shape=(4, 3, 3, 3)):
    stream = Stream("contract")
    return (0.2 * stream.normal(shape)).astype(np.float32), stream.normal(shape).astype(np.float32).astype(np.float64)


def apply(entry, level, draw=0):
    weight, gradient = weight_and_gradient()
    return entry.apply(weight, level, Stream("contract", entry.name, level, draw), gradient=gradient)


@each
def test_shape_and_type_are_kept_and_the_input_is_untouched(entry):
    weight, gradient = weight_and_gradient()
    before = weight.tobytes(), gradient.tobytes()
    for level in entry.levels:
        found = entry.apply(weight, level, Stream("t"), gradient=gradient)
        assert (found.weight.shape, found.weight.dtype) == (weight.shape, np.float32)
        assert np.isfinite(found.weight).all()
        assert found.changed_entries == np.count_nonzero(found.weight.view(np.uint32) != weight.view(np.uint32))
    assert (weight.tobytes(), gradient.tobytes()) == before


@each
def test_the_neutral_level_is_the_identity(entry):
    if entry.neutral is None:
        assert entry.name in {"quantize", "int8_bit_flip"}, "every other perturbation has a neutral level"
        return
    assert apply(entry, entry.neutral).changed_entries == 0


@each
def test_equal_streams_give_equal_weights_and_only_random_ones_differ_between_draws(entry):
    level = entry.levels[-1]
    assert apply(entry, level).digest == apply(entry, level).digest
    same = apply(entry, level, draw=1).digest == apply(entry, level).digest
    assert same is (entry.deterministic or "gradient" in entry.needs)


@each
def test_every_level_changes_something(entry):
    assert all(apply(entry, level).changed_entries > 0 for level in entry.levels)


@each
def test_weights_are_pinned_to_the_bit(entry):
    """Another digest here means other weights in the truth: raise the protocol number and measure everything again."""
    golden = json.loads(GOLDEN.read_text())
    assert {str(level): apply(entry, level).digest for level in entry.levels} == golden[entry.name]


@each
def test_facts_are_complete(entry):
    assert len(entry.levels) == 5
    for fact in (entry.formula, entry.source, entry.unit, entry.description):
        assert fact
