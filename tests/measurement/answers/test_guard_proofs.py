"""What guarded float32 must not take for proven: numbers too small for it, masks, examples in another order, lone errors."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from safer_bench.measurement import bands
from safer_bench.measurement.answers import arithmetics, guard, ladders
from safer_bench.measurement.answers.canonical import CanonicalModel
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.ranges import REACHES, Bounded
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.trace import operation_name
from safer_bench.measurement.answers.tuning import Pace
from safer_bench.measurement.design import Probe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plain import PlainEngine
from safer_bench.networks.network import Network
from safer_bench.perturbations.perturbation import perturbation

N = 60


@perturbation(levels=(1.0, 1e4, 1e20, 3e38), scale="log10", unit="", source="", faulty=True)
def grown_weights(weight, level, rng):
    """Set one weight of every other row to a large number of either sign."""
    grown = weight.reshape(len(weight), -1).copy()
    places = (rng.uniform((len(grown),)) * grown.shape[1]).astype(int)
    chosen = np.flatnonzero(rng.uniform((len(grown),)) < 0.5)
    grown[chosen, places[chosen]] = level * rng.signs((len(chosen),))
    return grown.reshape(weight.shape)


@perturbation(levels=(1.0, 1e6, 1e9), scale="log10", unit="", source="", faulty=True)
def opposite_weights(weight, level, rng):
    """Under some draws, set two weights of a row that read the same value to opposite large numbers."""
    half = weight.shape[1] // 2
    row, place = (rng.uniform((2,)) * (len(weight), half)).astype(int)
    if rng.uniform((1,))[0] < 0.3:
        weight = weight.copy()
        weight[row, [place, place + half]] = level, -level
    return weight


class Rows(nn.Module):
    """Three linear layers on images (n, 12); cases differ in what they do with them."""

    shape = (12,)

    def __init__(self, inner=32):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 32), nn.Linear(inner, 32), nn.Linear(32, 5)
        self.register_buffer("mask", torch.arange(32) % 3 != 0)


class LogarithmOfASoftmax(Rows):
    """A probability of exp(-200) is zero in float32, and its logarithm infinite there."""

    def forward(self, x):
        return torch.log(torch.softmax(self.c(torch.relu(self.a(x))), 1))


class MaskBeforeANorm(Rows):
    def forward(self, x):
        return self.c(F.layer_norm(torch.relu(self.a(x)) * self.mask, (32,)))


class ProductOfWeights(Rows):
    """The product of two weights is beyond float32's range; what is made of it is not."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(32, 4)), nn.Parameter(3 * torch.randn(4, 12))

    def forward(self, x):
        return self.c(torch.tanh(F.linear(x, self.a.weight + self.left @ self.right)))


class TwoViewsInOneBatch(Rows):
    """Between its modules, values are beyond float32's range."""

    def forward(self, x):
        h = torch.relu(self.a(x))
        h = torch.cat([h, h.flip(1)], 0)
        return self.c(F.relu6(F.linear(h, 1e3 * self.b.weight) * 1e-39 + self.b.bias)).reshape(2, -1, 5).sum(0)


class TheSameFeaturesTwice(Rows):
    def __init__(self):
        super().__init__(inner=64)

    def forward(self, x):
        h = torch.relu(self.a(x))
        return self.c(torch.relu(self.b(torch.cat([h, h], 1))))


def network_of(case, images=None, seed=0):
    torch.manual_seed(seed)
    model, images = case().eval(), torch.randn(N, *case.shape) if images is None else images
    labels = CanonicalModel(Network(model, images, torch.zeros(N, dtype=torch.int64))).logits(images).argmax(1)
    return Network(model, images, labels, name=case.__name__)


def counts(rows):
    return [(row["broken"], row["fixed"], row["predictions_changed"], row["flips"]) for row in rows]


def without_audits(monkeypatch):
    for name in ("GUARDED", "FLOAT32"):
        trust = dataclasses.replace(getattr(arithmetics, name), audit=0.0, n_audited=0)
        monkeypatch.setattr(ladders, name, trust)
        monkeypatch.setattr(bands, name, trust)


@pytest.mark.parametrize("case", [LogarithmOfASoftmax, MaskBeforeANorm, ProductOfWeights])
def test_counts_are_canonical_without_audits(case, monkeypatch):
    without_audits(monkeypatch)
    network = network_of(case)
    probes = [
        Probe(layer, grown_weights, level, draw, 0, N)
        for layer in network.layers
        for level in grown_weights.levels
        for draw in range(6)
    ]
    engine = Engine(network)
    assert counts(engine.measure(probes)) == counts(PlainEngine(network).measure(probes))
    assert engine.reasons == {}
    assert engine.settled["guarded float32"] > 0


def test_each_grown_weight_is_audited():
    """Those that cancel are off by more than the band, and the draw that calibrates it has none."""
    network = network_of(TheSameFeaturesTwice, seed=2)
    (layer,) = (layer for layer in network.layers if layer.name == "b")
    probes = [Probe(layer, opposite_weights, level, draw, 0, N) for level in (1e6, 1e9) for draw in range(12)]
    engine = Engine(network)
    assert counts(engine.measure(probes)) == counts(PlainEngine(network).measure(probes))
    assert engine.settled["widened"] > 0
    assert engine.settled["guarded float32"] > 0


