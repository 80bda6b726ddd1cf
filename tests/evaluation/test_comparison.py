"""Two criteria compared: paired, by perturbation, with intervals only where families support them."""

import numpy as np
import pyarrow as pa
import pytest

from safer_bench.errors import BadInput, UnknownName
from safer_bench.evaluation.comparison import ALL, compare, plot, rows
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.tables.facts import read_facts
from safer_bench.tables.score_table import from_mapping
from tests.made_up.truth import KINDS, made_up_scores, made_up_truth


def results_of(n_families, **more):
    truth = made_up_truth(n_families, **more)
    return evaluate(truth, {"good": made_up_scores(truth, 0.3, 0), "bad": made_up_scores(truth, 3.0, 1)}), truth


def test_each_perturbation_each_use_case_of_several_and_all_of_them_are_compared():
    found = compare(*results_of(7), "good", "bad")
    assert [each.perturbation for each in found] == [ALL, "use case rot", *KINDS]
    assert {(each.dataset, each.split, each.n_networks, len(each.by_family)) for each in found} == {("made", "test", 10, 7)}
    for each in found:
        assert each.difference == pytest.approx(np.mean(list(each.by_family.values())))
        assert each.interval[0] < each.difference < each.interval[1]
    assert found[0].interval[0] > 0
    assert len({each.difference for each in found}) == 5
    every, rot, noise, *variants = (each.difference for each in found)
    assert rot == pytest.approx(np.mean(variants))
    assert every == pytest.approx((noise + rot) / 2)


def test_the_other_way_round_is_the_opposite():
    results, truth = results_of(7)
    for one, other in zip(compare(results, truth, "good", "bad"), compare(results, truth, "bad", "good"), strict=True):
        assert other.difference == pytest.approx(-one.difference)
        assert other.interval == pytest.approx((-one.interval[1], -one.interval[0]))


def test_pairing_narrows_the_interval_of_criteria_that_agree():
    truth = made_up_truth(8)
    scores = made_up_scores(truth, 2.0, 0)
    nearly = {key: value + 0.1 * np.random.default_rng(i).normal() for i, (key, value) in enumerate(scores.items())}
    results = evaluate(truth, {"one": scores, "nearly": nearly, "other": made_up_scores(truth, 2.0, 1)})
    widths = [np.ptp(compare(results, truth, "one", name)[0].interval) for name in ("nearly", "other")]
    assert widths[0] < widths[1] / 2


def test_six_families_are_enough_for_intervals():
    found = compare(*results_of(6), "good", "bad")
    assert all(len(each.by_family) == 6 and each.interval is not None for each in found)


def test_five_families_have_differences_without_intervals():
    found = compare(*results_of(5), "good", "bad")
    assert {each.interval for each in found} == {None}
    assert {row[-1] for row in rows(found)} == {"-"}
    assert rows(found)[0][:3] == [ALL, "7", "5"]


def test_what_cannot_be_compared_is_said():
    results, truth = results_of(2, n_layers=9)
    with pytest.raises(BadInput, match=r"^'good' and 'bad' share no network of 10 layers or more"):
        compare(results, truth, "good", "bad")
    with pytest.raises(UnknownName, match=r"^no criterion is called 'goood'. Did you mean 'good'\?"):
        compare(results, truth, "goood", "bad")
    with pytest.raises(UnknownName, match=r"^no metric is called 'spearmen'"):
        compare(results, truth, "good", "bad", "spearmen")


@pytest.mark.parametrize("n_families", [3, 7])
def test_the_plot_is_written(tmp_path, n_families):
    path = tmp_path / "plots" / "compare.png"
    plot(compare(*results_of(n_families), "good", "bad"), path, "good minus bad")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadInput, match=r"a plot ends in \.png, \.svg, \.pdf$"):
        plot([], tmp_path / "compare.xyz", "")


def test_a_criterion_of_two_tracks_is_not_compared_as_a_mixture_of_them():
    """Of two tracks of one name the second once took the first's place, under the perturbations that it had."""
    truth = made_up_truth(7)
    aware = {(*key, "noise"): -value for key, value in made_up_scores(truth, 0.3, 0).items()}
    facts = read_facts(truth)
    parts = [from_mapping("good", scores, facts) for scores in (made_up_scores(truth, 0.3, 0), aware)]
    results = evaluate(truth, pa.concat_tables([*parts, from_mapping("bad", made_up_scores(truth, 3.0, 1), facts)]))
    with pytest.raises(BadInput) as error:
        compare(results, truth, "good", "bad")
    assert str(error.value) == (
        "criterion 'good' has scores on the tracks blind and perturbation_aware; give one of them another name"
    )
