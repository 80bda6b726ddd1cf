"""Answers are the last rung's, whatever the rungs before it get wrong; on made-up logits, and once on a network."""

import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.measurement import bands as bands_module
from safer_bench.measurement import fast_answers
from safer_bench.measurement.answers import ladders
from safer_bench.measurement.answers import settle as settle_module
from safer_bench.measurement.answers.canonical import NO_CLASS, judge
from safer_bench.measurement.answers.settle import (
    Arithmetic,
    Bands,
    Rung,
    comparable,
    error_spreads,
    in_doubt,
    largest_spread,
    settle,
)
from safer_bench.measurement.design import Probe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plain import PlainEngine
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation

N, N_CLASSES = 3000, 5
ALL = np.arange(N)


@pytest.fixture
def exact():
    return np.random.default_rng(1).normal(size=(N, N_CLASSES))


def with_errors(exact, size, seed=2):
    return exact + size * np.random.default_rng(seed).normal(size=exact.shape)


def heavy_tailed(exact):
    """Return logits with small errors, but for one example in ten, whose margin their errors exceed."""
    found = with_errors(exact, 1e-4)
    found[5::10] = with_errors(exact, 1.0, seed=3)[5::10]
    return found


def rung(name, logits, **options):
    return Rung(Arithmetic(name, **options), logits.__getitem__)


def answers(logits):
    return judge(torch.from_numpy(logits), torch.zeros(len(logits), dtype=torch.int64)).predictions


def settled(ladder, rows=ALL, bands=None, seed=0):
    return answers(settle(ladder, rows, bands or Bands(), np.random.default_rng(seed)))


def test_answers_are_the_last_rungs_and_most_examples_never_reach_it(exact):
    fast, bands = with_errors(exact, 0.01), Bands()
    assert (answers(fast) != answers(exact)).any()
    ladder = [rung("fast", fast, factor=4.0, n_sample=64), rung("exact", exact)]
    assert np.array_equal(settled(ladder, bands=bands), answers(exact))
    assert bands.n_settled["fast"] > 0.6 * N
    assert 64 < bands.n_settled["exact"] < 0.4 * N
    assert bands.n_settled.total() == N
    assert bands.n_widened == 0


def test_three_rungs_hand_on_what_they_cannot_settle(exact):
    middle, bands = with_errors(exact, 1e-4), Bands()
    fast = with_errors(middle, 0.01, seed=4)
    ladder = [
        rung("fast", fast, factor=2.0, n_sample=64, audit=0.01),
        rung("middle", middle, factor=2.0, n_sample=16, audit=0.01),
        rung("exact", exact),
    ]
    assert np.array_equal(settled(ladder, bands=bands), answers(exact))
    assert bands.n_settled["fast"] > bands.n_settled["middle"] > bands.n_settled["exact"] > 0
    assert bands.n_settled.total() == N
    assert bands.widths["fast"] > 30 * bands.widths["middle"] > 0


def test_only_the_examples_asked_for_are_settled_in_their_order(exact):
    rows = np.array([7, 3, 1999, 42, 8])
    ladder = [rung("fast", with_errors(exact, 0.5), factor=2.0, n_sample=2), rung("exact", exact)]
    bands = Bands()
    assert np.array_equal(settled(ladder, rows, bands), answers(exact)[rows])
    assert bands.n_settled.total() == 5


def test_a_band_made_too_small_is_wrong_without_an_audit_and_caught_with_one(exact):
    """The sample sees none of the large errors; the audit does, and widens the band."""
    fast = heavy_tailed(exact)
    unaudited = Bands()
    wrong = settled([rung("fast", fast, factor=0.1, n_sample=2), rung("exact", exact)], bands=unaudited)
    again = Bands(dict(unaudited.widths))
    right = settled([rung("fast", fast, factor=2.0, audit=0.05), rung("exact", exact)], bands=again)
    assert (wrong != answers(exact)).sum() > 50
    assert unaudited.n_widened == 0
    assert np.array_equal(right, answers(exact))
    assert again.n_widened > 0
    assert again.widths["fast"] > 1 > 1e-3 > unaudited.widths["fast"]


