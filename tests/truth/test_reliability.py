from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from safer_bench.judging import METRICS, CellTruth
from safer_bench.metrics import spearman
from safer_bench.stream import Stream
from safer_bench.truth.reliability import can_be_halved, ceilings, random_halves, shrunken, split_half_reliability
from tests.made_up.cases import first_by_default
from tests.made_up.changes import simulate


def test_each_level_is_halved_where_levels_differ_in_draws():
    changes = [np.zeros((4, 1, 10), np.int8), np.zeros((10, 1, 10), np.int8)]
    for level in changes:
        level[:] = (1 << np.arange(len(level)))[:, None, None] % 127
    a, b = random_halves(changes, np.arange(10) * 10, Stream("t"), 100)
    for i, level in enumerate(changes):
        assert a[:, i, 0] + b[:, i, 0] == pytest.approx(2 * level.mean())
    assert len(set(a[:, 1, 0])) > 10


def test_halves_share_neither_draws_nor_examples():
    changes = [np.zeros((4, 1, 10), np.int8)]
    changes[0][0, 0, 3] = 1
    a, b = random_halves(changes, np.zeros(4, int), Stream("t"), 200)
    seen = (a[:, 0, 0] > 0).astype(int) + (b[:, 0, 0] > 0)
    assert set(seen) == {0, 1}
    a, b = random_halves(changes, np.arange(4) * 10, Stream("t"), 200)
    assert set((a[:, 0, 0] > 0).astype(int) + (b[:, 0, 0] > 0)) == {1}


@pytest.mark.parametrize("n_draws", [1, 4])
def test_halves_of_the_same_examples_are_means_over_their_own_draws_and_examples(n_draws):
    """A half that also held the other's examples would agree with it by itself."""
    ones = np.ones((n_draws, 1, 10), np.int8)
    assert all(np.all(half == 1.0) for half in random_halves([ones], np.zeros(n_draws, int), Stream("t"), 20))
    level = np.random.default_rng(0).integers(-1, 2, (1, 3, 10), np.int8).repeat(n_draws, 0)  # draws that are alike
    a, b = random_halves([level], np.zeros(n_draws, int), Stream("t"), 20)
    assert a + b == pytest.approx(np.broadcast_to(2 * level.mean((0, 2)), a.shape))
    assert len(np.unique(a[:, 0, 0])) > 1


def test_slices_that_several_draws_saw_are_halved_whole():
    """Halving draws and examples both once left each half a quarter of what there was."""
    changes = [np.ones((6, 1, 10), np.int8) * (10 ** np.array([0, 1, 2, 0, 1, 2]))[:, None, None].astype(np.int8)]
    a, b = random_halves(changes, np.array([20, 0, 10, 20, 0, 10]), Stream("t"), 50)
    assert {tuple(sorted(pair)) for pair in zip(a[:, 0, 0], b[:, 0, 0], strict=True)} == {
        (1.0, 55.0),
        (5.5, 100.0),
        (10.0, 50.5),
    }


@pytest.mark.parametrize("n_slices", [2, 15])
def test_reliability_predicts_another_measurement_where_slices_repeat(n_slices):
    rng, found, again = np.random.default_rng(5), [], []
    for _ in range(40):
        measured = [rng.random((16, 20, 12)) < 0.3 for _ in range(2)]
        quality = np.linspace(0.0, 0.12, 20)[:, None]
        one, two = (((each + (rng.random(each.shape) < quality)) > 0).astype(np.int8) for each in measured)
        a, b = random_halves([one], np.arange(16) % n_slices, Stream("t"), 20)
        found.append(split_half_reliability(a[:, 0], b[:, 0]))
        again.append(spearman(truth=one.mean((0, 2)), scores=two.mean((0, 2))))
    assert np.mean(found) == pytest.approx(np.mean(again), abs=0.06)


@pytest.mark.parametrize(
    ("n_draws", "deterministic", "expected"),
    [
        ([2], False, False),
        ([4], False, True),
        ([5], False, False),
        ([1], True, True),
        ([4, 8], False, True),
        ([4, 2], False, False),
    ],
)
def test_reliability_needs_an_even_number_of_at_least_four_draws(n_draws, deterministic, expected):
    assert can_be_halved([np.zeros((n, 1, 1)) for n in n_draws], deterministic=deterministic) is expected


def test_reliability_is_one_for_equal_halves_and_zero_for_opposite_ones():
    half = np.tile(np.arange(8.0), (5, 1))
    assert split_half_reliability(half, half) == pytest.approx(1.0)
    assert split_half_reliability(half, -half) == 0.0
    assert split_half_reliability(half, np.ones_like(half)) == 0.0


def test_reliability_is_stepped_up_by_spearman_brown():
    a, b = np.array([[0.0, 1, 2, 3, 4]]), np.array([[0.0, 2, 1, 4, 3]])
    assert split_half_reliability(a, b) == pytest.approx(2 * 0.8 / 1.8)


