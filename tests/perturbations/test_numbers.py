"""Which random number meets which entry and bit, as docs/entries.md has it: recomputed from bare Philox words, one at a time."""

import math
import runpy
import struct
from hashlib import sha256

import numpy as np
import pytest
from scipy.special import ndtri

from safer_bench.measurement.measure import measure
from safer_bench.perturbations.loading import perturbations
from safer_bench.perturbations.perturbation import LayerFacts
from safer_bench.stream import Stream
from tests.conftest import ROOT

SHAPE, N = (3, 2, 5), 30
KEY = (7, "some_network", "layer1.conv")
FACTS = LayerFacts(kind="Conv1d", output_axis=0, fan_in=10)


def weight():
    values = [(-1) ** i * (0.03 + 0.11 * ((7 * i) % 13)) for i in range(N)]
    values[4] = -0.0
    return np.array(values, dtype=np.float32).reshape(SHAPE)


def words_of(name, level, n, draw=3, key=KEY):
    """Return the first ``n`` words of a probe's stream, as Python's integers."""
    text = "\x1f".join(map(repr, (*key, name, level, draw)))
    key = np.frombuffer(sha256(text.encode()).digest()[:16], dtype="<u8").astype(np.uint64)
    return [int(word) for word in np.random.Philox(key=key).random_raw(n)]


def uniform(word):
    return ((word >> 12) + 0.5) / 2**52


def sign(word):
    return -1.0 if uniform(word) < 0.5 else 1.0


def normal(word):
    return float(ndtri(uniform(word)))


def perturbed(name, level, draw=3):
    found = perturbations()[name].apply(weight(), level, Stream(*KEY, name, level, draw), layer=FACTS, gradient=None)
    return found.weight.ravel()


def bits(values):
    return [struct.unpack("<I", struct.pack("<f", value))[0] for value in values]


W = [float(value) for value in weight().ravel()]
RMS = math.sqrt(sum(value * value for value in W) / N)
LARGEST, NORM = max(map(abs, W)), math.sqrt(sum(value * value for value in W))


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("gaussian_noise", 0.5, lambda w: [W[i] + 0.5 * RMS * normal(w[i]) for i in range(N)]),
        ("multiplicative_noise", 0.5, lambda w: [W[i] * (1 + 0.5 * normal(w[i])) for i in range(N)]),
        ("rerandomize", 1.0, lambda w: [normal(w[i]) * math.sqrt(2 / 10) for i in range(N)]),
        (
            "random_corruption_l2",
            0.7,
            lambda w: [W[i] + 0.7 * NORM * normal(w[i]) / math.hypot(*map(normal, w[:N])) for i in range(N)],
        ),
        ("random_corruption_linf", 0.7, lambda w: [W[i] + 0.7 * LARGEST * sign(w[i]) for i in range(N)]),
    ],
)
def test_normals_and_signs_meet_entries_in_c_order(name, level, expected):
    found = expected(words_of(name, level, 2 * N))
    assert perturbed(name, level) == pytest.approx(found, rel=1e-6)
    assert len(set(np.sign(np.subtract(found, W)))) > 1


@pytest.mark.parametrize(
    ("name", "number"), [("random_corruption_l2_randk", normal), ("random_corruption_linf_randk", sign)]
)
def test_a_hundredth_of_the_entries_moves_by_the_numbers_after_all_words(name, number):
    """Three of 300, the smallest word's first."""
    ones = np.ones((20, 15), dtype=np.float32)
    words = words_of(name, 0.5, 303)
    moves = [number(word) for word in words[300:]]
    size = math.sqrt(300) / math.hypot(*moves) if number is normal else 1.0
    expected = [1.0] * 300
    for i, move in zip(sorted(range(300), key=words.__getitem__), moves, strict=False):
        expected[i] += 0.5 * size * move
    found = perturbations()[name].apply(ones, 0.5, Stream(*KEY, name, 0.5, 3)).weight
    assert found.ravel() == pytest.approx(expected, rel=1e-6)
    assert len(set(expected)) > 2


