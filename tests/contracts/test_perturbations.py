"""Every perturbation obeys the same laws."""

import json
from pathlib import Path

import numpy as np
import pytest

from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.perturbations.loading import perturbations
from safer_bench.perturbations.perturbation import LayerFacts
from safer_bench.stream import Stream
from tests.made_up.networks import tiny_network

GOLDEN = Path(__file__).parents[1] / "golden" / "weights.json"
ENTRIES = list(perturbations().values())
SHAPE, LARGE = (4, 3, 3, 3), (40, 30, 3, 3)  # in the large one even rare faults happen
FACTS = LayerFacts(kind="Conv2d", output_axis=0, fan_in=27)
NO_NEUTRAL_LEVEL = {"quantize", "quantize_per_channel", "int8_bit_flip", "int8_bit_count", "rerandomize"}
MAY_BE_INFINITE = {"float32_bit_flip", "float32_bit_flip_exponent"}
USE_CASES = {"device_noise", "float32_faults", "int8_faults", "pruning", "quantization", "removal", "worst_case", ""}
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def weight_and_gradient(shape=SHAPE):
    stream = Stream("contract")
    return (0.2 * stream.normal(shape)).astype(np.float32), stream.normal(shape).astype(np.float32).astype(np.float64)


def apply(entry, level, draw=0, shape=SHAPE):
    weight, gradient = weight_and_gradient(shape)
    return entry.apply(weight, level, Stream("contract", entry.name, level, draw), gradient=gradient, layer=FACTS)


@each
def test_shape_and_type_are_kept_and_the_input_is_untouched(entry):
    weight, gradient = weight_and_gradient()
    before = weight.tobytes(), gradient.tobytes()
    for level in entry.levels:
        found = entry.apply(weight, level, Stream("t"), gradient=gradient, layer=FACTS)
        assert (found.weight.shape, found.weight.dtype) == (weight.shape, np.float32)
        assert np.isfinite(found.weight).all() or entry.name in MAY_BE_INFINITE
        assert found.changed_entries == np.count_nonzero(found.weight.view(np.uint32) != weight.view(np.uint32))
    assert (weight.tobytes(), gradient.tobytes()) == before


@each
def test_the_neutral_level_is_the_identity(entry):
    assert (entry.neutral is None) is (entry.name in NO_NEUTRAL_LEVEL)
    if entry.neutral is not None:
        assert apply(entry, entry.neutral).changed_entries == 0


@each
def test_equal_streams_give_equal_weights_and_only_random_ones_differ_between_draws(entry):
    level = entry.levels[-1]
    first = apply(entry, level, shape=LARGE).digest
    assert apply(entry, level, shape=LARGE).digest == first
    same = apply(entry, level, draw=1, shape=LARGE).digest == first
    assert same is (entry.deterministic or "gradient" in entry.needs)


@each
def test_every_level_changes_something(entry):
    """Of the rarest faults one of forty draws may be the first to hit any of these bits."""
    for level in entry.levels:
        assert any(apply(entry, level, draw, shape=LARGE).changed_entries > 0 for draw in range(40)), level


@each
def test_its_own_levels_can_be_asked_for_and_come_mild_to_severe(entry):
    assert entry.ordered(entry.levels[::-1]) == entry.levels


@each
def test_weights_are_pinned_to_the_bit(entry):
    """Of a new entry, take these digests. Others than before mean other weights in the truth: a new protocol number, all anew.

    Levels of former truths stay pinned beside those in use.
    """
    pinned = json.loads(GOLDEN.read_text()).get(entry.name, {})
    levels = {*pinned, *map(str, entry.levels)}
    assert {level: apply(entry, float(level), shape=LARGE).digest for level in levels} == pinned


@each
def test_its_use_case_is_a_board_that_is_there(entry):
    """A misspelt one would be a board of its own, without a word. A new one is added here on purpose."""
    assert entry.use_case in USE_CASES


@each
def test_facts_are_complete(entry):
    assert (1 if entry.name == "rerandomize" else 2) <= len(entry.levels) <= 5
    for fact in (entry.formula, entry.source, entry.unit, entry.description):
        assert fact


@pytest.fixture(scope="module")
def engine():
    return Engine(tiny_network())


@each
def test_the_engine_counts_what_the_plain_loop_counts_and_the_worst_level_costs_something(entry, engine):
    """On one tiny network, so that a further perturbation costs little here; that all networks are measured, others test."""
    protocol = make_protocol([f"{entry.name}:{entry.levels[-1]!r}"], draws=2)
    probes = [probe for unit in Design(engine.network, protocol).units() for probe in unit.probes]
    rows, expected = list(engine.measure(probes)), list(engine.plain.measure(probes))
    assert engine.reasons == {}
    for row in expected:
        row["loss_increase"] = pytest.approx(row["loss_increase"], abs=1e-4)
    assert rows == expected
    assert sum(row["predictions_changed"] for row in rows) > 0
