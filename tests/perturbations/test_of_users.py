"""Perturbations that people write, and levels that they ask for: what breaks the contract is one message."""

import math
from itertools import count

import numpy as np
import pytest

from safer_bench.errors import BadInput
from safer_bench.perturbations.loading import parse_perturbation, perturbations
from safer_bench.perturbations.perturbation import LayerFacts, perturbation
from safer_bench.stream import Stream

NOISE = "gaussian_noise:" + ",".join(f"{level:g}" for level in perturbations()["gaussian_noise"].levels[:2])  # an example
WEIGHT = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def made(function, **more):
    """Return a perturbation called ``mine``."""

    def mine(weight, level, rng, **needs):
        return function(weight, level, rng, **needs)

    return perturbation(**{"levels": (1.0, 2.0), "scale": "linear", "unit": "", "source": ""} | more)(mine)


def refused(entry, message, **needs):
    with pytest.raises(BadInput) as error:
        entry.apply(WEIGHT, 1.0, Stream("t"), **needs)
    assert str(error.value) == f"perturbation 'mine' {message}"


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        (lambda w: None, "NoneType"),
        (lambda w: w.tolist(), "list"),
        (lambda w: 1.0, "float"),
        (lambda w: w[0, 0], "float64 ()"),
        (lambda w: w.astype(np.float32), "float32 (4, 3)"),
        (lambda w: w + 0j, "complex128 (4, 3)"),
        (lambda w: w.astype(object), "object (4, 3)"),
        (lambda w: w.astype(int), "int64 (4, 3)"),
        (lambda w: w > 0, "bool (4, 3)"),
        (lambda w: w.T, "float64 (3, 4)"),
        (lambda w: w[None], "float64 (1, 4, 3)"),
        (lambda w: w[:0], "float64 (0, 3)"),
        (lambda w: np.ma.masked_greater(w, 0.0), "MaskedArray (4, 3)"),
        (lambda w: np.asmatrix(w), "matrix (4, 3)"),
    ],
)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_what_is_no_weight_of_the_same_shape_is_refused(returned, found):
    refused(made(lambda weight, *_: returned(weight)), f"returned {found}; expected float64 (4, 3)")


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused_unless_they_are_meant_to_be(odd):
    broken = lambda weight, level, rng: np.where(weight > weight.max() - 1e-9, odd, weight)  # noqa: E731
    refused(
        made(broken),
        "at level 1.0: 1 of 12 weights are NaN or infinite afterwards; expected finite ones, or @perturbation(..., "
        "faulty=True) where they are meant to be",
    )
    found = made(broken, faulty=True).apply(WEIGHT, 1.0, Stream("t"))
    assert (found.changed_entries, np.count_nonzero(~np.isfinite(found.weight))) == (1, 1)


def test_a_division_by_zero_is_no_warning_but_a_refusal():
    refused(
        made(lambda weight, *_: weight / np.zeros(weight.shape)),
        "at level 1.0: 12 of 12 weights are NaN or infinite afterwards; expected finite ones, or @perturbation(..., "
        "faulty=True) where they are meant to be",
    )


def test_the_same_object_back_is_no_change():
    assert made(lambda weight, *_: weight).apply(WEIGHT, 1.0, Stream("t")).changed_entries == 0


def test_any_order_of_the_entries_in_memory_is_the_same_weight():
    plain = made(lambda weight, *_: 2.0 * weight).apply(WEIGHT, 1.0, Stream("t"))
    turned = made(lambda weight, *_: np.asfortranarray(2.0 * weight)).apply(WEIGHT, 1.0, Stream("t"))
    assert plain.digest == turned.digest


def test_nothing_that_is_given_can_be_written_to():
    """The gradient of a layer is given to the next level too: halved here, it was halved there."""
    gradient = np.ones(WEIGHT.shape)

    def rude(weight, level, rng, *, gradient):
        gradient *= 0.5
        return weight + gradient

    with pytest.raises(BadInput, match=r"^perturbation 'mine' at level 1\.0: ValueError: output array is read-only"):
        made(rude, needs=("gradient",)).apply(WEIGHT, 1.0, Stream("t"), gradient=gradient)
    assert (gradient == 1.0).all()


clock = count()