def test_reliability_predicts_the_correlation_of_two_full_measurements():
    """Split-half reliability of one measurement against the correlation with another one of the same size."""
    rng, found, again = np.random.default_rng(4), [], []
    for _ in range(40):
        (one, slices), (two, _) = (simulate(rng, 8, 40, shared=False, spread=0.1) for _ in range(2))
        a, b = random_halves(one, slices, Stream("t"), 20)
        found.append(split_half_reliability(a[:, 0], b[:, 0]))
        again.append(
            np.corrcoef(np.argsort(np.argsort(one[0].mean((0, 2)))), np.argsort(np.argsort(two[0].mean((0, 2)))))[0, 1]
        )
    assert np.mean(found) == pytest.approx(np.mean(again), abs=0.05)


def test_shrinking_removes_the_share_of_variance_that_is_noise():
    values = np.array([0.0, 1.0, 2.0, 3.0])
    assert shrunken(values, np.zeros(4)) == pytest.approx(values)
    assert shrunken(values, np.full(4, 10.0)) == pytest.approx(np.full(4, 1.5))


def measured(values, error, halves=True):
    """Return a truth with these values and standard errors, of layers whose sizes and positions tell nothing."""
    n = len(values)
    half = values if halves else np.full(n, np.nan)
    return CellTruth(values, half, half, np.full(n, error), np.random.default_rng(0).random((2, n)))


def test_ceilings_are_one_without_noise_and_fall_with_it():
    values = np.arange(12.0)
    exact, noisy = (ceilings(measured(values, error), np.nan, Stream("t")) for error in (0.0, 2.0))
    assert exact == pytest.approx(dict.fromkeys(exact, 1.0) | {"ndcg_gain": exact["ndcg_gain"]})
    assert 0.4 < noisy["spearman"] < 0.95
    assert all(noisy[name] < exact[name] for name in exact if name != "protected_gain_at_3")  # 1 is a noisy choice there


def test_what_cannot_be_told_has_no_ceiling():
    values = np.arange(12.0)
    assert np.isnan(list(ceilings(measured(values, np.nan), 0.5, Stream("t")).values())).all()
    unhalved = ceilings(measured(values, 1.0, halves=False), np.nan, Stream("t"))
    assert [name for name, value in unhalved.items() if np.isnan(value)] == ["protected_gain_at_1", "protected_gain_at_3"]
    few = ceilings(measured(values[:8], 1.0), np.nan, Stream("t"))
    assert [name for name, value in few.items() if np.isnan(value)] == ["top_5_overlap"]


def normal_layers(rng, reliability):
    """Return 30 noise-free layers and their standard errors; by the spread of layers the reliability is the given one."""
    return np.sqrt(reliability) * rng.normal(size=30), np.full(30, np.sqrt(1.0 - reliability))


def skewed_layers(rng, noise):
    """Return 30 layers of which a few make up the variance, and errors as large as a share of the median one."""
    true = np.exp(1.7 * rng.normal(size=30))
    return true, np.full(30, noise * np.median(true))


def simulated_ceilings(layers, amount, metric="spearman", n=60):
    """Return the mean ceiling and what the noise-free truth really reaches, of truths measured again and again."""
    rng, found, real = np.random.default_rng(1), [], []
    judge = next(each for each in METRICS if each.name == metric)
    for i in range(n):
        true, errors = layers(rng, amount)
        halves = true + np.sqrt(2.0) * errors * rng.normal(size=(2, 10, len(true)))
        truth = replace(measured(true, 0.0), values=halves.mean(0), half_a=halves[0], half_b=halves[1], errors=errors)
        first = replace(truth, values=truth.values[0], half_a=halves[0, 0], half_b=halves[1, 0])
        apart = errors * rng.normal(size=(50, len(true)))  # other random halves of the same measurement
        reliability = split_half_reliability(first.values + apart, first.values - apart)
        found.append(ceilings(first, reliability, Stream(i), 20)[metric])
        real += [*np.nan_to_num(judge(truth, true))] if np.ptp(true) else [0.0]
    return np.mean(found), np.mean(real)


@pytest.mark.parametrize("metric", ["spearman", "kendall_tau_b", "top_3_overlap", "ndcg_gain", "partial_spearman"])
@pytest.mark.parametrize("reliability", first_by_default([0.5, 0.3, 0.7, 0.9, 0.98]))
def test_ceilings_are_right_for_truths_of_known_reliability(reliability, metric):
    """Where nearly all is noise, some truths seem to hold none, and their ceiling of 0 lowers the mean."""
    found, real = simulated_ceilings(normal_layers, reliability, metric)
    assert found == pytest.approx(real, abs=0.1 if reliability < 0.5 else 0.04)


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.6])
def test_ceilings_are_right_for_skewed_layers(noise):
    """With noise as it is they came out 0.01 to 0.04 too high."""
    found, real = simulated_ceilings(skewed_layers, noise)
    assert found == pytest.approx(real, abs=0.02)


def test_a_truth_that_is_noise_alone_has_a_low_ceiling():
    assert simulated_ceilings(normal_layers, 0.0)[0] < 0.3


