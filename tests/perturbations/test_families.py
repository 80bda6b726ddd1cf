"""What each family is defined to do, against independent arithmetic."""

import math

import numpy as np
import pytest

from safer_bench.errors import BadInput, UnknownName
from safer_bench.perturbations.loading import parse_perturbation, perturbations
from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Stream

P = perturbations()
WEIGHT = (0.3 * np.random.default_rng(0).normal(size=(8, 5, 3, 3))).astype(np.float32)
GRADIENT = np.random.default_rng(1).normal(size=WEIGHT.shape)


def perturbed(name, level, weight=WEIGHT, **needs):
    return P[name].apply(weight, level, Stream("t", name), **needs).weight.astype(np.float64)


def test_gaussian_noise_has_the_stated_size():
    noise = perturbed("gaussian_noise", 0.5) - WEIGHT
    assert noise.std() == pytest.approx(0.5 * np.sqrt(np.mean(WEIGHT.astype(float) ** 2)), rel=0.1)


@pytest.mark.parametrize("level", [0.2, 0.8])
def test_random_zero_loses_the_stated_share(level):
    assert np.mean(perturbed("random_zero", level) == 0) == pytest.approx(level, abs=0.08)
    assert not perturbed("random_zero", 1.0).any()


def test_sign_flip_keeps_magnitudes():
    found = perturbed("sign_flip", 0.3)
    assert np.array_equal(np.abs(found), np.abs(WEIGHT).astype(float))
    assert np.mean(np.sign(found) != np.sign(WEIGHT)) == pytest.approx(0.3, abs=0.08)


def test_magnitude_prune_removes_exactly_the_smallest():
    found, k = perturbed("magnitude_prune", 0.7), round(0.7 * WEIGHT.size)
    assert np.count_nonzero(found == 0) == k
    assert np.abs(WEIGHT[found == 0]).max() <= np.abs(WEIGHT[found != 0]).min()


def test_magnitude_prune_breaks_ties_by_the_lowest_index_and_rounds_half_to_even():
    ties = np.full((1, 5), 0.5, np.float32)
    assert perturbed("magnitude_prune", 0.5, ties).tolist() == [[0.0, 0.0, 0.5, 0.5, 0.5]]


def test_quantize_rounds_half_to_even_on_a_symmetric_grid():
    weight = np.array([[3.0, 0.5, 1.5, -2.5, -3.0]], np.float32)  # 3 bits: step 1
    assert perturbed("quantize", 3.0, weight).tolist() == [[3.0, 0.0, 2.0, -2.0, -3.0]]


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_quantize_leaves_at_most_the_codes_of_its_bits_and_half_a_step_of_error(bits):
    found = perturbed("quantize", float(bits))
    step = np.abs(WEIGHT).max() / (2 ** (bits - 1) - 1)
    assert len(np.unique(found)) <= 2**bits - 1
    assert np.abs(found - WEIGHT).max() <= step / 2 * (1 + 1e-6)


def test_quantize_leaves_a_layer_of_zeros_alone():
    zeros = np.zeros((2, 3), np.float32)
    assert not perturbed("quantize", 4.0, zeros).any()
    assert not perturbed("int8_bit_flip", 0.3, zeros).any()


def test_int8_bit_flip_inverts_each_bit_with_the_stated_rate():
    weight = (0.3 * np.random.default_rng(2).normal(size=(100, 100))).astype(np.float32)
    step = float(np.abs(weight).max()) / 127
    before = np.rint(weight.astype(np.float64) / step).astype(np.int8).view(np.uint8)
    after = np.rint(perturbed("int8_bit_flip", 0.03, weight) / step).astype(np.int8).view(np.uint8)
    bits = np.unpackbits((before ^ after)[..., None], axis=-1)
    assert bits.mean() == pytest.approx(0.03, abs=4 * math.sqrt(0.03 * 0.97 / bits.size))
    assert bits.mean((0, 1)) == pytest.approx(np.full(8, 0.03), abs=5 * math.sqrt(0.03 * 0.97 / bits[..., 0].size))


def test_int8_bit_flip_at_rate_one_inverts_every_bit():
    """~c = -c - 1 in two's complement: the code 127 becomes -128."""
    weight = np.array([[1.27, 0.0]], np.float32)
    step = float(weight.max()) / 127
    assert perturbed("int8_bit_flip", 1.0, weight) == pytest.approx(np.array([[-128 * step, -step]]))


@pytest.mark.parametrize(("suffix", "p"), [("l2", 2), ("linf", math.inf)])
def test_random_and_gradient_corruption_have_equal_norm_at_equal_level(suffix, p):
    size = np.linalg.norm(WEIGHT.ravel().astype(float), p)
    for name in (f"random_corruption_{suffix}", f"gradient_corruption_{suffix}"):
        moved = perturbed(name, 0.3, gradient=GRADIENT) - WEIGHT
        assert np.linalg.norm(moved.ravel(), p) == pytest.approx(0.3 * size, rel=1e-5), name


