"""Laws that hold for any weight: found by search over shapes, values, ties and levels."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import optimize, stats

from safer_bench.perturbations.loading import perturbations
from safer_bench.perturbations.perturbation import LayerFacts
from safer_bench.stream import Stream

settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True, database=None)
settings.load_profile("quick")

P = perturbations()
MAY_BE_INFINITE = {"float32_bit_flip", "float32_bit_flip_exponent"}
CORRUPTIONS = [name for name in P if "corruption" in name]
each = pytest.mark.parametrize("entry", P.values(), ids=lambda entry: entry.name)

shapes = arrays.array_shapes(min_dims=2, max_dims=4, max_side=7)
finite = st.floats(-1e3, 1e3, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)
weights = arrays.arrays(np.float32, shapes, elements=finite)
tied = arrays.arrays(np.float32, shapes, elements=st.sampled_from([-2.0, -1.0, 1.0, 2.0, 3.0]))


def facts(weight, axis=0):
    return LayerFacts("Linear", axis, weight.size // weight.shape[axis])


def gradient_of(weight, seed=0):
    return np.random.default_rng(seed).normal(size=weight.shape)


def applied(name, weight, level, key="stream", axis=0):
    needs = {"gradient": gradient_of(weight), "layer": facts(weight, axis)}
    return P[name].apply(weight, level, Stream(key), **needs)


def moves(name, weight, level, key="stream", gradient=None):
    """What is added to the weight, before the result is rounded to float32."""
    needs = {"gradient": gradient_of(weight) if gradient is None else gradient, "layer": facts(weight)}
    exact = weight.astype(np.float64)
    return P[name](exact, level, Stream(key), **{key: needs[key] for key in P[name].needs}) - exact


def levels_of(entry):
    low, high = min(entry.levels), max(entry.levels)
    return st.integers(int(low), int(high)).map(float) if entry.whole else st.floats(low, high)


@each
@given(data=st.data())
def test_any_weight_keeps_shape_and_type_is_untouched_and_gives_the_same_again(entry, data):
    weight, level = data.draw(weights), data.draw(levels_of(entry))
    before = weight.tobytes()
    found, again = (applied(entry.name, weight, level) for _ in range(2))
    assert weight.tobytes() == before
    assert (found.weight.shape, found.weight.dtype) == (weight.shape, np.float32)
    assert found.weight.tobytes() == again.weight.tobytes()
    assert np.isfinite(found.weight).all() or entry.name in MAY_BE_INFINITE
    assert found.changed_entries == np.count_nonzero(found.weight.view(np.uint32) != weight.view(np.uint32))


@pytest.mark.parametrize("name", [name for name, entry in P.items() if entry.neutral is not None])
@given(weight=weights)
def test_the_neutral_level_is_the_identity_for_any_weight(name, weight):
    assert np.array_equal(applied(name, weight, P[name].neutral).weight, weight)


@pytest.mark.parametrize("name", ["magnitude_prune", "filter_prune", "random_zero"])
@given(weight=tied, levels=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_what_is_removed_at_a_level_is_removed_at_higher_ones(name, weight, levels):
    mild, severe = (applied(name, weight, level).weight == 0 for level in sorted(levels))
    assert (severe >= mild).all()


@pytest.mark.parametrize("name", ["sign_flip", "float32_bit_flip_mantissa"])
@given(weight=tied, levels=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_bits_inverted_at_a_rate_are_inverted_at_higher_ones(name, weight, levels):
    mild, severe = (applied(name, weight, level).weight.view(np.uint32) ^ weight.view(np.uint32) for level in sorted(levels))
    assert np.array_equal(mild & severe, mild)


@pytest.mark.parametrize("name", ["gaussian_noise", "multiplicative_noise", *CORRUPTIONS])
@given(weight=tied, levels=st.tuples(st.floats(0.01, 10), st.floats(0.01, 10)))
def test_what_is_added_grows_in_proportion_to_the_level(name, weight, levels):
    one, other = (moves(name, weight, level) for level in levels)
    assert one * levels[1] == pytest.approx(other * levels[0], rel=1e-9, abs=1e-11)
    assert np.linalg.norm(one) > 0


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(weight=tied, level=st.floats(0.01, 10))
def test_a_corruption_has_exactly_the_stated_norm_and_number_of_entries(name, weight, level):
    p, n = 2 if "_l2" in name else math.inf, weight.size
    k = max(1, round(n / 100)) if name.endswith("k") else n
    added = moves(name, weight, level).ravel()
    assert np.linalg.norm(added, p) == pytest.approx(level * np.linalg.norm(weight.astype(np.float64).ravel(), p), rel=1e-12)
    assert np.count_nonzero(added) == k


def test_one_percent_of_the_entries_is_rounded_half_to_even():
    """150 entries: 2; 250: 2; 260: 3; one at least."""
    for n, k in ((1, 1), (150, 2), (250, 2), (260, 3)):
        weight = np.ones((1, n), np.float32)
        for name in (name for name in CORRUPTIONS if name.endswith("k")):
            assert np.count_nonzero(moves(name, weight, 0.5)) == k, name


def test_random_k_entries_are_chosen_evenly():
    """200 entries, 2 of them moved in each of 2,000 draws: counts of the entries against the uniform distribution."""
    weight = np.ones((10, 20), np.float32)
    for name in ("random_corruption_l2_randk", "random_corruption_linf_randk"):
        counts = sum((moves(name, weight, 1.0, draw) != 0).ravel().astype(int) for draw in range(2000))
        assert counts.sum() == 4000
        assert stats.chisquare(counts).pvalue > 1e-3


@given(weight=tied, level=st.floats(0, 1))
def test_magnitude_prune_removes_the_exact_share_whatever_the_ties(weight, level):
    flat = weight.ravel()
    order = sorted(range(flat.size), key=lambda i: (abs(flat[i]), i))
    expected = flat.copy()
    expected[order[: round(level * flat.size)]] = 0
    assert np.array_equal(applied("magnitude_prune", weight, level).weight.ravel(), expected)


@pytest.mark.parametrize("axis", [0, 1])
@given(weight=tied, level=st.floats(0, 1))
def test_filter_prune_removes_the_exact_share_of_filters_whatever_the_ties(axis, weight, level):
    n_filters = weight.shape[axis]
    order = sorted(range(n_filters), key=lambda i: (np.abs(weight.take(i, axis)).sum(), i))
    expected = np.moveaxis(weight.copy(), axis, 0)
    expected[order[: round(level * n_filters)]] = 0
    assert np.array_equal(np.moveaxis(applied("filter_prune", weight, level, axis=axis).weight, axis, 0), expected)


@pytest.mark.parametrize("axis", [0, 1])
@given(weight=weights, bits=st.integers(2, 16))
def test_quantize_per_channel_quantizes_each_output_channel_by_itself(axis, weight, bits):
    found = applied("quantize_per_channel", weight, float(bits), axis=axis).weight
    for i in range(weight.shape[axis]):
        alone = applied("quantize", weight.take([i], axis), float(bits)).weight
        assert np.array_equal(found.take([i], axis), alone)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("float32_bit_flip", range(32)),
        ("float32_bit_flip_exponent", range(23, 31)),
        ("float32_bit_flip_mantissa", range(23)),
    ],
)
@pytest.mark.parametrize("rate", [0.003, 0.05])
def test_float32_bits_are_inverted_with_the_stated_rate_each_alone(name, bits, rate):
    """All bits of a zero are 0, so those of the result are the flips. 99.99 % intervals of the binomial distribution."""
    zeros = np.zeros((200, 200), np.float32)
    stored = applied(name, zeros, rate).weight.view(np.uint32)
    flips = (stored.reshape(-1, 1) >> np.arange(32, dtype=np.uint32)) & 1
    counts = flips.sum(0)
    assert counts.sum() == counts[list(bits)].sum()
    assert stats.binomtest(int(counts.sum()), zeros.size * len(bits), rate).pvalue > 1e-4
    assert min(stats.binomtest(int(counts[bit]), zeros.size, rate).pvalue for bit in bits) > 1e-4
    per_weight = flips[:, list(bits)].sum(1)
    assert per_weight.var() == pytest.approx(len(bits) * rate * (1 - rate), rel=0.1), "bits of one weight are independent"


@pytest.mark.parametrize("name", [name for name in P if name.startswith("float32")])
@given(weight=weights, rate=st.floats(0.001, 1))
def test_float32_flips_invert_stored_bits_and_leave_one_kind_of_nan(name, weight, rate):
    """The flips do not depend on the weight: those of a zero are XORed."""
    flips = applied(name, np.zeros_like(weight), rate).weight
    expected = (weight.view(np.uint32) ^ flips.view(np.uint32)).view(np.float32)
    usable = ~np.isnan(flips)  # a NaN does not tell which bits were inverted
    found = applied(name, weight, rate).weight
    assert np.array_equal(found[usable], expected[usable], equal_nan=True)
    assert set(found.view(np.uint32)[np.isnan(found)].tolist()) <= {0x7FC00000}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("float32_bit_flip", 1.0, 2.0**-22 - 4.0),  # 0 01111111 0... -> 1 10000000 1...
        ("float32_bit_flip_exponent", 2.0, 1.0),
        ("float32_bit_flip_exponent", -1.5, -3.0),
        ("float32_bit_flip_exponent", 0.0, math.inf),
        ("float32_bit_flip_exponent", 2.0**-149, math.nan),
        ("float32_bit_flip_mantissa", 1.0, 2.0 - 2.0**-23),
    ],
)
def test_at_rate_one_every_bit_of_the_part_is_inverted(name, value, expected):
    found = applied(name, np.full((1, 2), value, np.float32), 1.0).weight
    assert np.array_equal(found, np.full((1, 2), expected, np.float32), equal_nan=True)


@given(weight=weights.filter(lambda weight: weight.any()), level=st.integers(1, 400))
def test_int8_bit_count_inverts_exactly_so_many_bits(weight, level):
    step = float(np.abs(weight).max()) / 127
    before = np.rint(weight.astype(np.float64) / step).astype(np.int8).view(np.uint8)
    after = np.rint(applied("int8_bit_count", weight, float(level)).weight.astype(np.float64) / step).astype(np.int8)
    assert np.unpackbits(before ^ after.view(np.uint8)).sum() == min(level, 8 * weight.size)


def test_int8_bit_count_chooses_all_bits_evenly():
    weight, step = np.array([[1.27, -0.5, 0.0, 0.01, 0.8]], np.float32), float(np.float32(1.27)) / 127
    before = np.rint(weight / step).astype(np.int8).view(np.uint8)
    counts = np.zeros(40)
    for draw in range(1000):
        after = np.rint(applied("int8_bit_count", weight, 7.0, draw).weight / step).astype(np.int8).view(np.uint8)
        counts += np.unpackbits(before ^ after)
    assert counts.sum() == 7000
    assert stats.chisquare(counts).pvalue > 1e-3


def test_multiplicative_noise_is_normal_in_proportion_to_the_weight():
    weight = np.where(np.arange(40_000).reshape(200, 200) % 2, 3.0, 0.0).astype(np.float32)
    found = applied("multiplicative_noise", weight, 0.4).weight
    assert not found[weight == 0].any()
    assert stats.kstest((found[weight != 0] / 3.0 - 1.0) / 0.4, "norm").pvalue > 1e-3


@pytest.mark.parametrize("axis", [0, 1])
def test_rerandomize_forgets_the_weight_and_has_variance_two_over_fan_in(axis):
    weight = np.full((50, 80, 3), 7.0, np.float32)
    found = applied("rerandomize", weight, 1.0, axis=axis).weight
    assert np.array_equal(found, applied("rerandomize", -weight, 1.0, axis=axis).weight)
    fan_in = weight.size / weight.shape[axis]
    assert stats.kstest(found.ravel() * math.sqrt(fan_in / 2), "norm").pvalue > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_gradient_corruption_linf_is_the_maximiser_that_linear_programming_finds(seed):
    weight = np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)
    gradient, eps = gradient_of(weight, seed + 10), 0.7 * float(np.abs(weight).max())
    best = optimize.linprog(-gradient.ravel(), bounds=(-eps, eps))
    assert moves("gradient_corruption_linf", weight, 0.7, gradient=gradient).ravel() == pytest.approx(best.x, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_gradient_corruption_l2_is_the_maximiser_that_a_numerical_search_finds(seed):
    weight = np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)
    gradient, eps = gradient_of(weight, seed + 10).ravel(), 0.7 * float(np.linalg.norm(weight))
    inside = {"type": "ineq", "fun": lambda a: eps**2 - a @ a}
    best = optimize.minimize(lambda a: -gradient @ a, np.full(6, 0.01), constraints=inside, method="SLSQP", tol=1e-12)
    found = moves("gradient_corruption_l2", weight, 0.7, gradient=gradient.reshape(weight.shape)).ravel()
    assert found == pytest.approx(best.x, abs=1e-4)
    assert gradient @ found >= gradient @ best.x * (1 - 1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_the_top_k_corruption_is_the_best_of_all_that_move_as_many_entries(seed):
    """150 entries, k = 2: every pair, and every direction (1,000 angles) or corner within it."""
    weight = np.random.default_rng(seed).normal(size=(10, 15)).astype(np.float32)
    gradient = gradient_of(weight, seed + 10)
    pairs = gradient.ravel()[np.array(list(combinations(range(150), 2)))]
    angles = np.linspace(0, 2 * np.pi, 1000)
    for name, p, directions in (
        ("gradient_corruption_l2_topk", 2, np.stack([np.cos(angles), np.sin(angles)])),
        ("gradient_corruption_linf_topk", math.inf, np.array([[1, 1, -1, -1], [1, -1, 1, -1]])),
    ):
        eps = 0.7 * np.linalg.norm(weight.astype(np.float64).ravel(), p)
        best = eps * (pairs @ directions).max()
        found = (moves(name, weight, 0.7, gradient=gradient) * gradient).sum()
        assert best <= found * (1 + 1e-12)
        assert best == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name.startswith("gradient") and name.endswith("topk")])
def test_ties_of_the_gradient_fall_to_the_lowest_index(name):
    weight = np.ones((2, 100), np.float32)
    added = moves(name, weight, 0.5, gradient=np.full(weight.shape, -3.0)).ravel()
    assert np.flatnonzero(added).tolist() == [0, 1]
    assert (added[:2] < 0).all()
