import math

import numpy as np
import pytest
from scipy import special, stats

from safer_bench.stream import Stream, log, norm, normal_quantile, rms


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
