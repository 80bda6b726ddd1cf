"""float32 of a grown weight: overflows that later operations hide are found, and the answers are the canonical ones."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.measurement import bands
from safer_bench.measurement.answers import guard, ladders, settle
from safer_bench.measurement.answers.canonical import CanonicalModel
from safer_bench.measurement.answers.limits import LARGEST
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.ranges import AFFINE, CHOOSES, MOVES, REACHES
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.settle import error_spreads
from safer_bench.measurement.answers.tuning import Pace
from safer_bench.measurement.design import Probe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.fast_answers import HELD
from safer_bench.measurement.plain import PlainEngine
from safer_bench.networks.network import Network
from safer_bench.perturbations.perturbation import perturbation
from tests.made_up.cases import first_by_default

N = 200


@perturbation(levels=(1.0, 1e24, 3e38), scale="log10", unit="", source="", faulty=True)
def one_grown_weight(weight, level, rng):
    """Set one weight of each row to a large number of either sign."""
    grown = weight.reshape(len(weight), -1).copy()
    places = (rng.uniform((len(grown),)) * grown.shape[1]).astype(int)
    grown[np.arange(len(grown)), places] = level * rng.signs((len(grown),))
    return grown.reshape(weight.shape)


@perturbation(levels=(1e37, 1e38, 2e38), scale="log10", unit="", source="", faulty=True)
def rows_that_cancel(weight, level, rng):
    """Make all weights large: half of each row of one sign, half of the other, so that sums overflow on the way alone."""
    flat = weight.reshape(len(weight), -1)
    signs = np.where(2 * np.arange(flat.shape[1]) < flat.shape[1], 1.0, -1.0) * rng.signs((len(flat),))[:, None]
    return (level * signs * (0.5 + rng.uniform(flat.shape))).reshape(weight.shape)


GROWN = (one_grown_weight, rows_that_cancel)


class AFoldedNormHidesIt(nn.Module):
    """A convolution's result is infinite; folded with the batch norm that follows, it is a small number, then clamped."""

    shape = (4, 6, 6)

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.head = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 5)
        with torch.no_grad():
            self.norm.running_var.fill_(1e38)
            self.norm.weight.fill_(1e-20)
            self.norm.bias.normal_()

    def forward(self, x):
        return self.head(nn.functional.relu6(self.norm(self.first(torch.relu(x)))).mean((2, 3)))


class AClampHidesIt(nn.Module):
    """A sum is infinite on the way and negative at its end: 6 or 0."""

    shape = (12,)

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x):
        return self.head(nn.functional.relu6(self.second(torch.relu(self.first(x)))))


class ANormHidesIt(nn.Module):
    """The squares of a large number overflow, and its own norm makes it zero."""

    shape = (12,)

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(12, 32), nn.LayerNorm(32)
        self.second, self.head = nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x):
        h = torch.relu(self.first(x))
        return self.head(self.norm(h + nn.functional.gelu(self.second(self.norm(h)))))


class ResidualsCarryIt(nn.Module):
    shape = (4, 6, 6)

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.third, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Linear(8, 5)

    def forward(self, x):
        h = torch.relu(self.norm(self.first(x)))
        h = torch.relu(h + self.second(h))
        return self.head(torch.relu(h - self.third(h)).mean((2, 3)) * 1e-3)


class ARootMeanSquareHidesIt(nn.Module):
    """The squares of a large number overflow, and a gate of it is zero or one; sequences are padded before a convolution."""

    shape = (6, 12)

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.gates = nn.Linear(12, 16), nn.RMSNorm(16), nn.Linear(16, 32)
        self.mix, self.head = nn.Conv1d(16, 16, 3), nn.Linear(16, 5)

    def forward(self, x):
        h = nn.functional.glu(self.gates(self.norm(self.first(x))))
        return self.head(self.mix(nn.functional.pad(h.transpose(1, 2), [2, 0])).mean(2))


