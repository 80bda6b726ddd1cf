"""Draws where they are needed: does the rule find few, and does it leave what is measured unbiased?"""

import numpy as np
import pytest

from safer_bench.measurement.allocation import allocate
from safer_bench.metrics import spearman
from safer_bench.stream import Stream
from safer_bench.truth.area import area_weights
from safer_bench.truth.reliability import random_halves, split_half_reliability
from safer_bench.truth.standard_errors import standard_errors

WEIGHTS = area_weights(np.array([0.01, 0.03, 0.1, 0.3, 1.0]), "log10")
N_EXAMPLES, MOST = 16, 64


class MadeUpCell:
    """A network under a perturbation: the true drop of each layer at each level, and how much draws differ there.

    Severe levels hurt all layers alike; between, layers differ and so do draws. ``luck`` scales the latter.
    """

    def __init__(self, seed, luck, n_layers=16):
        rng = np.random.default_rng(seed)
        place = np.linspace(-2, 2, 5)[:, None] + rng.normal(0, 0.8, n_layers)
        self.drops = 0.8 / (1 + np.exp(-2 * place))  # (n_levels, n_layers)
        self.luck = luck * self.drops * (0.85 - self.drops)

    @property
    def area(self):
        return WEIGHTS @ self.drops

    def measure(self, rng, n_draws):
        """Return changes of each level and the slices: every draw sees examples of its own."""
        changes = []
        for drops, luck, n in zip(self.drops, self.luck, n_draws, strict=True):
            of_draw = drops + luck * rng.normal(size=(n, len(drops)))
            changes.append(of_draw[..., None] + rng.normal(0, 0.1, (n, len(drops), N_EXAMPLES)))
        return changes, np.arange(max(n_draws)) * N_EXAMPLES


def area_of(changes):
    return sum(weight * level.mean((0, 2)) for weight, level in zip(WEIGHTS, changes, strict=True))


def reliability_of(changes, slices, n_splits=4):
    a, b = random_halves(changes, slices, Stream("test"), n_splits)
    return split_half_reliability(WEIGHTS @ a, WEIGHTS @ b)


def planned(cell, rng, reliability=0.9):
    return allocate(*cell.measure(rng, [4] * 5)[:1], WEIGHTS, np.arange(4) * N_EXAMPLES, reliability, MOST).draws


def test_a_level_without_luck_gets_the_fewest_draws():
    cell, rng = MadeUpCell(0, 2.5), np.random.default_rng(0)
    cell.luck[:2] = 0
    draws = planned(cell, rng)
    assert draws[0] == draws[1] == 4
    assert max(draws[2:]) > 8
    assert all(n % 2 == 0 for n in draws)


def test_more_reliability_needs_more_draws_and_no_more_than_allowed():
    cell = MadeUpCell(1, 1.5)
    totals = [sum(planned(cell, np.random.default_rng(1), wanted)) for wanted in (0.5, 0.8, 0.9, 0.999)]
    assert totals == sorted(totals)
    assert totals[0] < totals[2] < totals[3]
    assert max(planned(cell, np.random.default_rng(1), 0.999)) == MOST


def test_noise_of_examples_that_all_draws_share_is_told_and_not_drawn_away():
    rng, n_layers = np.random.default_rng(2), 16
    layers, ease = np.linspace(0.3, 0.4, n_layers), rng.normal(0, 0.5, (n_layers, N_EXAMPLES))
    changes = [layers[:, None] + ease + rng.normal(0, 0.01, (4, n_layers, N_EXAMPLES))]
    found = allocate(changes, np.ones(1), np.zeros(4, int), 0.95, 10)
    assert found.draws == (10,)
    assert found.expected < 0.8


def test_twice_the_pilots_draws_promise_half_of_the_noise_of_draws_and_all_of_the_examples():
    """Layers as far apart as measured, less the noise; two measurements with the errors that remain, simulated anew."""
    rng, n_layers, weights = np.random.default_rng(8), 12, np.array([0.3, 0.7])
    shared, luck = rng.normal(0, 0.3, (n_layers, N_EXAMPLES)), rng.normal(0, 0.2, (2, 4, n_layers, 1))
    changes = list(
        np.linspace(0.0, 0.9, n_layers)[:, None] + shared + luck + rng.normal(0, 0.1, (2, 4, n_layers, N_EXAMPLES))
    )
    means = sum(weight * level.mean((0, 2)) for weight, level in zip(weights, changes, strict=True))
    noise = standard_errors(changes, weights, np.zeros(4, int), deterministic=False) ** 2
    of_draws = sum(weight**2 * level.mean(2).var(0, ddof=1) for weight, level in zip(weights, changes, strict=True)) / 4
    left = of_draws / 2 + np.maximum(noise - of_draws, 0.0)
    layers = means * np.sqrt(1.0 - np.mean(noise) / means.var(ddof=1))
    measured = layers + np.sqrt(left) * rng.normal(size=(2, 4000, n_layers))
    expected = np.mean(spearman(truth=measured[0], scores=measured[1]))
    found = allocate(changes, weights, np.zeros(4, int), 0.999, 8)
    assert found.draws == (8, 8)
    assert found.expected == pytest.approx(expected, abs=0.01)


