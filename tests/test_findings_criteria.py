"""What measuring buys and which kinds of network blind criteria fail on, told as the tables have it."""

import re

import pytest

from docs.findings import kinds_of_network, measuring, other_data
from docs.findings.__main__ import BUDGETS
from docs.findings.data import Data
from tests.made_up.zoo_truth import families, network, noisy, own_order, zoo_truth

CASES = {"quantize": "quantization", "random_zero": "removal"}
MEASURED = {f"measured_drop_{n}": n for n in measuring.EXAMPLES}
COSTS = {**{name: 10.0 * n for name, n in MEASURED.items()}, "snip": 3.0, "hessian_sum": 1e6, "fit": 5.0, "output_kl": 1e6}


def areas(name, _):
    return own_order(name)


def scoring(noise):
    """Return scores of a criterion with so much noise."""
    return lambda name, _: noisy(name, noise, f"of {noise}")


def measured_beside(measured, blind, aware=3.0, costs=None):
    scores = {(name, "perturbation_aware"): scoring(measured + 1e-3 * n) for name, n in MEASURED.items()}
    scores |= {("snip", "blind"): scoring(blind), ("hessian_sum", "blind"): scoring(0.0)}
    scores |= {("fit", "perturbation_aware"): scoring(aware), ("output_kl", "perturbation_aware"): scoring(0.0)}
    tables = zoo_truth(families(8), areas, CASES, scores=scores, costs=COSTS | (costs or {}))
    return measuring.find(Data(tables, BUDGETS))


@pytest.mark.parametrize(
    ("measured", "blind", "words"),
    [
        (0.1, 3.0, "over all use cases. It is better than the chosen blind criterion that costs no more (`snip`;"),
        (3.0, 0.1, "over all use cases. It is worse than the chosen blind criterion that costs no more (`snip`;"),
    ],
)
def test_measuring_is_set_beside_the_best_criterion_that_costs_no_more(measured, blind, words):
    """`hessian_sum` ranks every layer right, but costs more than measuring does."""
    sentence = measured_beside(measured, blind).sentences[0]
    assert words in sentence
    side = {
        "better": "better than the chosen blind one in quantization and removal, worse in none",
        "worse": "better than the chosen blind one in none, worse in quantization and removal",
    }
    for word, told in side.items():
        assert (told in sentence) == (f"cases. It is {word}" in sentence)


def test_a_cheaper_criterion_enters():
    finding = measured_beside(0.1, 3.0, costs={"hessian_sum": 10.0 * measuring.EXAMPLES[1]})
    chosen = [sentence.partition("(`")[2].partition("`")[0] for sentence in finding.sentences[:3]]
    assert chosen == ["snip", "hessian_sum", "hessian_sum"]


def test_a_use_case_is_compared_at_the_cost_of_its_own_levels():
    """`hessian_sum` costs three quarters of measuring everything: less than that, more than measuring one of two use cases."""
    finding = measured_beside(0.1, 3.0, costs={"hessian_sum": 0.75 * COSTS["measured_drop_32"]})
    chosen = {row[0]: row[1].rpartition(" ")[2] for row in finding.tables[1].rows}
    assert chosen == {"all use cases": "`hessian_sum`", "quantization": "`snip`", "removal": "`snip`"}


def test_what_is_paid_level_by_level_costs_less_for_fewer_levels():
    """`output_kl` costs less than measuring on 32 examples by a tenth, for all levels and for those of a use case."""
    finding = measured_beside(0.1, 3.0, costs={"output_kl": 0.9 * COSTS["measured_drop_32"], "fit": 1e6})
    assert {row[1].rpartition(" ")[2] for row in finding.tables[2].rows} == {"`output_kl`"}


def test_where_nothing_costs_so_little_nothing_is_compared():
    sentence = measured_beside(0.1, 1.0, costs={"snip": 1e6, "fit": 1e6}).sentences[0]
    assert "No blind criterion costs so little. No aware criterion costs so little." in sentence


def test_the_best_aware_criterion_is_told_with_its_cost():
    told = measured_beside(1.0, 1.0).sentences[3]
    assert re.search(r"`output_kl`, reaches 1\.00 \([^)]*\)\. That is better than measuring on 512 examples", told)
    assert "It costs 1000 thousand forward passes (8 networks: 1000 to 1000), measuring" in told


def test_without_costs_nothing_is_told():
    tables = zoo_truth(families(8), areas, CASES, scores={("snip", "blind"): scoring(0.1)})
    assert measuring.find(Data(tables, BUDGETS)) is None