class GatesHideIt(nn.Module):
    """Gates saturate at what is infinite on the way; the state of the last step says so."""

    shape = (6, 12)

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(12, 8), nn.Linear(16, 5)
        self.cells = nn.LSTM(8, 8, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, x):
        states, (_, cells) = self.cells(self.first(x))
        return self.head(states[:, -1] + cells[0].repeat(1, 2))


class ACellOutgrowsTheOutput(nn.Module):
    """An LSTM keeps in its cell what is large, beside an output within one; a norm squares the cell."""

    shape = (6, 12)

    def __init__(self):
        super().__init__()
        self.first, self.second, self.norm, self.head = nn.Linear(12, 8), nn.Linear(12, 8), nn.LayerNorm(8), nn.Linear(8, 5)
        self.cells = nn.LSTM(12, 8, batch_first=True)
        with torch.no_grad():
            self.cells.bias_ih_l0[8:16] = 20.0  # of the gate that forgets: nothing is forgotten

    def forward(self, x):
        state = self.second(x[:, 0]).unsqueeze(0), self.first(x[:, 0]).unsqueeze(0)
        return self.head(self.norm(self.cells(x, state)[1][1][0]))


CASES = [
    AFoldedNormHidesIt,
    AClampHidesIt,
    ANormHidesIt,
    ResidualsCarryIt,
    ARootMeanSquareHidesIt,
    GatesHideIt,
    ACellOutgrowsTheOutput,
]


@cache
def network_of(case):
    torch.manual_seed(0)
    model, images = case().eval(), torch.randn(N, *case.shape)
    with torch.no_grad():
        labels = CanonicalModel(Network(model, images, torch.zeros(N, dtype=torch.int64))).model(images.double()).argmax(1)
    return Network(model, images, labels, name=case.__name__)


def probes_of(network, draws=2):
    conditions = [(layer, entry, level) for layer in network.layers[:2] for entry in GROWN for level in entry.levels]
    return [Probe(*condition, draw, 0, N) for condition in conditions for draw in range(draws)]


def counts(rows):
    return [(row["broken"], row["fixed"], row["predictions_changed"], row["flips"]) for row in rows]


@pytest.mark.parametrize("case", first_by_default(CASES, 2))
def test_counts_of_grown_weights_are_canonical_and_float32_settles_most_of_them(case):
    network = network_of(case)
    engine = Engine(network)
    probes = probes_of(network)
    assert counts(engine.measure(probes)) == counts(PlainEngine(network).measure(probes))
    assert engine.reasons == {}
    assert engine.settled["guarded float32"] > engine.settled["canonical"]


def be_blind(monkeypatch):
    """Let calibration and audit find no error."""
    monkeypatch.setattr(settle, "largest_spread", lambda *_: 0.0)
    monkeypatch.setattr(bands, "error_spreads", lambda logits, *_: np.zeros(len(logits)))


@pytest.mark.parametrize("case", [AFoldedNormHidesIt, AClampHidesIt, ANormHidesIt])
def test_without_the_guard_counts_are_wrong(case, monkeypatch):
    """Calibration and audits would notice; here both are made blind."""
    network = network_of(case)
    probes = probes_of(network)
    expected = counts(PlainEngine(network).measure(probes))
    monkeypatch.setattr(ladders, "GROWTH", np.inf)
    be_blind(monkeypatch)
    engine = Engine(network)
    wrong = [found != right for found, right in zip(counts(engine.measure(probes)), expected, strict=True)]
    assert sum(wrong) > 0
    assert engine.settled["guarded float32"] == 0


def test_a_certificate_that_passes_everything_is_wrong(monkeypatch):
    network = network_of(ANormHidesIt)
    probes = probes_of(network)
    expected = counts(PlainEngine(network).measure(probes))
    monkeypatch.setattr(guard, "_fits", lambda *_: True)
    be_blind(monkeypatch)
    assert counts(Engine(network).measure(probes)) != expected