def test_where_rounding_decides_it_does_so_as_in_whole_passes():
    """All classes have the same weights, so that the order of sums alone makes one of them the top class."""
    network = network_of(LogarithmOfASoftmax, seed=3)
    with torch.no_grad():
        network.model.c.weight[:] = network.model.c.weight[0]
        network.model.c.bias.zero_()
    probes = [Probe(network.layers[0], grown_weights, level, draw, 0, N) for level in (1.0, 1e4) for draw in range(6)]
    assert counts(Engine(network).measure(probes)) == counts(PlainEngine(network).measure(probes))


def guarded_and_canonical(network, layer, weight):
    with exact_float32():
        made = ladders.Ladders(ReplayedNetwork(CanonicalModel(network), Pace()))
        rungs, rows = made.ladder(made.replayed.layer(layer), layer, weight, 0, N), np.arange(N)
        assert rungs[0].trust.name == "guarded float32"
        with made.replayed.canonical.weight_set(layer, weight):
            return rungs[0].logits(rows), made.replayed.canonical.logits(network.inputs).numpy()


class AttentionOverTokens(nn.Module):
    """nn.MultiheadAttention lays tokens, then examples along one axis."""

    shape = (5, 8)

    def __init__(self):
        super().__init__()
        self.a, self.attention, self.c = nn.Linear(8, 8), nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 5)

    def forward(self, x):
        h = self.a(x)
        return self.c(F.relu6(self.attention(h, h, h, need_weights=False)[0]).mean(1))


def test_bounds_are_those_of_their_examples():
    """Scaled by another example's bound, large values overflow."""
    images = torch.rand(N, 12, generator=torch.Generator().manual_seed(1))
    images[::2] *= 1e-20
    network = network_of(TwoViewsInOneBatch, images)
    layer = network.layers[0]
    weight = network.weight(layer)
    weight[::2, 1] = 3e38
    found, expected = guarded_and_canonical(network, layer, weight)
    assert np.isfinite(expected).all()
    assert np.isfinite(found).all(1).sum() > 0.9 * N
    assert not np.isposinf(found).all(1).any()
    assert np.nanmax(np.abs(found - expected)) < 1e-5 * np.abs(expected).max()


def test_values_that_hold_tokens_before_examples_are_bounded_together():
    network = network_of(AttentionOverTokens)
    with exact_float32():
        graph = ReplayedNetwork(CanonicalModel(network), Pace()).exact_replay.traced.graph
    of_linear = [guard._axis(node) for node in graph.nodes if operation_name(node) == "linear"]
    assert of_linear == [(0, 1), (1, 1), None, (0, 1)]


class SmallValuesBesideLargeOnes(nn.Module):
    shape = (2, 6, 6)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Linear(8, 5)
        with torch.no_grad():
            self.b.weight.mul_(100)

    def forward(self, x):
        h = self.a(x)
        return self.c(F.relu6(self.b(h * h * h)).mean((2, 3)))


def test_small_values_keep_their_digits_beside_large_ones():
    network = network_of(SmallValuesBesideLargeOnes, torch.randn(N, 2, 6, 6).clamp(-3, 3) / 4)
    layer = network.layers[0]
    weight = network.weight(layer)
    weight[0, 0] = 3e38
    found, expected = guarded_and_canonical(network, layer, weight)
    answered = np.isfinite(found).all(1)
    assert answered.sum() > 0.9 * N
    assert np.abs(found - expected)[answered].max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "operation", "arguments", "kwargs"),
    [
        ("elu", F.elu, (1e6,), {}),
        ("avg_pool2d", F.avg_pool2d, (2, 2, 0, False, True, 1), {}),
        ("avg_pool2d", F.avg_pool2d, (2,), {"divisor_override": 1}),
        ("mul", torch.mul, (torch.arange(6) * 1000,), {}),
        ("mul", torch.mul, (torch.arange(6) > 2,), {}),
        ("scaled_dot_product_attention", F.scaled_dot_product_attention, ("x", "x"), {"scale": -1e3}),
    ],
)
def test_no_result_is_beyond_its_bound(name, operation, arguments, kwargs):
    x = torch.randn(9, 3, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 1.0
    given = [x if isinstance(each, str) else each for each in arguments]
    result = operation(x, *given, **kwargs)
    bounded = [
        Bounded(each, (0, 1) if each is x else None) if isinstance(each, torch.Tensor) else each for each in (x, *given)
    ]
    reach, bound = REACHES[name](*bounded, **kwargs)
    largest = result.abs().flatten(1).amax(1)
    assert (largest <= bound * (1 + 1e-12)).all()
    assert (reach >= largest).all()
    if name == "scaled_dot_product_attention":
        assert (reach >= (kwargs["scale"] * x @ x.mT).abs().flatten(1).amax(1)).all()