@pytest.mark.parametrize(
    "draw",
    [
        lambda weight, rng: weight + np.random.default_rng().normal(size=weight.shape),
        lambda weight, rng: weight + np.random.normal(size=weight.shape),
        lambda weight, rng: weight + next(clock),
        lambda weight, rng: weight + id(object()) % 97 + next(clock),
    ],
    ids=["fresh generator", "global generator", "counter", "address"],
)
def test_what_differs_when_it_is_applied_twice_is_refused(draw):
    refused(
        made(lambda weight, level, rng: draw(weight, rng)),
        "at level 1.0: applied twice to one weight, with one random stream, it gave two results; take random numbers from "
        "rng alone (rng.normal(shape), rng.uniform(shape)), and keep no state",
    )


def test_what_draws_from_its_stream_is_pure_and_draws_as_if_it_were_applied_once():
    noise = made(lambda weight, level, rng: weight + rng.normal(weight.shape))
    stream = Stream("t")
    found = noise.apply(WEIGHT, 1.0, stream)
    assert np.array_equal(found.weight, (WEIGHT + Stream("t").normal(WEIGHT.shape)).astype(np.float32))
    ahead = Stream("t")
    ahead.normal(WEIGHT.shape)
    assert np.array_equal(stream.words((3,)), ahead.words((3,)))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"levels": ()}, "levels (); expected finite numbers from mild to severe"),
        ({"levels": 1.0}, "levels 1.0; expected finite numbers from mild to severe"),
        ({"levels": "12"}, "levels '12'; expected finite numbers from mild to severe"),
        ({"levels": ("1", "2")}, "levels ('1', '2'); expected finite numbers from mild to severe"),
        ({"levels": (True, 2)}, "levels (True, 2); expected finite numbers from mild to severe"),
        ({"levels": (1j,)}, "levels (1j,); expected finite numbers from mild to severe"),
        ({"levels": (1.0, math.nan)}, "levels (1.0, nan); expected finite numbers from mild to severe"),
        ({"levels": (1.0, math.inf)}, "levels (1.0, inf); expected finite numbers from mild to severe"),
        ({"levels": (1.0, 3.0, 2.0)}, "levels (1.0, 3.0, 2.0); expected finite numbers from mild to severe"),
        ({"levels": (0.0, 1.0), "scale": "log10"}, "levels (0.0, 1.0); a log10 scale needs positive ones"),
        ({"levels": (-1.0, 1.0)}, "perturbation 'mine': level -1; expected a number from 0 on, such as mine:-1,1"),
        (
            {"levels": (1.5,), "whole": True},
            "perturbation 'mine': level 1.5; expected a whole number from 0 on, such as mine:1.5",
        ),
        ({"domain": (2.0, 1.0)}, "domain (2.0, 1.0); expected (smallest, largest)"),
        ({"domain": (math.nan, 1.0)}, "domain (nan, 1.0); expected (smallest, largest)"),
        ({"domain": 1.0}, "domain 1.0; expected (smallest, largest)"),
        ({"needs": ("gradients",)}, "needs ('gradients',); expected some of ('layer', 'gradient')"),
        ({"needs": "layer"}, "needs 'layer'; expected some of ('layer', 'gradient')"),
        ({"scale": None}, "scale None; expected one of linear, log10"),
        ({"unit": None}, "unit, source, formula and use_case; expected texts of one line each"),
        ({"source": "two\nlines"}, "unit, source, formula and use_case; expected texts of one line each"),
    ],
)
def test_what_is_said_of_a_perturbation_is_checked_where_it_is_made(more, message):
    with pytest.raises(BadInput) as error:
        made(lambda weight, *_: weight, **more)
    assert str(error.value) == message


def test_a_perturbation_needs_a_name():
    for function in (lambda weight, level, rng: weight, print.__call__, 17):
        with pytest.raises(BadInput, match=r"^@perturbation of .*; expected a function with a name of its own$"):
            perturbation(levels=(1.0,), scale="linear", unit="", source="")(function)


def test_whole_numbers_and_lists_are_levels_too():
    assert made(lambda weight, *_: weight, levels=[1, 2]).levels == (1.0, 2.0)