def test_an_audit_of_everything_is_right_however_small_the_band(exact):
    bands = Bands()
    ladder = [rung("fast", heavy_tailed(exact), factor=1e-6, n_sample=4, audit=1.0), rung("exact", exact)]
    assert np.array_equal(settled(ladder, bands=bands), answers(exact))
    assert bands.n_settled == {"fast": 0, "exact": N}


def test_a_band_that_doubt_alone_shows_to_be_too_small_is_widened(exact):
    bands = Bands(widths={"fast": 1e-3})
    ladder = [rung("fast", with_errors(exact, 0.01), factor=4.0), rung("exact", exact)]
    assert np.array_equal(settled(ladder, bands=bands), answers(exact))
    assert bands.n_widened > 0
    assert bands.widths["fast"] > 0.02


def test_a_known_band_is_used_again_without_a_sample(exact):
    ladder = [rung("fast", with_errors(exact, 1e-4), factor=4.0, n_sample=1000), rung("exact", exact)]
    bands = Bands()
    for _ in range(3):
        assert np.array_equal(settled(ladder, bands=bands), answers(exact))
    assert 1000 < bands.n_settled["exact"] < 1100
    assert bands.n_settled.total() == 3 * N


def test_answers_do_not_depend_on_the_random_generator(exact):
    ladder = [
        rung("fast", with_errors(exact, 0.02), factor=4.0, n_sample=64, audit=0.01),
        rung("exact", exact),
    ]
    n_exact = set()
    for seed in range(5):
        bands = Bands()
        assert np.array_equal(settled(ladder, bands=bands, seed=seed), answers(exact))
        n_exact.add(bands.n_settled["exact"])
    assert len(n_exact) > 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_go_up(exact, value):
    fast = exact.copy()
    fast[10:20, 3] = value
    bands = Bands(widths={"fast": 1e-9})
    assert np.array_equal(settled([rung("fast", fast, audit=0.01), rung("exact", exact)], bands=bands), answers(exact))
    assert bands.n_settled["fast"] > 0.9 * N
    assert bands.widths["fast"] == 1e-9


def test_doubt_about_logits_that_are_not_finite_does_not_widen_the_band(exact):
    fast = exact.copy()
    fast[10:20, 3] = np.inf
    bands = Bands(widths={"fast": 1e-9})
    assert np.array_equal(settled([rung("fast", fast), rung("exact", exact)], bands=bands), answers(exact))
    assert bands.n_settled == {"fast": N - 10, "exact": 10}
    assert bands.n_widened == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_finite_logits_that_should_not_have_been_send_everything_up(exact, value):
    """The sample meets one of them, after which the rung is trusted with nothing."""
    last = exact.copy()
    last[::4, 1] = value
    bands = Bands()
    ladder = [rung("fast", exact, factor=4.0, n_sample=32), rung("exact", last)]
    found = settled(ladder, bands=bands)
    assert np.array_equal(found, answers(last))
    assert (found[::4] == NO_CLASS).all()
    assert bands.widths["fast"] == np.inf
    assert bands.n_settled == {"fast": 0, "exact": N}


def test_a_sample_of_infinite_logits_tells_nothing_and_everything_goes_up(exact):
    bands = Bands()
    ladder = [rung("fast", np.full_like(exact, np.inf), factor=4.0, n_sample=8), rung("exact", exact)]
    assert np.array_equal(settled(ladder, bands=bands), answers(exact))
    assert bands.n_settled == {"fast": 0, "exact": N}


@pytest.fixture
def masked(exact):
    """One class of all examples, another of one in three, all but one of one in a hundred."""
    found = np.zeros_like(exact, dtype=bool)
    found[:, 3] = found[::3, 0] = True
    found[::100] = [False, True, True, True, True]
    exact[found] = -np.inf
    return found


def test_masked_classes_leave_bands_and_answers_as_they_are(exact, masked):
    behind = np.where(masked, np.where(masked, np.inf, exact).min(1, keepdims=True) - 1.0, exact)
    expected = answers(behind)
    found = []
    for last, off in ((exact, masked), (behind, None)):
        bands = Bands()
        ladder = [rung("fast", with_errors(last, 0.01), factor=4.0, n_sample=64), rung("exact", last)]
        logits = settle(ladder, ALL, bands, np.random.default_rng(0), off)
        assert np.array_equal(judge(torch.from_numpy(logits), torch.zeros(N, dtype=torch.int64), off).predictions, expected)
        assert bands.n_settled["fast"] > 0.5 * N
        found.append(bands.widths["fast"])
    assert found[0] <= found[1]  # errors of classes that are not masked alone


