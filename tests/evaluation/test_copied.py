"""Scores that are the truth's own order are told."""

import pytest

from safer_bench.evaluation.copied import copied_from_the_truth
from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts
from safer_bench.tables.score_table import from_mapping
from tests.made_up.truth import made_up_scores, made_up_truth


def told(truth, scores):
    return copied_from_the_truth(from_mapping("mine", scores, read_facts(truth)), truth)


def areas(truth, perturbation):
    return {
        (row["network"], row["layer"]): row["value"]
        for row in truth["layer_sensitivity"].to_pylist()
        if row["perturbation"] == perturbation
    }


def sentence(k, n, against="under one perturbation or in the mean over them"):
    networks = f"{k} of {n} network{'s' * (n > 1)}"
    return [f"mine: a note: these scores order the layers as the truth itself does on {networks}, {against}"]


@pytest.mark.parametrize("perturbation", ["noise", "rot_linf"])
def test_the_truth_under_any_perturbation_is_known_whatever_its_scale(perturbation):
    truth = made_up_truth(2)
    copied = {key: 1e6 + value**3 for key, value in areas(truth, perturbation).items()}
    assert told(truth, copied) == sentence(3, 3)


def test_the_mean_over_perturbations_is_known():
    truth = made_up_truth(2)
    parts = [areas(truth, name) for name in ("noise", "rot_l2", "rot_linf")]
    assert told(truth, {key: sum(part[key] for part in parts) for key in parts[0]}) == sentence(3, 3)


def test_networks_are_counted_one_by_one_and_honest_scores_are_not_named():
    truth = made_up_truth(2)
    honest, copied = made_up_scores(truth, 0.3, 0), areas(truth, "noise")
    assert told(truth, honest) == []
    assert told(truth, honest | {key: value for key, value in copied.items() if key[0] == "test0a"}) == sentence(1, 3)


def test_aware_scores_are_held_against_all_that_they_name():
    truth = made_up_truth(2)
    both = {(*key, name): value for name in ("noise", "rot_l2") for key, value in areas(truth, name).items()}
    assert told(truth, both) == sentence(3, 3, "under all perturbations they name")
    other = {(*key, "noise"): -value for key, value in areas(truth, "noise").items()}
    assert told(truth, both | other) == []


def test_a_good_criterion_that_hits_one_small_network_of_many_is_not_named():
    truth = made_up_truth(2, n_layers=11)
    hit = {key: value for key, value in areas(truth, "noise").items() if key[0] == "test0a"}
    assert told(truth, made_up_scores(truth, 0.3, 0) | hit) == []


@pytest.mark.parametrize(("n_families", "n_layers", "is_told"), [(1, 11, False), (1, 12, True), (2, 11, True)])
def test_one_small_network_is_no_sign_but_one_of_many_layers_and_several_small_ones_are(n_families, n_layers, is_told):
    truth = made_up_truth(n_families, n_layers=n_layers)
    n = truth["networks"].num_rows
    assert told(truth, areas(truth, "noise")) == (sentence(n, n) if is_told else [])


def test_a_few_layers_come_into_their_order_by_chance():
    truth = made_up_truth(2, n_layers=7)
    assert told(truth, areas(truth, "noise")) == []


def test_layers_of_equal_truth_may_stand_in_any_order():
    truth = made_up_truth(1)
    rows = [
        row | {"value": 0.0} if row["layer"] in ("layer0", "layer1") else row
        for row in truth["layer_sensitivity"].to_pylist()
    ]
    truth = truth | {"layer_sensitivity": schema.build("layer_sensitivity", rows)}
    scores = areas(truth, "noise") | {("test0a", "layer0"): 1e-9}
    assert told(truth, scores) == sentence(1, 1)
