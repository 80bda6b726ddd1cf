"""Where an input says nothing, a metric says nothing; where all inputs are numbers, it says what plain loops say."""

import math
from decimal import Decimal
from inspect import signature
from math import isnan, nan

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from safer_bench import metrics

METRICS = {
    "spearman": metrics.spearman,
    "kendall_tau_b": metrics.kendall_tau_b,
    "top_k_overlap": metrics.top_k_overlap,
    "chance_corrected_overlap": metrics.chance_corrected_overlap,
    "ndcg_gain": metrics.ndcg_gain,
    "protected_gain": metrics.protected_gain,
    "partial_spearman": metrics.partial_spearman,
}
each = pytest.mark.parametrize("name", METRICS)
NAMES = {name: [each for each in signature(metric).parameters if each != "k"] for name, metric in METRICS.items()}
SUMMED = [("ndcg_gain", "truth"), *(("protected_gain", part) for part in ("half_a", "half_b", "errors"))]
quick = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def call(name, inputs, k=2):
    chosen = {part: inputs[part] for part in NAMES[name]}
    return METRICS[name](**chosen, **({"k": k} if "k" in signature(METRICS[name]).parameters else {}))


def made(n_layers, rng, shape=()):
    """Return inputs that every metric is defined of."""
    truth = rng.permuted(np.broadcast_to(np.arange(n_layers) + 1.0, (*shape, n_layers)), axis=-1)
    return {
        "truth": truth,
        "half_a": truth,
        "half_b": truth + 0.25,
        "errors": np.full(truth.shape, 1e-6),
        "scores": rng.permutation(n_layers) + 0.5,
        "given": rng.normal(size=(2, n_layers)),
    }


def test_every_public_metric_is_held_to_these_laws():
    public = {name for name, value in vars(metrics).items() if hasattr(value, "__wrapped__") and name[0] != "_"}
    assert public == set(METRICS)


@each
@quick
@given(seed=st.integers(0, 999), n_layers=st.integers(7, 12), many=st.booleans(), data=st.data())
def test_an_unknown_value_at_any_layer_of_any_input_leaves_that_pair_undefined_and_no_other(
    name, seed, n_layers, many, data
):
    n_layers = 201 if many and name == "kendall_tau_b" else n_layers
    inputs = made(n_layers, np.random.default_rng(seed), (3, 1))
    inputs["scores"] = np.stack([inputs["scores"], -inputs["scores"]])
    before = call(name, inputs)
    assert np.isfinite(before).all()
    part = data.draw(st.sampled_from(NAMES[name]))
    summed = (name, part) in SUMMED
    values = inputs[part].copy()
    place = tuple(data.draw(st.integers(0, n - 1)) for n in values.shape)
    values[place] = data.draw(st.sampled_from([nan, math.inf, -math.inf] if summed else [nan]))
    found = call(name, inputs | {part: values})
    expected = before.copy()
    expected[{"scores": np.s_[:, place[0]], "given": np.s_[:]}.get(part, place[0])] = nan
    assert found == pytest.approx(expected, nan_ok=True)


def places(values, k):
    """Return each layer's probability to be among the k largest."""
    above = [sum(other > value for other in values) for value in values]
    tied = [sum(other == value for other in values) for value in values]
    return [min(1.0, max(0.0, (k - a) / t)) for a, t in zip(above, tied, strict=True)]


def plain_ndcg_gain(truth, scores):
    gains, n = [max(value, 0.0) for value in truth], len(truth)
    discount = [1 / math.log2(2 + place) for place in range(n)]
    above = [sum(other > score for other in scores) for score in scores]
    tied = [sum(other == score for other in scores) for score in scores]
    found = sum(g * sum(discount[a : a + t]) / t for g, a, t in zip(gains, above, tied, strict=True))
    best = sum(g * d for g, d in zip(sorted(gains, reverse=True), discount, strict=True))
    return (found - sum(gains) * sum(discount) / n) / best


def plain_protected_gain(half_a, half_b, scores, k):
    def saved(picker, judge):
        return sum((p - k / len(picker)) * value for p, value in zip(places(picker, k), judge, strict=True))

    mean = [(a + b) / 2 for a, b in zip(half_a, half_b, strict=True)]
    return saved(scores, mean) / ((saved(half_a, half_b) + saved(half_b, half_a)) / 2)