def test_layers_that_do_not_differ_get_the_most_draws_and_no_promise():
    rng = np.random.default_rng(3)
    changes = [rng.normal(0, 1, (4, 6, N_EXAMPLES)) - 0.0 for _ in range(5)]
    changes = [level - level.mean((0, 2), keepdims=True) for level in changes]  # equal layers, as measured
    found = allocate(changes, WEIGHTS, np.arange(4) * N_EXAMPLES, 0.9, 8)
    assert found.draws == (8,) * 5
    assert found.expected == 0.0


CELLS = [MadeUpCell(seed, luck) for seed, luck in enumerate([0.3, 0.5, 1.0, 1.5, 2.0, 2.5])]
N_RUNS, WANTED = 100, 0.95


def measured_twice(cell, rng, draws):
    """Return the error of the area, its reliability as estimated, and the rank correlation of two measurements."""
    (changes, slices), (again, _) = cell.measure(rng, draws), cell.measure(rng, draws)
    area = area_of(changes)
    return np.mean(area - cell.area), reliability_of(changes, slices), spearman(truth=area, scores=area_of(again))


@pytest.fixture(scope="module")
def simulated():
    """Plan and measure each cell often: draws planned ``(n_cells, n_runs)``, what ``measured_twice`` returns ``(..., 3)``."""
    rng = np.random.default_rng(4)
    plans = [[planned(cell, rng, WANTED) for _ in range(N_RUNS)] for cell in CELLS]
    found = [[measured_twice(cell, rng, draws) for draws in mine] for cell, mine in zip(CELLS, plans, strict=True)]
    return np.sum(plans, axis=2), np.array(found)


@pytest.mark.long
def test_the_rule_biases_neither_drops_nor_reliability(simulated):
    """Spearman-Brown is no exact law of ranks: what it misses is as large where the numbers of draws are fixed."""
    _, found = simulated
    errors, rng = found[..., 0].ravel(), np.random.default_rng(7)
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(len(errors))
    for cell, mine in zip(CELLS, found, strict=True):
        usual = np.round(np.mean([planned(cell, rng, WANTED) for _ in range(20)], axis=0) / 2).astype(int) * 2
        fixed = np.array([measured_twice(cell, rng, usual) for _ in range(N_RUNS)])
        gaps = [runs[:, 1] - runs[:, 2] for runs in (mine, fixed)]
        standard_error = np.sqrt(sum(gap.var() / N_RUNS for gap in gaps))
        assert abs(gaps[0].mean() - gaps[1].mean()) < 3.5 * standard_error
        assert abs(gaps[0].mean()) < 0.03


def test_stopping_by_the_same_draws_that_are_published_would_overstate_reliability():
    """What fresh draws avoid."""
    rng, cell, gaps = np.random.default_rng(5), CELLS[-1], []
    for _ in range(N_RUNS):
        for n in range(4, MOST + 1, 2):
            changes, slices = cell.measure(rng, [n] * 5)
            if (estimated := reliability_of(changes, slices)) >= 0.9:
                break
        gaps.append(estimated - reliability_of(*cell.measure(rng, [n] * 5)))  # a fresh measurement of as many draws
    assert np.mean(gaps) > 3 * np.std(gaps) / np.sqrt(N_RUNS)
    assert np.mean(gaps) > 0.01


def test_the_rule_needs_fewer_draws_than_equal_ones_everywhere(simulated):
    """By equal draws of all levels and cells, the least reliable cell becomes as reliable only by far more draws."""
    totals, found = simulated
    reached = found[..., 2].mean(1).min()
    rng, noisiest = np.random.default_rng(6), CELLS[int(found[..., 2].mean(1).argmin())]

    def repeated(n):
        return np.mean([measured_twice(noisiest, rng, [n] * 5)[2] for _ in range(N_RUNS)])

    equal = next(n for n in range(4, MOST + 1, 2) if repeated(n) >= reached)
    share = totals.mean(1).sum() / (equal * 5 * len(CELLS))
    assert reached > 0.9
    assert share < 0.7, f"{totals.mean(1).sum():.0f} draws by the rule, {equal * 5 * len(CELLS)} equal ones"


def test_draws_that_break_equally_many_answers_have_no_noise_to_draw_away():
    """A tenth of three draws had a variance of 3e-34, by which a level without any luck got draws."""
    silent, even = np.zeros((4, 3, 10), dtype=np.int8), np.zeros((4, 3, 10), dtype=np.int8)
    for draw in range(4):
        even[draw, :, draw] = 1
    lucky = even.copy()
    lucky[1:, 0] = 0
    for pair in ([silent, even], [even, silent]):
        assert allocate(pair, np.array([0.5, 0.5]), np.arange(4), 0.99, 6).draws == (6, 6)
    assert allocate([lucky, even], np.array([0.5, 0.5]), np.arange(4), 0.5, 8).draws[1] == 4
