"""Whether a ranking transfers is told as the tables have it."""

import numpy as np
import pytest

from docs.findings import transfer
from docs.findings.__main__ import BUDGETS
from docs.findings.data import Data
from docs.findings.matching import matched
from tests.made_up.zoo_truth import network, noisy, own_order, zoo_truth

CASES = {"quantize": "quantization", "random_zero": "removal"}
TWINS = [
    network(f"twin_{family}_{training}_{seed}", family)
    for family in ("resnet", "vgg")
    for training in ("plain", "long")
    for seed in range(5)
]


def stem(name):
    return name.rpartition("_")[0]


def data_of(networks, areas, **settings):
    return Data(zoo_truth(networks, areas, CASES, **settings), BUDGETS)


def test_networks_of_the_same_layers_match_one_to_one():
    layers, values = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "fc"], np.array([0.3, 0.1, 0.9, 0.2])
    assert matched(layers, values, layers).tolist() == values.tolist()


def test_layers_match_by_role_and_depth_within_it():
    """Two blocks predict three: each convolution from those of its place in a block, whatever the other ones are."""
    source = ["stem", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2"]
    target = [f"layer{i}.0.conv{j}" for i in (1, 2, 3) for j in (1, 2)]
    found = matched(source, np.array([9.0, 1.0, 10.0, 2.0, 20.0]), target)
    assert found.tolist() == pytest.approx([1.0, 10.0, 1.5, 15.0, 2.0, 20.0])


def test_a_role_that_a_relative_lacks_is_matched_by_depth_alone():
    found = matched(["a.0.x", "a.1.x"], np.array([0.0, 1.0]), ["a.0.x", "a.0.new", "a.1.x"])
    assert found[1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("source", "target", "way"),
    [
        ("twin_vgg_plain_0", "twin_vgg_plain_3", transfer.SEEDS),
        ("twin_vgg_plain_0", "twin_vgg_long_3", None),
        ("twin_vgg_plain_0", "twin_resnet_plain_0", None),
        ("twin_vgg_plain_0", "vgg10", None),
        ("vgg10", "vgg13", transfer.ARCHITECTURES),
        ("vgg10", "digits_cnn", transfer.DATASETS),
        ("vgg10", "squeezenet1_1", None),
    ],
)
def test_what_differs_between_two_networks(source, target, way):
    others = [network("vgg10", "vgg"), network("vgg13", "vgg"), network("digits_cnn", "vgg", dataset="digits")]
    squeezenets = [network(name, "squeezenet") for name in ("squeezenet1_1", "squeezenet1_0")]
    data = data_of([*TWINS, *others, *squeezenets], lambda name, _: own_order(name))
    assert transfer.way_between(source, target, data) == way
    assert transfer.way_between("squeezenet1_1", "squeezenet1_0", data) == transfer.ARCHITECTURES


def test_a_ranking_that_seeds_share_transfers_and_is_corrected_for_noise():
    alike = transfer.find(data_of(TWINS, lambda name, _: noisy(stem(name), 0.5, name), reliability=0.8))
    measured, corrected = (alike.values[f"another seed/{key}"].value for key in ("measured", "corrected"))
    assert 0.6 < measured < 0.95
    assert corrected == pytest.approx(measured / 0.8)
    assert alike.values["another seed/measured"].reason.startswith("20 networks: ")
    assert alike.sentences[0].startswith("**To another seed**, ")
    assert not any("what a seed changes is not told" in sentence for sentence in alike.limits)


def test_rankings_of_seeds_that_share_nothing_do_not_transfer():
    finding = transfer.find(data_of(TWINS, lambda name, _: own_order(name)))
    assert abs(finding.values["another seed/measured"].value) < 0.15


def test_twins_of_a_study_of_their_own_are_told_beside_the_truth():
    areas = lambda name, _: noisy(stem(name), 0.5, name)  # noqa: E731
    pair = [network("vgg10", "vgg"), network("vgg13", "vgg")]
    data = data_of(pair, areas)
    together = transfer.find(Data(data.tables, BUDGETS, data_of(TWINS, areas, reliability=0.8)))
    alone, without = transfer.find(data_of(TWINS, areas, reliability=0.8)), transfer.find(data)
    assert together.values == without.values | alone.values
    assert [row[:2] for row in together.tables[0].rows] == [table.tables[0].rows[0][:2] for table in (alone, without)]
    assert not any("what a seed changes is not told" in sentence for sentence in together.limits)


def test_the_best_blind_criterion_of_twins_is_told_in_hindsight():
    areas = lambda name, _: noisy(stem(name), 0.5, name)  # noqa: E731
    opposite = lambda name, case: -areas(name, case)  # noqa: E731
    finding = transfer.find(data_of(TWINS, areas, scores={("snip", "blind"): opposite, ("l2_norm", "blind"): areas}))
    assert finding.values["another seed/best blind in hindsight"].value == pytest.approx(1.0)
    assert "In hindsight the best blind criterion of each split reaches 1.00 (20 networks: " in finding.sentences[0]


def test_a_truth_without_twins_says_so():
    pair = [network("vgg10", "vgg"), network("vgg13", "vgg")]
    finding = transfer.find(data_of(pair, lambda name, _: own_order("vgg")))
    assert finding.values["another architecture of the family/measured"].value == pytest.approx(1.0)
    assert any("what a seed changes is not told" in sentence for sentence in finding.limits)


def test_a_truth_without_relatives_has_no_such_finding():
    assert transfer.find(data_of([network("vgg10", "vgg"), network("vit6", "vit")], lambda name, _: own_order(name))) is None


@pytest.mark.parametrize(
    ("relative", "criterion", "words"),
    [(0.1, 2.0, "so the relative's measurement is better"), (2.0, 0.1, "so the criterion is better")],
)
def test_a_relative_beside_the_best_blind_criterion(relative, criterion, words):
    """Two networks of a family share an order, from which areas stray so far, and scores from areas so far."""
    pairs = [(f"{split}{i}", split) for split in ("test", "validation") for i in range(8)]
    networks = [network(f"{family}{part}", family, split=split) for family, split in pairs for part in "ab"]

    def areas(name, _):
        return noisy(name[:-1], relative, name)

    def scores(name, _):
        return areas(name, _) + criterion * own_order(name, "criterion")

    data = data_of(networks, areas, scores={("snip", "blind"): scores})
    assert words in transfer.find(data).sentences[0]
    assert transfer._blind(data, data, "validation0a") is None, "it was chosen there"
    assert transfer._blind(data, data, "test0a") is not None