def test_a_masked_class_that_is_finite_in_the_fast_arithmetic_goes_up(exact, masked):
    fast, bands = exact.copy(), Bands(widths={"fast": 1e-9})
    fast[10:20, 3] = 99.0
    ladder = [rung("fast", fast), rung("exact", exact)]
    logits = settle(ladder, ALL, bands, np.random.default_rng(0), masked)
    assert np.array_equal(logits, exact)
    assert 10 <= bands.n_settled["exact"] < 100


def test_an_infinite_logit_of_a_class_that_is_not_masked_goes_up(exact, masked):
    fast, bands = exact.copy(), Bands(widths={"fast": 1e-9})
    fast[11:20:3, 2] = -np.inf
    settle([rung("fast", fast), rung("exact", exact)], ALL, bands, np.random.default_rng(0), masked)
    assert bands.n_settled["exact"] >= 3


def test_masked_classes_change_neither_margin_nor_range():
    inf = np.inf
    logits, masked = (
        np.array([[4.0, 7.0, -inf], [4.0, -inf, -inf], [-inf] * 3]),
        np.array([[0, 0, 1], [0, 1, 1], [1] * 3]) > 0,
    )
    assert comparable(logits, masked)[:2].tolist() == [[4, 7, 3], [4, 3, 3]]
    assert in_doubt(comparable(logits, masked), 2.9 / 7).tolist() == [False, True, True]
    assert largest_spread(comparable(np.add(logits, [0.5, 0, 0]), masked)[:1], comparable(logits, masked)[:1]) == 0.5 / 7
    assert comparable(logits, None) is logits


def test_exact_ties_go_to_the_lowest_class(exact):
    """In the fast arithmetic the higher class wins by less than the rounding of float32."""
    exact[:, 2] = exact[:, 4] = exact.max(1)
    fast = exact.copy()
    fast[:, 4] += 1e-7 * np.abs(exact).max(1)
    bands = Bands(widths={"fast": 0.0})
    found = settled([rung("fast", fast), rung("exact", exact)], bands=bands)
    assert set(answers(fast)) >= {4}
    assert np.array_equal(found, answers(exact))
    assert 4 not in found


def test_one_class_is_always_the_answer(exact):
    one = exact[:, :1].copy()
    one[3] = np.nan
    bands = Bands()
    found = settled([rung("fast", with_errors(one, 0.5), factor=4.0, n_sample=8), rung("exact", one)], bands=bands)
    assert np.array_equal(found, answers(one))
    assert bands.n_settled["fast"] > N - 10


def test_no_examples_are_settled_at_once(exact):
    bands = Bands()
    ladder = [rung("fast", exact, factor=4.0, n_sample=8, audit=0.5), rung("exact", exact)]
    assert settle(ladder, ALL[:0], bands, np.random.default_rng(0)).shape == (0, N_CLASSES)
    assert bands.n_settled.total() == 0


def test_a_margin_must_exceed_the_band():
    logits = np.array([[0.0, 1.0, 4.0], [0.0, 3.5, 4.0], [np.nan, 0.0, 9.0], [-np.inf, 0.0, 9.0]])
    assert in_doubt(logits, 0.5).tolist() == [False, True, True, True]
    assert in_doubt(100.0 * logits, 0.5).tolist() == [False, True, True, True]
    assert in_doubt(logits, 0.75).tolist() == [True, True, True, True]
    assert in_doubt(1e9 + logits[:1], 0.0).tolist() == [True]


