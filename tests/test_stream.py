import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import special, stats

from safer_bench import stream as streams
from safer_bench.stream import Stream, exact_sum, log, norm, normal_quantile, rms, smallest

CELL = 2.0**-53  # uniforms are its odd multiples
EDGES = [0.0, 5e-324, CELL, 2 * CELL, 3 * CELL, 5.6e-5, 1e-3, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9, 1 - 2 * CELL, 1 - CELL, 1.0]
PROBABILITIES = [p for edge in EDGES for p in (np.nextafter(edge, -1.0), edge, np.nextafter(edge, 2.0))]


class Given(Stream):
    """A stream whose words are given."""

    def __init__(self, words):
        self.given = np.array(words, np.uint64)

    def words(self, shape):
        return self.given.reshape(shape)


def test_the_normal_quantile_agrees_with_scipy():
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 20001), 10.0 ** -np.arange(1, 16), 1 - 10.0 ** -np.arange(1, 16)])
    assert normal_quantile(p) == pytest.approx(special.ndtri(p), rel=1e-13, abs=1e-13)


def test_the_logarithm_agrees_with_numpy():
    x = np.exp(np.linspace(-700, 700, 20001))
    assert log(x) == pytest.approx(np.log(x), rel=1e-14, abs=1e-14)


def test_equal_keys_give_equal_streams_and_any_other_key_another():
    base = (0, "net", "layer", "noise", 0.1, 0)
    first = Stream(*base).uniform((5,))
    assert np.array_equal(first, Stream(*base).uniform((5,)))
    for i, other in enumerate([1, "net2", "layer2", "noise2", 0.2, 1]):
        assert not np.array_equal(first, Stream(*base[:i], other, *base[i + 1 :]).uniform((5,))), other


def test_keys_are_told_apart_by_their_borders_and_types():
    """("a", "bc") and ("ab", "c") must not share a stream; nor the number 1 and the text "1"."""
    assert not np.array_equal(Stream("a", "bc").words((3,)), Stream("ab", "c").words((3,)))
    assert not np.array_equal(Stream(1).words((3,)), Stream("1").words((3,)))


def test_draws_have_their_distributions():
    stream = Stream("distribution")
    assert stats.kstest(stream.uniform((20000,)), "uniform").pvalue > 1e-3
    assert stats.kstest(stream.normal((20000,)), "norm").pvalue > 1e-3
    assert stream.bernoulli(0.2, (20000,)).mean() == pytest.approx(0.2, abs=0.012)
    assert stream.signs((20000,)).mean() == pytest.approx(0.0, abs=0.03)
    assert sorted(stream.permutation(50)) == list(range(50))


def test_uniforms_are_never_0_or_1():
    """The quantile of 0 or 1 is infinite: the outermost cells must lie within."""
    stream = Stream("open")
    for word in (0, 2**64 - 1):
        stream.words = lambda shape, word=word: np.full(shape, word, np.uint64)
        assert 0 < stream.uniform((1,))[0] < 1


@pytest.mark.parametrize("probability", [*PROBABILITIES, -1.0, 2.0, math.inf, -math.inf, math.nan])
def test_an_event_happens_exactly_where_its_uniform_is_below_the_probability(probability):
    """In rational numbers and as float64 compares, for the words on both sides of the border and at both ends."""
    border = round(Fraction(min(max(0.0, probability), 1.0)) * 2**52)
    cells = {min(max(0, border + step), 2**52 - 1) for step in range(-3, 4)} | {0, 1, 2**52 - 2, 2**52 - 1}
    words = [cell * 2**12 + low for cell in sorted(cells) for low in (0, 1, 2**12 - 1)]
    found = Given(words).bernoulli(probability, (len(words),))
    assert np.array_equal(found, Given(words).uniform((len(words),)) < probability)
    if math.isfinite(probability):
        exact = [Fraction(2 * (word >> 12) + 1, 2**53) < Fraction(float(probability)) for word in words]
        assert found.tolist() == exact


