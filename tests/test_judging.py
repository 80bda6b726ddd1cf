from dataclasses import replace
from itertools import permutations
from math import isnan

import numpy as np
import pytest

from safer_bench.judging import METRICS, CellTruth
from safer_bench.tables import schema


def cell(values, order=slice(None)):
    """Return a truth without noise, of layers whose sizes and positions tell nothing."""
    sizes = np.random.default_rng(1).random((2, len(values)))[:, order]
    return CellTruth(values, values, values, np.zeros(len(values)), sizes)


def test_a_constant_criterion_never_wins():
    """Ties once let constant scorers top a board (mteb#5092); here they have no value."""
    truth, constant = (cell(values) for values in (np.arange(12.0), np.ones(12)))
    for metric in METRICS:
        assert isnan(metric(truth, np.ones(12))), metric.name
        assert isnan(metric(constant, np.arange(12.0))), metric.name


def test_the_order_of_layers_never_changes_a_value():
    rng = np.random.default_rng(0)
    truth, scores, order = rng.normal(size=15), rng.integers(0, 4, 15).astype(float), rng.permutation(15)
    for metric in METRICS:
        found = metric(cell(truth[order], order), scores[order])
        assert found == pytest.approx(metric(cell(truth), scores)), metric.name


@pytest.mark.parametrize("n_layers", [2, 7, 24])
@pytest.mark.parametrize("ties", [False, True])
def test_stacked_truths_and_scores_give_what_each_pair_gives(n_layers, ties):
    rng = np.random.default_rng(n_layers)
    draw = (lambda *shape: rng.integers(0, 3, shape).astype(float)) if ties else (lambda *shape: rng.normal(size=shape))
    parts, sizes, scores = draw(3, 4, n_layers), rng.random((2, n_layers)), draw(5, n_layers)
    errors = np.full((4, n_layers), 0.05)
    stacked = CellTruth(*(part[:, None] for part in parts), errors[:, None], sizes)
    for metric in METRICS:
        single = [[metric(CellTruth(*parts[:, c], errors[c], sizes), scores[s]) for s in range(5)] for c in range(4)]
        assert metric(stacked, scores) == pytest.approx(np.array(single), nan_ok=True), metric.name


def test_the_schema_names_the_same_metrics():
    assert tuple(metric.name for metric in METRICS) == schema.METRIC_NAMES


def test_no_order_of_the_layers_leaves_the_limits_of_a_metric_and_some_reach_them():
    """Every order of seven layers, against a truth whose halves differ and whose layers do not all lose."""
    rng = np.random.default_rng(3)
    orders = np.array(list(permutations(range(7))), dtype=float)
    for seed in range(4):
        half_a, half_b = np.random.default_rng(seed).normal(0.5, 1.0, (2, 7)) + np.arange(7.0)
        truth = CellTruth((half_a + half_b) / 2, half_a, half_b, np.full(7, 1e-3), rng.random((2, 7)))
        wide = CellTruth(
            *(getattr(truth, name)[None] for name in ("values", "half_a", "half_b", "errors")), truth.size_and_depth
        )
        for metric in METRICS:
            values, (lowest, highest) = metric(wide, orders), metric.limits(truth)
            if np.isnan(values).all():
                assert (lowest, highest) == (0.0, 0.0), metric.name
                continue
            values = np.nan_to_num(values)  # an order that size and depth explain in full has no partial correlation
            assert np.all(values >= lowest - 1e-12), metric.name
            assert np.all(values <= highest + 1e-12), metric.name
            if metric.name != "partial_spearman":  # which size and depth may keep from its ends
                assert (values.min(), values.max()) == pytest.approx((float(lowest), float(highest)), abs=1e-12), metric.name


def test_limits_of_a_stack_are_those_of_each_truth():
    half_a, half_b = np.random.default_rng(0).normal(size=(2, 3, 12))
    half_b[1] = np.nan  # a truth that cannot be halved
    truth = CellTruth(half_a, half_a, half_b, np.full((3, 12), 0.01), np.random.default_rng(1).random((2, 12)))
    for metric in METRICS:
        stacked = np.array(metric.limits(truth))
        assert stacked.shape == (2, 3)
        for i in range(3):
            one = CellTruth(
                *(getattr(truth, name)[i] for name in ("values", "half_a", "half_b", "errors")), truth.size_and_depth
            )
            assert stacked[:, i] == pytest.approx(np.array(metric.limits(one))), metric.name


def test_limits_are_zero_where_no_scores_have_a_value():
    """A constant truth, and for partial correlations one that size and depth explain in full."""
    constant, explained = cell(np.ones(12)), cell(np.arange(12.0))
    explained = replace(explained, size_and_depth=np.stack([np.arange(12.0), np.random.default_rng(0).random(12)]))
    for metric in METRICS:
        assert metric.limits(constant) == (0.0, 0.0), metric.name
        assert (metric.limits(explained) == (0.0, 0.0)) == (metric.name == "partial_spearman"), metric.name


def test_an_unknown_value_leaves_every_metric_undefined_and_its_limits_zero():
    values, scores = np.arange(12.0), np.arange(12.0)
    unknown = np.where(values == 7, np.nan, values)
    for metric in METRICS:
        assert isnan(metric(cell(values), np.where(scores == 3, np.nan, scores))), metric.name
        assert isnan(metric(cell(unknown), scores)), metric.name
        assert metric.limits(cell(unknown)) == (0.0, 0.0), metric.name