def plain_partial(truth, scores, given):
    design = np.column_stack([np.ones(len(truth)), *(stats.rankdata(row) for row in given)])
    ranks = np.array([stats.rankdata(truth), stats.rankdata(scores)]).T
    return np.corrcoef((ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]).T)[0, 1]


tied = st.lists(st.integers(-3, 6), min_size=7, max_size=12)


@quick
@given(truth=tied, data=st.data())
def test_numbers_give_what_plain_loops_give(truth, data):
    n = len(truth)
    scores = data.draw(st.lists(st.integers(-3, 6), min_size=n, max_size=n))
    k = data.draw(st.integers(1, n // 2))
    if len(set(truth)) == 1 or len(set(scores)) == 1:
        assert all(isnan(call(name, constant(truth, scores), k)) for name in METRICS if name != "top_k_overlap")
        return
    close = lambda value: pytest.approx(value, abs=1e-9)  # noqa: E731
    assert metrics.spearman(truth=truth, scores=scores) == close(stats.spearmanr(truth, scores).statistic)
    assert metrics.kendall_tau_b(truth=truth, scores=scores) == close(stats.kendalltau(truth, scores).statistic)
    overlap = sum(p * q for p, q in zip(places(truth, k), places(scores, k), strict=True)) / k
    assert metrics.top_k_overlap(truth=truth, scores=scores, k=k) == close(overlap)
    chance = k / n
    found = metrics.chance_corrected_overlap(truth=truth, scores=scores, k=k)
    assert found == close((overlap - chance) / (1 - chance))
    if max(truth) > 0:
        assert metrics.ndcg_gain(truth=truth, scores=scores) == close(plain_ndcg_gain(truth, scores))
    sure = {"half_a": truth, "half_b": truth, "errors": [0.0] * n}
    gain = plain_protected_gain(truth, truth, scores, k)
    assert metrics.protected_gain(**sure, scores=scores, k=k) == close(gain)
    given = np.random.default_rng(n).normal(size=(1, n))
    partial = metrics.partial_spearman(truth=truth, scores=scores, given=given)
    assert partial == close(plain_partial(truth, scores, given))


def constant(truth, scores):
    halves = {"half_a": truth, "half_b": truth, "errors": [0.0] * len(truth)}
    return {"truth": truth, "scores": scores, **halves, "given": np.random.default_rng(0).normal(size=(1, len(truth)))}


@each
def test_infinite_values_rank_first_and_last(name):
    inputs = made(9, np.random.default_rng(0))
    for part in ("truth", "scores"):
        if part in NAMES[name] and (name, part) not in SUMMED:
            ends = inputs[part].copy()
            ends[ends.argmax()], ends[ends.argmin()] = math.inf, -math.inf
            assert call(name, inputs | {part: ends}) == call(name, inputs), part


@each
@pytest.mark.parametrize("exponent", [-1070, -600, 600, 1000])
def test_the_size_of_all_values_changes_nothing(name, exponent):
    """Sums of gains overflowed, and a finite number over an infinite one passed for a gain of 0."""
    inputs = made(9, np.random.default_rng(1)) | {"errors": np.zeros(9), "half_b": np.arange(9.0), "half_a": np.arange(9.0)}
    sized = {part: np.ldexp(np.rint(values), exponent) for part, values in inputs.items() if part not in ("scores", "given")}
    plain = {part: np.rint(values) for part, values in inputs.items() if part in sized}
    assert call(name, inputs | sized) == call(name, inputs | plain)


@each
@pytest.mark.parametrize("n_layers", [0, 1])
@pytest.mark.parametrize("shape", [(), (3, 1), (0, 1)])
def test_fewer_than_two_layers_have_no_ranking(name, n_layers, shape):
    empty = np.zeros((*shape, n_layers))
    inputs = dict.fromkeys(("truth", "half_a", "half_b", "errors"), empty)
    found = call(name, inputs | {"scores": np.zeros(n_layers), "given": np.zeros((2, n_layers))}, k=1)
    assert np.shape(found) == shape
    assert np.isnan(found).all()


@each
def test_no_pairs_have_no_values(name):
    inputs = {part: np.zeros((0, 1, 5)) for part in ("truth", "half_a", "half_b", "errors")}
    found = call(name, inputs | {"scores": np.zeros((4, 5)), "given": np.zeros((2, 5))})
    assert found.shape == (0, 4)


@each
def test_what_is_missing_in_any_form_is_unknown(name):
    inputs = made(8, np.random.default_rng(2))
    scores = inputs["scores"].tolist()
    hidden = np.ma.masked_array(scores, mask=[False] * 7 + [True])
    for missing in (hidden, [*scores[:-1], None], pa.array([*scores[:-1], None]), [Decimal("NaN"), *scores[1:]]):
        assert isnan(call(name, inputs | {"scores": missing}))
    for same in (np.ma.masked_array(scores), tuple(scores), [Decimal(score) for score in scores], pa.array(scores)):
        assert call(name, inputs | {"scores": same}) == call(name, inputs)


@each
@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16", "float32", ">f8", "longdouble", "object"])
def test_numbers_of_every_type_count(name, dtype):
    inputs = made(8, np.random.default_rng(3))
    whole = inputs | {"scores": np.rint(inputs["scores"] + 0.5).astype(dtype)}
    assert call(name, whole) == call(name, inputs)
    assert isnan(call(name, inputs | {"scores": np.ones(8, bool)})) == (name != "top_k_overlap")


@each
@pytest.mark.parametrize(
    ("values", "found"),
    [
        (list("abcdefgh"), "<U1 values"),
        (["1", "2", "3", "4", "5", "6", "7", "8"], "<U1 values"),
        (np.array([1, "2"] * 4, dtype=object), "object values"),
        (np.arange(8) + 1j, "complex128 values"),
        (np.arange(8).astype("M8[D]"), "datetime64[D] values"),
        (2**53 + np.arange(8), "whole numbers beyond 2**53, which float64 does not keep apart"),
        ([2**70, *range(7)], "whole numbers beyond 2**53, which float64 does not keep apart"),
    ],
)
def test_what_is_no_number_is_refused(name, values, found):
    with pytest.raises(ValueError) as error:  # noqa: PT011  the message is compared whole
        call(name, made(8, np.random.default_rng(0)) | {"scores": values})
    assert str(error.value) == f"scores: {found}; expected an array of real numbers"


@each
@pytest.mark.parametrize("values", [[[1.0], [2.0, 3.0]], {"a": 1.0}, object(), [{}] * 8])
def test_what_is_no_array_is_refused_by_name(name, values):
    with pytest.raises(ValueError, match=r"^scores: .*; expected an array of real numbers$"):
        call(name, made(8, np.random.default_rng(0)) | {"scores": values})


@each
@pytest.mark.parametrize("scores", [1.0, np.float64(1.0), np.arange(7.0), np.ones((8, 1)), []])
def test_shapes_without_the_layers_are_refused(name, scores):
    with pytest.raises(ValueError, match=r"scores \(.*expected shapes \(\.\.\., n_layers\) that broadcast"):
        call(name, made(8, np.random.default_rng(0)) | {"scores": scores})


@pytest.mark.parametrize("given", [np.arange(8.0), np.ones((2, 7)), np.ones((1, 2, 8)), 1.0])
def test_what_is_given_has_a_row_each(given):
    with pytest.raises(ValueError, match=r"that broadcast, given \(n_given, n_layers\)$"):
        call("partial_spearman", made(8, np.random.default_rng(0)) | {"given": given})


def test_with_nothing_given_the_partial_correlation_is_the_whole_one():
    inputs = made(8, np.random.default_rng(0)) | {"given": np.zeros((0, 8))}
    assert call("partial_spearman", inputs) == pytest.approx(call("spearman", inputs))


@pytest.mark.parametrize("name", [name for name in METRICS if "k" in signature(METRICS[name]).parameters])
def test_a_number_of_layers_is_a_whole_number_from_one_on(name):
    inputs = made(8, np.random.default_rng(0))
    assert call(name, inputs, np.int64(2)) == call(name, inputs, np.uint8(2)) == call(name, inputs, 2)
    for k in (0, -1, 2.0, True, np.True_, "2", None, nan, np.float64(2.0)):
        with pytest.raises(ValueError, match=r"; expected a whole number from 1 on$"):
            call(name, inputs, k)
    if name == "top_k_overlap":
        with pytest.raises(ValueError, match=r"^k = 9; expected 1 to 8$"):
            call(name, inputs, 9)
    else:
        assert isnan(call(name, inputs, 9))


@each
def test_inputs_stay_as_they_are(name):
    inputs = made(8, np.random.default_rng(0))
    inputs["scores"][3] = nan
    before = {part: values.tobytes() for part, values in inputs.items()}
    for values in inputs.values():
        values.setflags(write=False)
    assert isnan(call(name, inputs))
    assert {part: values.tobytes() for part, values in inputs.items()} == before
