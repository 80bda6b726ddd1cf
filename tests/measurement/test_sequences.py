"""Several inputs, integer inputs and several answers an example: counted as the plain loops count, and replayed."""

import numpy as np
import pytest
import torch

from safer_bench.measurement.answers.ladders import Ladders
from safer_bench.measurement.design import Probe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plain import PlainEngine
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.loading import load_network
from safer_bench.perturbations.loading import parse_perturbation
from tests.made_up import plain_loop, sequences

NAMES = ("tagger", "causal", "masked", "two_inputs", "segmenter")
SPECS = ("gaussian_noise:0.3,2", "sign_flip:0.2", "float32_bit_flip_exponent", "quantize:3")
N = 15


@pytest.fixture(scope="module")
def made():
    return sequences.networks()


def probes_of(network, specs=SPECS):
    parsed = [parse_perturbation(spec) for spec in specs]
    return [
        Probe(layer, entry, level, draw, start, N)
        for start in (0, N)
        for layer in network.layers
        for entry, levels in parsed
        for level in levels
        for draw in range(1 if entry.deterministic else 2)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_counts_what_whole_passes_count_and_replays_every_layer(made, name):
    network = made[name]
    engine, probes = Engine(network), probes_of(network)
    found, expected = list(engine.measure(probes)), list(PlainEngine(network).measure(probes))
    assert engine.reasons == {}
    for row in (*found, *expected):
        del row["loss_increase"]
    assert found == expected
    assert sum(row["predictions_changed"] for row in found) > len(found) / 4  # there was something to count


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_those_of_a_loop_that_shares_no_code(made, name):
    network = made[name]
    probes = probes_of(network, ("gaussian_noise:1", "sign_flip:0.2"))
    for row, probe in zip(PlainEngine(network).measure(probes), probes, strict=True):
        assert {key: row[key] for key in plain_loop.COUNTS} == plain_loop.counts(network, probe)


@pytest.mark.parametrize("name", ["tagger", "masked", "segmenter"])
def test_what_is_not_counted_is_neither_judged_nor_looked_at(made, name):
    """Answers that do not count are certain for every arithmetic, so that none of them sends an example to a slower one."""
    network = made[name]
    labels = network.labels[:N]
    counted = (labels != NOT_COUNTED).flatten(1).numpy()
    assert not counted.all()
    engine = Engine(network)
    probe = probes_of(network)[0]
    weight = engine.plain.weights.perturbed(probe).weight
    ladder = Ladders(engine.fast_answers.replayed).ladder(engine.replay(probe.layer), probe.layer, weight, 0, N)
    logits = [rung.logits(np.arange(N)) for rung in ladder]
    assert len(logits) > 1
    for found in logits:
        flat = np.moveaxis(found, 1, -1)
        assert (flat[~counted].argmax(1) == 0).all()
        assert (flat[~counted].max(1) >= 1e30).all()
        assert np.abs(flat[counted]).max() < 1e3
    row = next(engine.measure([probe]))
    assert len(np.unpackbits(np.frombuffer(row["flips"], np.uint8), count=counted.sum())) == counted.sum()
    assert row["correct_clean"] <= counted.sum()


def test_answers_beyond_the_range_of_float32_are_told_position_by_position(made):
    network = made["causal"]
    probes = [Probe(layer, *probe, 0, N) for layer in network.layers for probe in _severe()]
    engine = Engine(network)
    found, expected = list(engine.measure(probes)), list(PlainEngine(network).measure(probes))
    assert [row["flips"] for row in found] == [row["flips"] for row in expected]
    assert engine.settled["guarded float32"] > 0


def _severe():
    entry, _ = parse_perturbation("float32_bit_flip_exponent")
    return [(entry, entry.levels[-1], draw) for draw in range(4)]


def test_a_classifier_counts_as_it_did():
    digits = load_network("digits_mlp")
    assert isinstance(digits.inputs, torch.Tensor)
    assert digits.n_answers.tolist() == [1] * len(digits.labels)
