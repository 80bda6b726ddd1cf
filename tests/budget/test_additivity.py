"""Joint drops and sums of drops are those of plain loops; a fit of them says what it should."""

import numpy as np
import pytest

from safer_bench.budget.additivity import N_SETS, additivity, fits, layer_sets
from safer_bench.budget.protection import slice_of
from safer_bench.budget.whole import WholeNetwork
from safer_bench.errors import BadInput
from safer_bench.tables import schema


@pytest.mark.parametrize(("n_layers", "sizes"), [(22, range(2, 12)), (10, range(2, 6)), (3, [2])])
def test_sets_are_of_all_sizes_up_to_half_of_the_layers_and_differ(n_layers, sizes):
    sets = layer_sets(n_layers, "net")
    assert len(sets) == N_SETS == 50
    assert {len(each) for each in sets} == set(sizes)
    assert all(len(set(each.tolist())) == len(each) and max(each) < n_layers for each in sets)
    assert [each.tolist() for each in sets] == [each.tolist() for each in layer_sets(n_layers, "net")]
    assert len({tuple(each) for each in sets}) > (40 if n_layers > 5 else 1)


@pytest.fixture(scope="module")
def measured():
    from tests.made_up.networks import tiny_network

    return additivity([tiny_network()], ["sign_flip:0.3", "quantize"], draws=2)


def test_drops_are_those_of_a_plain_loop(measured, tiny):
    whole, rows = WholeNetwork(tiny), [row for row in measured.to_pylist() if row["perturbation"] == "sign_flip"]
    assert len(rows) == 50
    row = rows[7]
    names = row["layers"].split(" ")
    assert len(names) == 2
    joint, alone = [], []
    for draw in range(2):
        start, n = slice_of(draw, 2, 60)
        weights = {name: whole.perturbed(tiny.layer(name), "sign_flip", 0.3, draw) for name in names}
        drop = lambda some, start=start, n=n: whole.correct({}, start, n).mean() - whole.correct(some, start, n).mean()  # noqa: E731
        joint.append(drop(weights))
        alone.append(sum(drop({name: weight}) for name, weight in weights.items()))
    assert row["joint_drop"] == pytest.approx(np.mean(joint))
    assert row["sum_of_drops"] == pytest.approx(np.mean(alone))
    assert (row["network"], row["draws"], row["n_examples"]) == ("tiny", 2, 60)


def test_a_bare_name_is_measured_at_its_two_mildest_levels_and_once_where_nothing_is_random(measured):
    found = {(row["perturbation"], row["level"], row["draws"]) for row in measured.to_pylist()}
    assert found == {("sign_flip", 0.3, 2), ("quantize", 4.0, 1), ("quantize", 3.0, 1)}


def made(total, joint):
    rows = [
        {"network": "net", "perturbation": "quantize", "level": 4.0, "set": i, "sum_of_drops": a, "joint_drop": b}
        for i, (a, b) in enumerate(zip(total, joint, strict=True))
    ]
    return fits(schema.build("budget_additivity", rows))


def test_a_fit_tells_correlation_slope_and_what_the_sums_explain():
    rng = np.random.default_rng(3)
    total = rng.random(50)
    (same,) = made(total, total)
    assert (same.correlation, same.slope, same.explained) == pytest.approx((1.0, 1.0, 1.0))
    (double,) = made(total, 2 * total + 0.1)
    assert (double.correlation, double.slope) == pytest.approx((1.0, 2.0))
    assert double.explained == pytest.approx(1 - np.mean((total + 0.1) ** 2) / np.var(2 * total))
    joint = total + 0.2 * rng.normal(size=50)
    (noisy,) = made(total, joint)
    slope, _ = np.polyfit(total, joint, 1)
    assert (noisy.correlation, noisy.slope) == pytest.approx((np.corrcoef(total, joint)[0, 1], slope))
    assert (noisy.network, noisy.perturbation, noisy.level, noisy.n_sets) == ("net", "quantize", 4.0, 50)


def test_sets_that_lose_alike_have_no_fit_and_those_that_gain_have_one():
    total = -np.random.default_rng(4).random(50)  # noise may help: a drop below 0
    (gains,) = made(total, 0.5 * total)
    assert (gains.correlation, gains.slope) == pytest.approx((1.0, 0.5))
    (alike,) = made(total, np.full(50, -0.1))
    assert np.isnan([alike.correlation, alike.slope, alike.explained]).all()


def test_where_nothing_is_lost_there_is_no_fit():
    (flat,) = made(np.zeros(50), np.zeros(50))
    assert np.isnan([flat.correlation, flat.slope, flat.explained]).all()


def test_no_draws_are_refused_and_not_measured_as_nan(tiny):
    with pytest.raises(BadInput, match=r"^0 draws; expected at least 1$"):
        additivity([tiny], ["sign_flip:0.3"], draws=0)


def test_drops_that_differ_by_rounding_alone_have_no_fit():
    noise = np.finfo(float).eps * np.arange(50)
    for total, joint in ((np.arange(50.0), 0.3 + noise), (0.3 + noise, np.arange(50.0))):
        (found,) = made(total, joint)
        assert np.isnan([found.correlation, found.slope, found.explained]).all()


def test_proportional_drops_correlate_at_one_and_no_more_and_sums_that_cancel_tell_nothing():
    total = np.array([0.41, 0.14, 0.97, 0.53, 0.81])
    (fitted,) = made(total, 3 * total)
    assert fitted.correlation == 1.0
    (cancelled,) = made(np.array([0.0, 0.1 + 0.2 - 0.3, 0.0]), np.array([0.1, 0.3, 0.2]))
    assert np.isnan(cancelled.correlation)
