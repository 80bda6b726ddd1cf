"""Standard errors, against the spread of measurements simulated again, and against each other."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import t

from safer_bench.truth.standard_errors import StandardErrors, standard_errors
from tests.made_up.changes import LAYERS, simulate


@pytest.mark.parametrize("shared", [True, False])
def test_standard_errors_are_the_spread_over_new_draws_and_new_examples(shared):
    rng = np.random.default_rng(1)
    runs = [simulate(rng, 4, 60, shared, spread=0.08) for _ in range(600)]
    true = np.std([changes[0].mean((0, 2)) for changes, _ in runs], axis=0)
    squared = [standard_errors(changes, np.ones(1), slices, deterministic=False) ** 2 for changes, slices in runs]
    assert np.sqrt(np.mean(squared, axis=0)) == pytest.approx(true, rel=0.12)


def test_a_crossed_table_has_the_error_of_its_analysis_of_variance_by_hand():
    """Three draws of the same four examples, in twelfths: draws 26, examples 3, rest 30, with 2, 3 and 6 degrees of freedom.

    Mean squares 13/12, 1/12 and 5/12; the mean's variance is (13/12 + 1/12 - 5/12) / 12 = 1/16 (Searle, Casella, McCulloch
    1992, chapter 4).
    """
    table = np.array([[1, 1, 1, 1], [1, 0, 0, -1], [0, 1, 1, 1]], np.int8)
    rows, columns, cells = (Fraction(int((table.sum(axis) ** 2).sum()), n) for axis, n in ((1, 4), (0, 3), ((), 1)))
    mean = Fraction(7**2, 12)
    assert [rows - mean, columns - mean, cells - rows - columns + mean] == [Fraction(n, 12) for n in (26, 3, 30)]
    errors = standard_errors([table[:, None]], np.ones(1), np.zeros(3, int), deterministic=False)
    assert errors == pytest.approx([1 / 4], abs=1e-12)


@pytest.mark.parametrize("design", ["shared", "apart", "slices"])
def test_standard_errors_of_levels_that_differ_in_draws(design):
    """Three levels of 4, 4 and 10 draws whose draws of one number see the same examples."""
    rng, weights, n_draws, n_examples = np.random.default_rng(5), np.array([0.2, 0.3, 0.5]), (4, 4, 10), 60
    slices = {"shared": np.zeros(10, int), "apart": np.arange(10) * 60, "slices": np.arange(10) % 2 * 60}[design]
    found, squared = [], []
    for _ in range(500):
        ease = dict.fromkeys(slices, None) | {name: rng.normal(0, 0.2, (1, n_examples)) for name in np.unique(slices)}
        changes = []
        for n in n_draws:
            luck = rng.normal(0, 0.1, (n, len(LAYERS), 1))
            chance = LAYERS[:, None] + np.stack([ease[name] for name in slices[:n]]) + luck
            changes.append((rng.random((n, len(LAYERS), n_examples)) < np.clip(chance, 0, 1)).astype(np.int8))
        found.append(sum(weight * level.mean((0, 2)) for weight, level in zip(weights, changes, strict=True)))
        squared.append(standard_errors(changes, weights, slices, deterministic=False) ** 2)
    assert np.sqrt(np.mean(squared, axis=0)).mean() == pytest.approx(np.std(found, axis=0).mean(), rel=0.06)
    assert np.sqrt(np.mean(squared, axis=0)) == pytest.approx(np.std(found, axis=0), rel=0.2)


def test_two_draws_of_examples_of_their_own_have_half_of_their_difference_as_error():
    level = np.array([[[1, 1, 1, 0]], [[0, -1, 1, 0]]], np.int8)  # means 3/4 and 0
    assert standard_errors([level], np.ones(1), np.array([0, 4]), deterministic=False) == pytest.approx([3 / 8], abs=1e-12)


def test_a_level_of_weight_zero_does_not_count():
    (changes,), slices = simulate(np.random.default_rng(6), 4, 50, shared=True)
    alone = standard_errors([changes], np.ones(1), slices, deterministic=False)
    beside = standard_errors([changes, changes[:1]], np.array([1.0, 0.0]), slices, deterministic=False)
    assert np.array_equal(alone, beside)
    assert np.isfinite(alone).all()


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_level_that_changes_nothing_adds_no_error_and_takes_none_away(deterministic):
    (changes,), slices = simulate(np.random.default_rng(7), 1 if deterministic else 4, 50, shared=True)
    alone = standard_errors([changes], np.ones(1), slices, deterministic=deterministic)
    halved = StandardErrors([0 * changes, changes], slices, deterministic=deterministic).of(np.array([0.5, 0.5]))
    assert halved == pytest.approx(alone / 2, rel=1e-9)
    assert (alone > 0.01).all()
    assert not StandardErrors([0 * changes], slices, deterministic=deterministic).of(np.ones(1)).any()


@pytest.mark.parametrize("slices", [np.zeros(8, int), np.arange(8) % 4, np.arange(8)])
def test_a_level_beside_that_has_too_few_draws_does_not_touch_the_error_of_another(slices):
    """Levels differ in draws: one with two on many slices saw each of them once or never."""
    level = np.random.default_rng(9).integers(-1, 2, (8, 3, 30), np.int8)
    alone = standard_errors([level], np.ones(1), slices, deterministic=False)
    for n_draws in (1, 2):
        beside = StandardErrors([level, level[:n_draws]], slices, deterministic=False)
        assert beside.of(np.array([1.0, 0.0])) == pytest.approx(alone, rel=1e-9)


def test_slices_that_a_level_has_no_draw_of_add_nothing_to_its_error():
    level = np.random.default_rng(10).integers(-1, 2, (4, 3, 30), np.int8)
    both = StandardErrors([level, level[:2]], np.array([0, 0, 1, 1]), deterministic=False)
    alone = standard_errors([level[:2]], np.ones(1), np.zeros(2, int), deterministic=False)
    assert both.of(np.array([0.0, 1.0])) == pytest.approx(alone, rel=1e-9)


def test_a_deterministic_perturbation_has_a_standard_error_too():
    changes, slices = simulate(np.random.default_rng(2), 1, 400, shared=True)
    share = changes[0].mean((0, 2))
    errors = standard_errors(changes, np.ones(1), slices, deterministic=True)
    assert errors == pytest.approx(np.sqrt(share * (1 - share) / 399), rel=1e-6)


def test_one_draw_of_a_random_perturbation_cannot_tell_its_error():
    changes, slices = simulate(np.random.default_rng(3), 1, 50, shared=True)
    errors = standard_errors(changes, np.ones(1), slices, deterministic=False)
    assert errors.shape == LAYERS.shape
    assert np.isnan(errors).all()


@pytest.mark.parametrize("slices", [np.zeros(10, int), np.arange(10) * 60, np.arange(10) % 2 * 60])
@pytest.mark.parametrize("deterministic", [False, True])
def test_levels_are_as_well_averaged_before_as_after(slices, deterministic):
    rng = np.random.default_rng(8)
    counts = (1, 1, 1) if deterministic else (4, 4, 10)
    changes = [rng.integers(-1, 2, (n, 6, 60), np.int8) for n in counts]
    every = StandardErrors(changes, slices, deterministic=deterministic)
    for weights in (*np.eye(3), np.array([0.2, 0.3, 0.5]), np.array([0.0, 0.5, 0.5])):
        expected = standard_errors(changes, weights, slices, deterministic=deterministic)
        assert every.of(weights) == pytest.approx(expected, rel=1e-9)
        assert (expected > 0).all()


@pytest.mark.parametrize("slices", [np.zeros(6, int), np.arange(6), np.arange(6) % 2])
@pytest.mark.parametrize("deterministic", [False, True])
def test_an_error_that_is_none_is_not_what_rounding_leaves_of_it(slices, deterministic):
    """Draws that all change the same examples in number, levels that cancel: 1e-18 would tell layers apart."""
    rng = np.random.default_rng(0)
    whole = np.ones((6, 1, 70), dtype=np.int8)
    level = np.zeros((6, 1, 70), dtype=np.int8)
    for draw in level:  # 23 of 70 examples in each draw, others each time
        draw[0, rng.permutation(70)[:23]] = 1
    levels = [np.concatenate([whole, level], axis=1)] * 3
    weights = np.array([0.1, 0.2, -0.3])
    errors = StandardErrors(levels, slices, deterministic=deterministic).of(weights)
    assert errors.tolist() == [0.0, 0.0]
    assert standard_errors(levels, np.abs(weights), slices, deterministic=deterministic)[0] == 0.0
    if not deterministic and len(set(slices)) == 6:
        assert standard_errors(levels, np.abs(weights), slices, deterministic=False)[1] == 0.0


def several(rng, n_draws, answers, depends=0.8):
    """Draw changes of one level of two layers: with ``depends`` an answer breaks where its example does, else by chance.

    Longer examples break more often: 3 % an answer of theirs in one layer, 6 % in the other.
    """
    rate = np.array([0.03, 0.06])[:, None] * answers[:, None, :]  # (n_draws, n_layers, n_examples)
    whole = rng.random(rate.shape) < rate
    alone = rng.binomial(np.broadcast_to(answers[:, None, :], rate.shape), np.clip(rate, 0, 1))
    return np.where(rng.random(rate.shape) < depends, whole * answers[:, None, :], alone).astype(np.int32)


def true_drop(n_answers):
    """Return what examples lose that have as many answers as each of these equally often."""
    sizes = np.array(n_answers)
    return np.array([0.03, 0.06]) * (sizes**2).mean() / sizes.mean()


N_ANSWERS = range(3, 9)


@pytest.mark.parametrize("design", ["one deterministic", "draws apart", "draws shared"])
def test_errors_go_by_example_where_one_has_several_answers_and_cover_what_is_true(design):
    """Examples of 3 to 8 answers. By answers, as if each were an example, the error is far too small."""
    n_draws, n_examples, rng = (
        1 if design == "one deterministic" else 8,
        120 if design == "one deterministic" else 40,
        np.random.default_rng(0),
    )
    deterministic, found, errors, naive = n_draws == 1, [], [], []
    for _ in range(600):
        answers = rng.choice(N_ANSWERS, (n_draws, n_examples))
        if design == "draws shared":
            answers[:] = answers[0]
        changes = several(rng, n_draws, answers)
        if design == "draws shared":  # the examples that break are much the same in every draw
            changes = np.where(rng.random(changes.shape) < 0.5, changes[:1], changes)
        slices = np.zeros(n_draws, int) if design == "draws shared" else np.arange(n_draws) * n_examples
        found.append(changes.sum((0, 2)) / answers.sum())
        errors.append(standard_errors([changes], np.ones(1), slices, deterministic=deterministic, answers=answers))
        naive.append(np.sqrt(found[-1] * (1 - found[-1]) / answers.sum()))
    found, errors, naive, true = np.array(found), np.array(errors), np.array(naive), true_drop(N_ANSWERS)
    assert found.mean(0) == pytest.approx(true, rel=0.03)
    assert np.sqrt((errors**2).mean(0)) == pytest.approx(found.std(0), rel=0.08)
    assert (np.sqrt((naive**2).mean(0)) < 0.65 * found.std(0)).all()
    inside = np.abs(found - true) < t.ppf(0.975, n_draws * n_examples if deterministic else n_draws - 1) * errors
    assert (inside.mean(0) > 0.91).all()
    assert (np.mean(np.abs(found - true) < 1.96 * naive, axis=0) < 0.8).all()


@pytest.mark.parametrize("slices", [np.zeros(6, int), np.arange(6), np.arange(6) % 2])
@pytest.mark.parametrize("deterministic", [False, True])
def test_equally_many_answers_divide_the_error_exactly(slices, deterministic):
    rng = np.random.default_rng(1)
    levels = [rng.integers(-4, 5, (n, 3, 30)) for n in (6, 6)]
    for weights in (np.array([1.0, 0.0]), np.array([0.3, 0.7])):
        one = StandardErrors(levels, slices, deterministic=deterministic)
        four = StandardErrors(levels, slices, deterministic=deterministic, answers=np.full((6, 30), 4))
        assert (four.of(weights) == one.of(weights) / 4).all()
        given = {"deterministic": deterministic, "answers": np.full((6, 30), 4)}
        assert standard_errors(levels, weights, slices, **given) == pytest.approx(one.of(weights) / 4, rel=1e-9)


@pytest.mark.parametrize("slices", [np.zeros(6, int), np.arange(6), np.arange(6) % 2])
@pytest.mark.parametrize("deterministic", [False, True])
def test_levels_of_unequal_examples_are_as_well_averaged_before_as_after(slices, deterministic):
    rng = np.random.default_rng(2)
    answers = rng.integers(0, 9, (6, 60))[np.unique(slices, return_inverse=True)[1]]
    levels = [
        rng.integers(-answers[:n, None, :], answers[:n, None, :] + 1, (n, 3, 60))
        for n in ((1, 1) if deterministic else (4, 6))
    ]
    for weights in (np.array([1.0, 0.0]), np.array([0.3, 0.7])):
        given = {"deterministic": deterministic, "answers": answers}
        every = StandardErrors(levels, slices, **given).of(weights)
        assert every == pytest.approx(standard_errors(levels, weights, slices, **given), rel=1e-9)
        assert (every > 0).all()


def test_a_ratio_has_the_error_of_its_distances_from_the_mean_rate_by_hand():
    """Three examples of 1, 2 and 3 answers lose 1, 0 and 2: a rate of 1/2, distances 1/2, -1 and 1/2, of sum of squares 3/2.

    Their variance is (3/2)/2 = 3/4, that of their sum 9/4, and the error of the rate sqrt(9/4) / 6 answers = 1/4 (Cochran
    1977, chapter 6).
    """
    changes, answers = np.array([[[1, 0, 2]]], np.int32), np.array([[1, 2, 3]])
    found = standard_errors([changes], np.ones(1), np.zeros(1, int), deterministic=True, answers=answers)
    assert found == pytest.approx([1 / 4], abs=1e-12)


@pytest.mark.parametrize("slices", [np.zeros(6, int), np.arange(6), np.arange(6) % 2])
@pytest.mark.parametrize("deterministic", [False, True])
def test_examples_that_all_lose_at_one_rate_have_no_error(slices, deterministic):
    answers = np.random.default_rng(3).integers(1, 9, (6, 70))[np.unique(slices, return_inverse=True)[1]]
    levels = [np.repeat(3 * answers[:, None, :], 2, axis=1)] * 3
    for weights in (np.array([0.1, 0.2, 0.7]), np.array([0.1, 0.2, -0.3])):
        found = StandardErrors(levels, slices, deterministic=deterministic, answers=3 * answers).of(weights)
        assert found.tolist() == [0.0, 0.0]
