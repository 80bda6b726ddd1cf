"""The learned criterion is the weighted sum of ranks that its file of coefficients says."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from safer_bench.criteria import learned_blend
from safer_bench.criteria.loading import criteria
from safer_bench.networks.loading import load_network, zoo_networks
from safer_bench.scoring.sweep import Sweep
from tests.conftest import ROOT

CHEAP = {"0", "N", "3*N"}  # forward passes, whatever the number of classes


def test_its_scores_are_the_recipe_by_hand():
    network = load_network("digits_resnet")
    sweep = Sweep(network, examples=64)
    names = [layer.name for layer in network.layers]
    by_hand = np.zeros(len(names))
    for name, coefficient in learned_blend.COEFFICIENTS.items():
        scores = sweep.scores(criteria()[name])
        by_hand += coefficient * ((rankdata([scores[layer] for layer in names]) - 0.5) / len(names) - 0.5)
    found = sweep.scores(criteria()["learned_blend"])
    assert list(found) == names
    assert list(found.values()) == pytest.approx(by_hand, abs=1e-8)
    assert len(set(found.values())) > len(names) / 2


def test_it_learnt_from_validation_networks_of_their_families():
    for family, networks in learned_blend.LEARNT["networks"].items():
        for name in networks:
            entry = zoo_networks()[name]
            assert (entry.split, entry.family, entry.role) == ("validation", family, "zoo")


def test_what_it_adds_up_is_cheap_and_blind():
    assert learned_blend.COEFFICIENTS.keys() <= set(learned_blend.LEARNT["candidates"])
    for name in learned_blend.LEARNT["candidates"]:
        entry = criteria()[name]
        assert (entry.track, entry.cost in CHEAP) == ("blind", True), name


def test_a_wheel_holds_its_coefficients():
    packaged = '"safer_bench.criteria" = ["learned_blend.json"]'
    assert packaged in (ROOT / "pyproject.toml").read_text()
    assert Path(learned_blend.__file__).with_name("learned_blend.json").exists()