def test_halves_that_contradict_each_other_have_no_reliability_rather_than_a_negative_one():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(50, 15))
    against = -0.5 * half + rng.normal(size=(50, 15))
    assert np.mean([spearman(truth=a, scores=b) for a, b in zip(half, against, strict=True)]) < -0.2
    assert split_half_reliability(half, against) == 0.0
    unrelated = rng.normal(size=(50, 15))
    assert split_half_reliability(half, unrelated) < 0.15


def test_values_that_differ_by_rounding_alone_are_one_value():
    """Else the last bits of equal drops, stretched to the ranking of a truth without noise, had a ceiling of their own."""
    equal = 0.3 * (1.0 + np.finfo(float).eps * np.arange(-6, 6))
    assert len(set(equal)) > 2
    assert len(set(shrunken(equal, np.zeros(12)))) == 1
    for values in (equal, np.full(12, 0.3), np.zeros(12)):
        assert set(ceilings(measured(values, 0.0), 1.0, Stream("test")).values()) == {0.0}
        assert split_half_reliability(values[None], values[None]) in (0.0, 1.0)


def test_noise_that_explains_all_of_the_variance_leaves_no_ranking_whatever_the_order_of_layers():
    """1 - 1 came out as 2e-16, and the layers it set apart had ceilings of their own."""
    rng = np.random.default_rng(0)
    for n in range(4, 40, 2):
        values = np.repeat([0.1, 0.0], n // 2)[rng.permutation(n)]
        errors = np.full(n, np.sqrt(values.var(ddof=1)))
        assert len(set(shrunken(values, errors))) == 1


def test_a_reliability_of_exactly_four_fifths_is_not_below_it():
    ranks, others = np.arange(8.0), np.array([0.0, 1, 2, 4, 7, 6, 5, 3])
    assert spearman(truth=ranks, scores=others) == pytest.approx(2 / 3)
    assert split_half_reliability(np.tile(ranks, (50, 1)), np.tile(others, (50, 1))) == 0.8


def test_an_example_is_in_one_half_with_all_of_its_answers():
    """Halves of an example would share what its answers have in common, and agree too well."""
    answers = np.array([[3, 8, 5, 0, 4, 1]])
    changes = np.array([[[2, 8, 1, 0, 0, 1]]], np.int32)
    a, b = (half[:, 0, 0] for half in random_halves([changes], np.zeros(1, int), Stream("t"), 60, answers))
    wholes = {
        (changes[0, 0, list(members)].sum() / answers[0, list(members)].sum(),
         changes[0, 0, list(rest)].sum() / answers[0, list(rest)].sum())
        for members in combinations(range(6), 3)
        for rest in [sorted(set(range(6)) - set(members))]
    }  # fmt: skip
    assert set(zip(a.tolist(), b.tolist(), strict=True)) <= wholes
    assert len(set(a)) > 5


@pytest.mark.parametrize("slices", [np.zeros(4, int), np.arange(4) * 6, np.array([0, 0, 6, 6])])
def test_halves_weigh_draws_and_examples_by_their_answers(slices):
    """What all answers lose at one rate, both halves lose at that rate, however many answers they got."""
    answers = np.random.default_rng(0).integers(1, 9, (4, 6))[np.unique(slices, return_inverse=True)[1]]
    levels = [np.repeat(answers[:n, None, :], 3, axis=1).astype(np.int32) for n in (4, 2)]
    for half in random_halves(levels, slices, Stream("t"), 30, 2 * answers):
        assert (half == 0.5).all()


def test_sums_of_answers_are_exact_also_beyond_what_float32_counts():
    answers = np.full((4, 10), 2**22)
    level = np.full((4, 1, 10), 2**22, np.int32)
    level[:, :, 0] -= 1
    a, b = random_halves([level], np.arange(4), Stream("t"), 5, answers)
    assert (a == (10 * 2**22 - 1) / (10 * 2**22)).all()
    assert (b == a).all()


def test_a_half_without_answers_has_no_value():
    a, b = random_halves([np.ones((1, 1, 2), np.int32)], np.zeros(1, int), Stream("t"), 20, np.array([[1, 0]]))
    assert {str(value) for value in np.concatenate([a, b]).ravel()} == {"1.0", "nan"}


def test_reliability_of_several_answers_an_example_predicts_another_measurement():
    """By halves of answers the reliability would be far too high, as answers of one example break together."""
    rng, found, again, split = np.random.default_rng(6), [], [], []
    quality = np.linspace(0.05, 0.25, 12)[:, None]
    for _ in range(60):
        one, two = (((rng.random((12, 60)) < quality)[None] * 5).astype(np.int32) for _ in range(2))
        a, b = random_halves([one], np.zeros(1, int), Stream("t"), 20, np.full((1, 60), 5))
        found.append(split_half_reliability(a[:, 0], b[:, 0]))
        apart = (one > 0).repeat(5, axis=-1).astype(np.int8)
        a, b = random_halves([apart], np.zeros(1, int), Stream("t"), 20)
        split.append(split_half_reliability(a[:, 0], b[:, 0]))
        again.append(spearman(truth=one.mean((0, 2)), scores=two.mean((0, 2))))
    assert np.mean(found) == pytest.approx(np.mean(again), abs=0.06)
    assert np.mean(split) > np.mean(again) + 0.1