@given(st.floats(0, 1), st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_events_of_any_probability_are_those_of_uniforms(probability, words):
    shape = (len(words),)
    assert np.array_equal(Given(words).bernoulli(probability, shape), Given(words).uniform(shape) < probability)


def test_numbers_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch):
    make = {
        "uniform": lambda stream: stream.uniform((7, 11)),
        "normal": lambda stream: stream.normal((7, 11)),
        "bernoulli": lambda stream: stream.bernoulli(0.3, (7, 11)),
    }
    whole = {name: of(Stream("blocks")) for name, of in make.items()}
    monkeypatch.setattr(streams, "BLOCK", 10)
    for name, of in make.items():
        found = of(Stream("blocks"))
        assert found.shape == (7, 11)
        assert np.array_equal(found, whole[name]), name


@pytest.mark.parametrize("k", [0, 1, 3, 50, 999, 1000, 1001])
def test_a_sample_is_the_beginning_of_a_permutation(k):
    for draw in range(20):
        expected = Stream("sample", draw).permutation(1000)[:k]
        assert np.array_equal(Stream("sample", draw).sample(1000, k), expected)


@pytest.mark.parametrize("words", [[5, 1, 5, 1] * 50, [2**64 - 1] * 200, [0] * 200, list(range(2**63, 2**63 + 200))])
def test_a_sample_is_right_where_words_are_tied_or_all_large(words):
    """Then those that are likely to be the smallest are too few."""
    for k in (1, 30, 150):
        assert np.array_equal(Given(words).sample(200, k), Given(words).permutation(200)[:k])


def test_a_stream_is_pinned_to_the_bit():
    words = Stream(0, "resnet20", "conv1", "gaussian_noise", 0.5, 0)
    assert words.normal((2,)).tobytes().hex() == "7de2eab0ab87e83fe937428945decf3f"


def test_norms_are_summed_exactly():
    """A naive sum of 1e16 and many ones loses the ones; the result must not depend on the order."""
    values = np.array([1e8] + [1.0] * 1000)
    assert norm(values, 2) == math.sqrt(1e16 + 1000)
    assert norm(values[::-1], 2) == norm(values, 2)
    assert norm(values, math.inf) == 1e8
    assert rms(np.array([3.0, -4.0])) == math.sqrt(12.5)


wide = st.floats(allow_nan=False, allow_infinity=False, min_value=-(2.0**1010), max_value=2.0**1010)


@given(arrays.arrays(np.float64, st.integers(1, 40), elements=wide), st.sampled_from([1, 7, 64]))
def test_the_exact_sum_is_that_of_fsum(values, block):
    """Numbers from the smallest to the largest beside each other, sums that cancel, blocks of any size."""
    values = np.concatenate([values, -values[: values.size // 2]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK", block)
        assert exact_sum(values) == math.fsum(values)


def test_the_exact_sum_of_many_numbers_is_that_of_fsum():
    for scale in (1e-300, 1.0, 1e300):
        values = scale * Stream("sum").normal((200, 300)) ** 3
        assert exact_sum(values) == math.fsum(values.ravel())


def test_sums_that_are_not_finite_are_those_of_fsum():
    assert exact_sum(np.array([1.0, math.inf, 2.0])) == math.inf
    assert math.isnan(exact_sum(np.array([1.0, math.nan])))
    with pytest.raises(OverflowError):
        exact_sum(np.full(10, 1.7e308))


few = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 0.5, 1.0, math.inf, math.nan])


@given(arrays.arrays(np.float64, st.integers(1, 30), elements=few), st.integers(0, 31))
def test_the_smallest_are_the_first_of_a_stable_sort(values, k):
    expected = np.argsort(values, kind="stable")[:k]
    found = smallest(values, k)
    assert sorted(found) == sorted(expected)
    assert found.dtype == expected.dtype