@pytest.mark.parametrize(("suffix", "p"), [("l2", 2), ("linf", math.inf)])
def test_gradient_corruption_raises_the_first_order_loss_most(suffix, p):
    """No other direction of the same norm has a larger inner product with the gradient."""
    best = ((perturbed(f"gradient_corruption_{suffix}", 0.3, gradient=GRADIENT) - WEIGHT) * GRADIENT).sum()
    rng, size = np.random.default_rng(3), 0.3 * np.linalg.norm(WEIGHT.ravel().astype(float), p)
    for blend in np.linspace(0, 1, 50):
        other = blend * GRADIENT + (1 - blend) * rng.normal(size=WEIGHT.shape)
        other *= size / np.linalg.norm(other.ravel(), p)
        assert (other * GRADIENT).sum() <= best * (1 + 1e-5)


def test_a_zero_gradient_changes_nothing():
    zeros = np.zeros_like(GRADIENT)
    for suffix in ("l2", "linf"):
        assert np.array_equal(perturbed(f"gradient_corruption_{suffix}", 1.0, gradient=zeros), WEIGHT.astype(float))


def test_specs_give_names_and_levels():
    entry, levels = parse_perturbation("quantize:4,2")
    assert (entry.name, levels) == ("quantize", (4.0, 2.0))
    assert parse_perturbation("quantize")[1] == P["quantize"].levels


def test_an_unknown_name_gets_near_misses():
    with pytest.raises(UnknownName) as error:
        parse_perturbation("gausian_noise")
    assert str(error.value) == (
        "no perturbation is called 'gausian_noise'. Did you mean 'gaussian_noise'? All of them: "
        "safer-bench list perturbations"
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "gaussian_noise:-1,1",
            "perturbation 'gaussian_noise': level -1; expected a number above 0, such as {mild}",
        ),
        (
            "gaussian_noise:0",
            "perturbation 'gaussian_noise': level 0; expected a number above 0, such as {mild}",
        ),
        ("gaussian_noise:2,2", "perturbation 'gaussian_noise': a level is given twice: 2, 2"),
        (
            "magnitude_prune:1.5",
            "perturbation 'magnitude_prune': level 1.5; expected a number from 0 to 1, such as {mild}",
        ),
        ("quantize:1", "perturbation 'quantize': level 1; expected a whole number from 2 to 16, such as {mild}"),
    ],
)
def test_levels_outside_the_domain_are_refused(spec, message):
    with pytest.raises(BadInput) as error:
        parse_perturbation(spec)
    name = spec.partition(":")[0]
    mild = ",".join(f"{level:g}" for level in perturbations()[name].levels[:2])
    assert str(error.value) == message.format(mild=f"{name}:{mild}")


def test_levels_are_put_in_order_from_mild_to_severe():
    """The area is a trapezoid along the scale: unordered levels would give another one."""
    assert parse_perturbation("gaussian_noise:8,0.5,2")[1] == (0.5, 2.0, 8.0)
    assert parse_perturbation("quantize:2,6,4")[1] == (6.0, 4.0, 2.0)


def test_a_perturbation_that_raises_is_named():
    @perturbation(levels=(1.0, 2.0), scale="linear", unit="", source="")
    def steep(weight, level, rng):
        return weight * (1 / (level - 1))

    with pytest.raises(BadInput) as error:
        steep.apply(WEIGHT, 1.0, Stream("t"))
    line = steep.function.__code__.co_firstlineno + 2
    assert str(error.value) == (
        f"perturbation 'steep' at level 1.0: ZeroDivisionError: float division by zero (test_families.py:{line}, in steep)"
    )


def test_a_perturbation_may_not_write_into_its_input():
    @perturbation(levels=(1.0, 2.0), scale="linear", unit="", source="")
    def rude(weight, level, rng):
        weight += level
        return weight

    with pytest.raises(BadInput, match=r"perturbation 'rude' at level 1.0: ValueError: output array is read-only"):
        rude.apply(WEIGHT, 1.0, Stream("t"))


def test_a_perturbation_of_another_shape_is_refused():
    @perturbation(levels=(1.0, 2.0), scale="linear", unit="", source="")
    def flat(weight, level, rng):
        return weight.ravel()

    with pytest.raises(BadInput) as error:
        flat.apply(WEIGHT, 1.0, Stream("t"))
    assert str(error.value) == "perturbation 'flat' returned float64 (360,); expected float64 (8, 5, 3, 3)"


@pytest.mark.parametrize(
    ("levels", "scale", "message"),
    [
        ((1.0, 1.0), "linear", "levels (1.0, 1.0); expected finite numbers from mild to severe"),
        ((0.0, 1.0), "log10", "levels (0.0, 1.0); a log10 scale needs positive ones"),
        ((0.5, 1.0), "log2", "scale 'log2'; expected one of linear, log10"),
    ],
)
def test_levels_and_scales_are_checked(levels, scale, message):
    with pytest.raises(BadInput) as error:
        perturbation(levels=levels, scale=scale, unit="", source="")
    assert str(error.value) == message


def test_a_users_file_works_like_a_built_in_one(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import safer_bench as sb\n"
        "@sb.perturbation(levels=(0.5, 0.1), scale='linear', unit='share', source='mine')\n"
        "def shrink(weight, level, rng):\n"
        "    'Shrink every weight.'\n"
        "    return weight * level\n"
    )
    entry, levels = parse_perturbation(f"{path}:shrink:0.25")
    assert levels == (0.25,)
    assert entry.apply(WEIGHT, 0.25, Stream("t")).weight == pytest.approx(WEIGHT / 4)