def test_entries_that_are_zeroed_or_inverted_are_those_of_their_numbers():
    """A zeroed entry is +0, also where it was negative; an inverted 0 is a 0 of the other sign."""
    hit = [uniform(word) < 0.51 for word in words_of("random_zero", 0.51, N)]
    assert any(value < 0 and gone for value, gone in zip(W, hit, strict=True))
    assert bits(perturbed("random_zero", 0.51)) == bits(0.0 if gone else value for value, gone in zip(W, hit, strict=True))
    hit = [uniform(word) < 0.3 for word in words_of("sign_flip", 0.3, N)]
    assert bits(perturbed("sign_flip", 0.3)) == bits(
        -value if turned else value for value, turned in zip(W, hit, strict=True)
    )


def test_a_measured_probe_has_the_numbers_of_its_seed_names_level_and_draw(tiny):
    rows = measure(tiny, ["sign_flip:0.3"], draws=2, examples=10, seed=5).to_pylist()
    parameters = dict(tiny.model.named_parameters())
    weights = {layer.name: parameters[layer.parameter].detach().numpy().ravel() for layer in tiny.layers}
    assert len(rows) == 2 * len(weights) == 6
    for row in rows:
        entries = weights[row["layer"]].tolist()
        words = words_of("sign_flip", 0.3, len(entries), row["draw"], (5, "tiny", row["layer"]))
        flipped = [-value if uniform(word) < 0.3 else value for value, word in zip(entries, words, strict=True)]
        assert sha256(struct.pack(f"<{len(flipped)}f", *flipped)).hexdigest()[:16] == row["weight_digest"]


@pytest.mark.parametrize(
    ("name", "level", "width", "first"),
    [
        ("float32_bit_flip", 0.05, 32, 0),
        ("float32_bit_flip_exponent", 0.1, 8, 23),
        ("float32_bit_flip_mantissa", 0.16, 23, 0),
    ],
)
def test_float32_bits_are_inverted_lowest_first(name, level, width, first):
    words, expected = words_of(name, level, width * N), []
    for i, stored in enumerate(bits(W)):
        for b in range(width):
            stored ^= (uniform(words[width * i + b]) < level) << (first + b)
        expected.append(0x7FC00000 if (stored & 0x7FFFFFFF) > 0x7F800000 else stored)
    assert perturbed(name, level).view("<u4").tolist() == expected
    assert expected != bits(W)


@pytest.mark.parametrize(("name", "level"), [("int8_bit_flip", 0.05), ("int8_bit_count", 17.0)])
def test_int8_bits_are_inverted_highest_first(name, level):
    words, step = words_of(name, level, 8 * N), LARGEST / 127
    smallest = sorted(range(8 * N), key=words.__getitem__)[:17]
    hit = [uniform(word) < level for word in words] if name == "int8_bit_flip" else [j in smallest for j in range(8 * N)]
    expected = []
    for i, value in enumerate(W):
        code = round(value / step) & 0xFF
        for b in range(8):
            code ^= hit[8 * i + b] << (7 - b)
        expected.append(step * (code - 256 if code > 127 else code))
    found = perturbed(name, level).tolist()
    assert found == pytest.approx(expected, rel=1e-6)
    assert [math.copysign(1.0, after) for after, value in zip(found, W, strict=True) if after == 0 and value == 0] == [1.0]
    assert any(hit)


@pytest.mark.parametrize(
    ("name", "level"), [("filter_prune", 0.4), ("magnitude_prune", 0.3), ("quantize", 3.0), ("quantize_per_channel", 3.0)]
)
def test_what_is_removed_becomes_plus_zero_and_what_is_rounded_keeps_its_sign(name, level):
    found = perturbed(name, level)
    zeros = [
        (math.copysign(1.0, after), math.copysign(1.0, value)) for after, value in zip(found, W, strict=True) if after == 0
    ]
    assert {before for _, before in zeros} == {-1.0, 1.0}
    assert all(after == (1.0 if "prune" in name else before) for after, before in zeros)
    assert found.tobytes() == perturbed(name, level, draw=4).tobytes()


def test_the_page_tells_the_numbers_of_every_perturbation_once():
    told = [name for names in runpy.run_path(str(ROOT / "docs" / "entries.py"))["STREAM"] for name in names]
    assert sorted(told) == sorted(perturbations())
