"""Levels come from measured curves: where their median over families crosses the aims, and what stands in for the others."""

import numpy as np
import pytest

from benchmarks import calibration
from safer_bench.networks.loading import zoo_networks
from safer_bench.perturbations.loading import perturbations
from tests.conftest import ROOT
from tests.made_up.cases import first_by_default

P = perturbations()
NOISE, BITS, COUNT, SHARE = P["gaussian_noise"], P["quantize"], P["int8_bit_count"], P["magnitude_prune"]
LEVELLED = sorted(set(P) - {"rerandomize"})
COMMITTED = calibration.read(calibration.networks())


def of_one(levels, shares):
    return {"family": [(levels, shares)]}


def test_levels_are_where_the_curve_crosses_the_aims():
    """A curve that is linear in log10(level): share 0 at 0.01, 1 at 10."""
    levels = (10.0 ** np.arange(-2, 1.01, 0.25)).tolist()
    expected = [float(f"{10 ** (3 * aim - 2):.2g}") for aim in calibration.AIMS]
    found = calibration.choose(of_one(levels, np.linspace(0, 1, 13).tolist()), NOISE)
    assert found == expected == [0.011, 0.014, 0.04, 0.32, 2.5]


def test_the_linear_scale_is_interpolated_linearly():
    assert calibration.choose(of_one([0.0, 1.0], [0.0, 1.0]), SHARE) == [0.01, 0.05, 0.2, 0.5, 0.8]


def test_the_median_of_families_counts_and_within_a_family_that_of_its_networks():
    """A family of three networks has one voice: by networks the median curve would be the steep one."""
    steep, flat, nothing = ([0.0, 1.0], [0.0, 1.0]), ([0.0, 1.0], [0.0, 0.5]), ([0.0, 1.0], [0.0, 0.0])
    families = {"a": [steep, steep, steep], "b": [flat], "c": [nothing]}
    assert calibration.typical_share(families, SHARE, [0.5, 1.0]).tolist() == [0.25, 0.5]
    assert calibration.choose(families, SHARE) == [0.02, 0.1, 0.4, 1.0]
    assert calibration.typical_share({"a": [steep, flat, nothing]}, SHARE, [1.0]).tolist() == [0.5]


def test_beyond_what_was_measured_a_curve_goes_on_as_it_ends():
    assert calibration.share_at(([8.0, 4.0], [0.1, 0.3]), BITS, [16, 8, 6, 4, 2]) == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.3])


def test_in_place_of_aims_never_reached_stands_one_level_that_costs_nearly_the_most():
    """The most is 0.4: 95 % of it is 0.38. Of 0.22 it would be no more than the last aim."""
    assert calibration.choose(of_one([0.0, 1.0], [0.0, 0.4]), SHARE) == [0.025, 0.12, 0.5, 0.95]
    assert calibration.choose(of_one([0.0, 1.0], [0.0, 0.22]), SHARE) == [0.045, 0.23, 0.909]


def test_what_costs_nothing_gets_its_most_severe_level_and_half_a_decade_below():
    assert calibration.choose(of_one([0.1, 0.5], [0.0, 0.001]), P["float32_bit_flip_mantissa"]) == [0.16, 0.5]


@pytest.mark.parametrize(
    ("levels", "shares", "expected"),
    [
        ([5.0, 4.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.9], [4, 3, 2]),  # nearest: 3, 3, 3, 2, 2
        ([5.0, 4.0, 3.0, 2.0], [0.0, 0.05, 0.5, 1.0], [6, 5, 4, 3, 2]),  # nearest: 5, 4, 4, 3, 2
        ([16.0, 15.0], [0.9, 0.9], [16]),  # none milder than 16 bits
    ],
)
def test_bits_are_whole_distinct_and_of_the_domain_and_one_is_milder(levels, shares, expected):
    assert calibration.choose(of_one(levels, shares), BITS) == expected


def test_counts_are_whole_distinct_and_at_least_one():
    assert calibration.choose(of_one([1.0, 10.0], [0.0, 1.0]), COUNT) == [1, 2, 3, 6]


def test_close_levels_get_the_digits_that_tell_them_apart():
    assert calibration.choose(of_one([0.9, 0.91], [0.0, 1.0]), SHARE) == [0.9, 0.901, 0.902, 0.905, 0.908]


@pytest.mark.parametrize("name", LEVELLED)
def test_grids_are_within_the_domain_and_run_from_severe_to_mild(name):
    found = calibration.grid(P[name])
    assert P[name].ordered(tuple(found)) == tuple(reversed(found))


def test_validation_networks_alone_were_measured_each_under_all_perturbations():
    assert {path.stem for path in calibration.OUT.glob("*.json")} == set(COMMITTED)
    assert {zoo_networks()[name].split for name in COMMITTED} == {"validation"}
    for name, content in COMMITTED.items():
        assert sorted(content["perturbations"]) == LEVELLED
        assert (content["family"], content["dataset"]) == (zoo_networks()[name].family, zoo_networks()[name].dataset)


@pytest.mark.parametrize("name", first_by_default(LEVELLED, 4))
def test_the_levels_in_use_follow_from_the_committed_curves(name):
    assert list(P[name].levels) == calibration.choose(calibration.by_family(COMMITTED, name), P[name])


def test_all_validation_networks_were_measured():
    assert set(COMMITTED) == set(calibration.networks())


def test_where_flips_may_be_infinite_draws_are_many():
    for content in COMMITTED.values():
        for name, curve in content["perturbations"].items():
            assert (curve["examples"], curve["draws"]) == calibration.size(content["dataset"], P[name])[:2]


def test_a_share_near_one_is_rounded_by_what_it_leaves():
    assert calibration.choose(of_one([0.99, 1.0], [0.0, 1.0]), SHARE) == [0.9901, 0.9905, 0.992, 0.995, 0.998]


@pytest.mark.long
def test_the_page_shows_the_committed_table():
    table = "\n".join(calibration.report(COMMITTED))
    assert table in (ROOT / "docs" / "levels.md").read_text()


def test_what_the_page_of_corruption_says_of_norms_follows_from_the_levels():
    """The third of five levels is where the median layer loses 20 %."""
    kinds = ("l2", "linf", "l2_topk", "linf_topk")
    names = [(f"gradient_corruption_{kind}", f"random_corruption_{kind.replace('topk', 'randk')}") for kind in kinds]
    times = [f"{P[random].levels[2] / P[gradient].levels[2]:.1f}" for gradient, random in names]
    page = " ".join((ROOT / "docs" / "corruption.md").read_text().split())
    assert f"needs {times[0]} times the norm of the gradient's for p = 2 and {times[1]} times for p = inf" in page
    assert f"({times[2]} and {times[3]} times the norm for 20 %)" in page