def kinds_told(noise_of_kind):
    """Return the finding of four families of each of two kinds; those of one have so much noise in their scores."""
    networks = families(4, kind="attention") + [
        network(f"{facts['network']}r", kind="residual", split=facts["split"]) for facts in families(4)
    ]
    score = {("snip", "blind"): lambda name, _: noisy(name, noise_of_kind["r" if name.endswith("r") else ""], "kinds")}
    return kinds_of_network.find(Data(zoo_truth(networks, areas, CASES, scores=score), BUDGETS))


@pytest.mark.parametrize(
    ("noise", "least", "words"),
    [
        ({"r": 2.0, "": 0.2}, "residual", "kinds differ by more than chance explains"),
        ({"r": 0.2, "": 2.0}, "attention", "kinds differ by more than chance explains"),
        ({"r": 0.7, "": 0.7}, None, "kinds differ by no more than chance may explain"),
    ],
)
def test_the_kind_that_criteria_fail_on_is_told_as_it_is(noise, least, words):
    finding = kinds_told(noise)
    assert words in finding.sentences[2]
    if least:
        assert finding.sentences[1] == f"1 of 1 blind criteria reach least on {least} networks."
        assert f"(`snip`) reaches least on {least} networks" in finding.sentences[0]
        assert f"reaches least on {least} networks in quantization and removal." in finding.sentences[3]
    assert finding.limits[-1] == "No kind has 6 families, so no interval is given. A new family may differ."


def test_shuffles_tell_nothing_of_two_equal_kinds_and_all_of_two_apart():
    """Of 8 families in two kinds of 4, all of one kind before the other happens in 2 of 70 ways."""
    finding = kinds_told({"r": 5.0, "": 0.0})
    share = finding.values["all use cases/chosen blind, snip, shuffled kinds that differ as much"]
    assert share.value == pytest.approx(100 * 2 / 70, abs=1.0)
    assert share.reason == "of 10,000 shuffles of 8 families"


def test_one_kind_is_no_finding():
    scores = {("snip", "blind"): scoring(0.1)}
    tables = zoo_truth(families(8, kind="attention"), areas, CASES, scores=scores)
    assert kinds_of_network.find(Data(tables, BUDGETS)) is None


def elsewhere_told(here, there):
    """Return the finding of criteria with so much noise on Fashion-MNIST, and so much on digits."""
    digits = [network(f"digits{i}", dataset="digits") for i in range(3)]

    def scores(i):
        return lambda name, _: noisy(name, (there if name.startswith("digits") else here)[i], f"of {i}")

    scored = {(f"noise{i}", "blind"): scores(i) for i in range(len(here))}
    return other_data.find(Data(zoo_truth([*families(8), *digits], areas, CASES, scores=scored), BUDGETS))


@pytest.mark.parametrize("turned", [False, True])
def test_criteria_on_other_data_are_told_as_they_are(turned):
    finding = elsewhere_told(range(6), range(5, -1, -1) if turned else range(6))
    alike = finding.values["digits, test: 3 networks of 3 families/blind criteria rank alike"]
    assert alike.value < -0.7 if turned else alike.value > 0.7
    assert ("is number 1 of 6 blind ones" in finding.sentences[0]) == (not turned)
    assert "is number" not in finding.sentences[1], "the validation networks are those that it was chosen on"


def test_the_best_criteria_are_correlated_by_themselves(monkeypatch):
    """The best five of six turn their order round; the sixth is the worst on both, which hides it."""
    monkeypatch.setattr(other_data, "BEST", 5)
    finding = elsewhere_told([0, 1, 2, 3, 4, 1000], [4, 3, 2, 1, 0, 1000])
    where = "digits, test: 3 networks of 3 families"
    every, best = (finding.values[f"{where}/{which} criteria rank alike"] for which in ("blind", "the best blind"))
    assert (every.reason, best.reason) == ("of 6 criteria", "of the 5 best on the latter")
    assert best.value < every.value - 0.3
    assert str(best) in finding.sentences[0]
    chosen = [row[5] for row in finding.tables[0].rows]
    assert [", chosen there" in place for place in chosen] == [False, True]


def test_no_other_networks_are_no_finding():
    scores = {("snip", "blind"): scoring(0.1)}
    assert other_data.find(Data(zoo_truth(families(8)[:8], areas, CASES, scores=scores), BUDGETS)) is None