def test_the_spread_is_the_largest_error_in_a_difference_of_two_logits_beside_the_largest_logit():
    exact = np.array([[9.0, 0.0, 0.0], [0.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
    error = np.array([[1.0, 1.0, 1.0], [0.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
    assert error_spreads(exact + error, exact).tolist() == [0.0, 0.5, 0.0]
    assert error_spreads(-exact - error, -exact).tolist() == [0.0, 0.5, 0.0]
    assert largest_spread(exact + error, exact) == 0.5
    assert largest_spread(exact[:0], exact[:0]) == np.inf
    assert error_spreads(exact, np.full_like(exact, np.nan)).tolist() == [np.inf] * 3


class Coarse(nn.Module):
    """Logits that float32 rounds to multiples of about 2**-8, each class to its own; those of two classes differ by less."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 4, bias=False)
        self.register_buffer("scale", torch.tensor([1.0, 1.37, 0.9, 1.1]))

    def forward(self, x):
        logits = self.head(torch.relu(self.b(torch.relu(self.a(x)))))
        return ((logits * self.scale + 2.0**15) - 2.0**15) / self.scale


@pytest.fixture(scope="module")
def coarse():
    torch.manual_seed(0)
    model, images = Coarse().eval(), torch.randn(300, 6)
    with torch.no_grad():
        for layer in (model.a, model.b, model.head):
            layer.weight.normal_(0, layer.in_features**-0.5)
        model.head.weight[1] = model.head.weight[0] + 2e-3 * torch.randn(16)
        labels = model.double()(images.double()).argmax(1)
    return Network(model.float(), images, labels, name="coarse")


@pytest.fixture(scope="module")
def probes(coarse):
    entry, levels = parse_perturbation("gaussian_noise:0.3,0.6")
    return [Probe(layer, entry, level, draw, 0, 300) for layer in coarse.layers for level in levels for draw in range(2)]


@pytest.fixture(scope="module")
def expected(coarse, probes):
    return counts(PlainEngine(coarse).measure(probes))


def trusted(monkeypatch, **options):
    """Trust float32 in another way."""
    for module in (bands_module, ladders):
        monkeypatch.setattr(module, "FLOAT32", Arithmetic("float32", **options))


def counts(rows):
    return [(row["broken"], row["fixed"], row["predictions_changed"], row["flips"]) for row in rows]


def test_a_networks_counts_are_wrong_where_the_band_is_too_small(coarse, probes, expected, monkeypatch):
    """What doubt and audit find would widen it; here both are made blind."""
    monkeypatch.setattr(settle_module, "largest_spread", lambda *_: 0.0)
    trusted(monkeypatch, factor=0.2, audit=0.01)
    engine = Engine(coarse)
    wrong = [found != right for found, right in zip(counts(engine.measure(probes)), expected, strict=True)]
    assert sum(wrong) > len(probes) / 2
    assert engine.reasons == {}
    assert engine.settled["widened"] == 0


def test_the_audit_finds_that_a_networks_band_is_too_small_and_counts_are_right(coarse, probes, expected, monkeypatch):
    trusted(monkeypatch, factor=0.5, audit=0.3)
    engine = Engine(coarse)
    assert counts(engine.measure(probes)) == expected
    assert engine.settled["widened"] > 0
    assert engine.settled["float32"] > 0


def test_a_factor_below_one_ends_too(coarse, probes, expected, monkeypatch):
    """A widened band covers what widened it, so that the same examples do not widen it for ever."""
    trusted(monkeypatch, factor=0.5, audit=1.0)
    assert counts(Engine(coarse).measure(probes)) == expected


def test_draws_before_the_one_that_widened_the_band_are_settled_again(coarse, probes, expected, monkeypatch):
    """The first draw of each level finds no error, the second does."""

    def blind_at_first(ladder, rows, bands, random, masked):
        with monkeypatch.context() as patch:
            if not bands.n_settled:
                patch.setattr(settle_module, "largest_spread", lambda *_: 0.0)
            return settle(ladder, rows, bands, random, masked)

    engine = Engine(coarse)
    engine.clean(0, 300)
    monkeypatch.setattr(fast_answers, "settle", blind_at_first)
    trusted(monkeypatch, factor=0.3, audit=0.3)
    assert counts(engine.measure(probes)) == expected
    assert engine.settled["widened"] > 0


def test_a_networks_counts_are_right_with_a_factor_of_four(coarse, probes, expected, monkeypatch):
    trusted(monkeypatch, factor=4.0, audit=0.01)
    engine = Engine(coarse)
    assert counts(engine.measure(probes)) == expected
    assert engine.settled["float32"] > 0
    assert engine.settled["widened"] == 0


def test_a_networks_counts_are_right_as_it_comes(coarse, probes, expected):
    """Errors of a hundredth of a logit and a factor of 256 leave nothing to float32."""
    engine = Engine(coarse)
    assert counts(engine.measure(probes)) == expected
    assert engine.settled["canonical"] > 0
    assert engine.reasons == {}