@cache
def ladders_of(network):
    with exact_float32():
        made = ladders.Ladders(ReplayedNetwork(CanonicalModel(network), Pace()))
        return made, {layer.name: made.replayed.layer(layer) for layer in network.layers}


def guarded_logits(network, layer, weight):
    """Return logits of the guarded float32, those of whole canonical passes, and the spread of errors without perturbation."""
    made, replays = ladders_of(network)
    canonical = made.replayed.canonical
    with exact_float32():
        rungs = made.ladder(replays[layer.name], layer, weight, 0, N)
        assert rungs[0].trust.name == "guarded float32"
        with canonical.weight_set(layer, weight):
            expected = canonical.logits(network.inputs).numpy()
        rows = np.arange(N)
        assert np.array_equal(np.isfinite(rungs[-1].logits(rows)), np.isfinite(expected))
        return rungs[0].logits(rows), expected, made.clean(0, N).spread("float32")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", first_by_default([1e20, 1e4, 3e38]))
def test_guarded_logits_are_off_by_rounding_alone_and_finite_where_canonical_ones_are(case, size):
    network = network_of(case)
    for layer in network.layers[:2]:
        weight = network.weight(layer)
        weight.reshape(len(weight), -1)[::3, 1] = size * np.where(np.arange(len(weight[::3])) % 2, 1.0, -1.0)
        found, expected, clean = guarded_logits(network, layer, weight)
        finite = np.isfinite(expected).all(1)
        assert not np.isfinite(found[~finite]).all(1).any()
        answered = np.isfinite(found).all(1)
        assert answered.sum() >= 0.9 * finite.sum()
        if answered.any():
            assert error_spreads(found[answered], expected[answered]).max() <= 64 * max(clean, 1e-6)


def test_examples_at_the_very_end_of_the_range_are_not_proven():
    """Rounding decides whether a result is infinite: such an example is left to canonical arithmetic."""
    network = network_of(AClampHidesIt)
    layer = network.layers[1]
    with torch.no_grad():
        hidden = torch.relu(CanonicalModel(network).model.first(network.inputs.double()))[:, 0]
    example, largest = int(hidden.argmax()), float(hidden.max())
    weight = network.weight(layer)
    weight[0] = 0.0
    weight[0, 0] = LARGEST / largest
    assert np.isfinite(weight).all()
    found, _, _ = guarded_logits(network, layer, weight)
    assert np.isnan(found[example]).all()
    assert np.isfinite(found).all(1).sum() > 0.9 * N


def test_clean_values_of_a_slice_take_the_room_that_they_are_given():
    network = network_of(ResidualsCarryIt)
    made, replays = ladders_of(network)
    layer = network.layers[1]
    guarded_logits(network, layer, 1e20 * network.weight(layer))
    with exact_float32():
        made._pass(0, N).move_to(replays[layer.name])
    (_, kept), (_, exact) = made._last, made._last_exact
    tensors = [tensor for each in (kept, exact) for parts in each._inputs for tensor in parts]
    tensors += [tensor for each in (kept, exact) for values in each._kept for tensor in values.values()]
    tensors += [tensor for values in exact._cast[torch.float32] for tensor in values]
    n_bytes = sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())
    given = HELD * (4 * network.inputs.numel() + N * replays[layer.name].bytes_per_example)
    assert 0.7 * given < n_bytes <= given


def test_an_operation_of_which_nothing_is_known_has_no_certificate():
    known = REACHES.keys() | AFFINE.keys()
    assert {"cumsum", "gru", "atan2"}.isdisjoint(known)
    assert known > MOVES | CHOOSES

    class Unknown(AClampHidesIt):
        def forward(self, x):
            return self.head(torch.cumsum(self.second(torch.relu(self.first(x))), 1).clamp(0, 6))

    network = network_of(Unknown)
    engine, probes = Engine(network), probes_of(network, draws=1)
    assert counts(engine.measure(probes)) == counts(PlainEngine(network).measure(probes))
    assert engine.settled["guarded float32"] == 0
    assert engine.settled["canonical"] > 0