@pytest.mark.parametrize(
    "text",
    ["", ",", "1,", ",1", "1_0", "0x1", "nan", "inf", "-inf", "1e", "1 2", "٣", "¹", "1e5f", "--1", ":1", "1:2", "1;2"],
)
def test_levels_that_are_no_numbers_are_refused(text):
    wrong = next((part for part in text.split(",") if part != "1"), None)
    with pytest.raises(BadInput) as error:
        parse_perturbation(f"gaussian_noise:{text}")
    assert str(error.value) == (
        f"perturbation {f'gaussian_noise:{text}'!r}: level {wrong!r} is not a number; expected a number above 0, such as "
        f"{NOISE}"
    )


@pytest.mark.parametrize("text", ["1e400", "0", "-0.0", "1e-400", "-1", "+0"])
def test_numbers_that_are_no_levels_are_refused_with_the_range(text):
    with pytest.raises(BadInput) as error:
        parse_perturbation(f"gaussian_noise:{text}")
    assert str(error.value) == (
        f"perturbation 'gaussian_noise': level {float(text):g}; expected a number above 0, such as {NOISE}"
    )


@pytest.mark.parametrize(("text", "levels"), [("1., .5", (0.5, 1.0)), ("1e1,+2", (2.0, 10.0)), ("5E-1", (0.5,))])
def test_numbers_in_every_usual_form_are_levels(text, levels):
    assert parse_perturbation(f"gaussian_noise:{text}")[1] == levels


@pytest.mark.parametrize("spec", [None, 17, b"gaussian_noise", ("gaussian_noise", 1.0)])
def test_what_is_no_spec_is_refused(spec):
    with pytest.raises(BadInput) as error:
        parse_perturbation(spec)
    assert str(error.value) == (
        f"perturbation {spec!r}; expected NAME[:LEVEL,...], FILE.py:FUNC[:LEVEL,...] or a perturbation"
    )


HUGE = float(np.finfo(np.float32).max)
EXTREMES = {
    "one": np.full((1, 1), 0.5),
    "rank 1": np.linspace(-1, 1, 7),
    "rank 4": np.linspace(-1, 1, 36).reshape(3, 2, 3, 2),
    "rank 5": np.linspace(-1, 1, 48).reshape(2, 3, 2, 2, 2),
    "zeros": np.zeros((3, 4)),
    "minus zeros": np.full((3, 4), -0.0),
    "constant": np.full((3, 4), 0.25),
    "one that is not zero": np.eye(1, 12).reshape(3, 4),
    "denormal": np.full((3, 4), 1e-45),
    "denormal and one": np.linspace(0, 1, 12).reshape(3, 4) ** 60,
    "huge": np.where(np.arange(12).reshape(3, 4) % 2, HUGE, -HUGE),
    "huge and denormal": np.where(np.arange(12).reshape(3, 4) % 2, HUGE, 1e-45),
}
MAKE_SOMETHING = ("rerandomize", "float32_bit_flip", "float32_bit_flip_exponent", "float32_bit_flip_mantissa")  # of zeros
GROWS = ("noise", "corruption", "int8")  # what is added, or code -128, may exceed what float32 holds


@pytest.mark.parametrize("entry", perturbations().values(), ids=lambda entry: entry.name)
@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_weights_are_perturbed_as_defined_and_without_a_warning(entry, name):
    weight = EXTREMES[name].astype(np.float32)
    facts = LayerFacts("Linear", 0, max(1, weight.size // weight.shape[0]))
    gradients = [np.cos(np.arange(weight.size)).reshape(weight.shape) * size for size in (1.0, 0.0, 1e-200, 1e200)]
    for level in (entry.levels[0], entry.levels[-1]):
        results = [
            entry.apply(weight, level, Stream("t", level), layer=facts, gradient=gradient)
            for gradient in (*gradients, gradients[0])
        ]
        assert {found.weight.shape for found in results} == {weight.shape}
        assert results[0].digest == results[-1].digest
        finite = np.isfinite(results[0].weight).all()
        assert finite or entry.faulty or (name.startswith("huge") and any(word in entry.name for word in GROWS))
        assert not np.isnan(results[0].weight).any() or entry.faulty
        if name.endswith("zeros") and entry.name not in MAKE_SOMETHING:
            assert not results[0].weight.any()
        if "gradient" in entry.needs:  # its size says nothing, but that there is none
            assert (results[1].weight == weight).all()
            assert results[2].weight == pytest.approx(results[0].weight, rel=1e-6)
            assert results[3].weight == pytest.approx(results[0].weight, rel=1e-6)
