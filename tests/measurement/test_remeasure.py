"""A truth is verified integer for integer, and each kind of difference is told from the others."""

import pytest
import torch

from safer_bench.dataset.verify import choose_rows
from safer_bench.measurement.remeasure import remeasure
from safer_bench.networks import weights
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network


@pytest.fixture
def rows(small_tree):
    return choose_rows(small_tree["layer_drops"], 6)


@pytest.fixture
def networks(small_tree):
    return {row["network"]: row for row in small_tree["networks"].to_pylist()}


def outcomes(rows, networks, seed=0):
    return [(verdict.outcome, verdict.detail) for verdict in remeasure(rows, networks, seed)]


def test_rows_measured_again_are_equal(rows, networks):
    assert outcomes(rows, networks) == [("equal", "")] * 6


@pytest.mark.parametrize("key", ["broken", "fixed", "predictions_changed", "correct_clean", "n_answers"])
def test_a_count_that_is_off_by_one_is_found(rows, networks, key):
    row = rows[0]
    found = outcomes([row | {key: row[key] + 1}], networks)
    assert found == [("counts differ", f"{key} is {row[key]}, the truth has {row[key] + 1}")]


def test_other_weights_are_told_from_other_counts(rows, networks):
    row = next(row for row in rows if row["perturbation"] == "gaussian_noise")
    assert outcomes([row], networks, seed=1)[0][0] == "weights differ"


@pytest.mark.parametrize("key", ["inputs_sha256", "weights_sha256"])
def test_other_inputs_are_told_from_other_counts(rows, networks, key):
    name = rows[0]["network"]
    digest = networks[name][key]
    found = outcomes(rows[:1], networks | {name: networks[name] | {key: "0" * 64}})
    assert found == [("inputs differ", f"{key} is {digest[:16]}, the truth has 0000000000000000")]


def test_absent_weights_are_told(rows, networks, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "PACKAGED", tmp_path)
    assert {outcome for outcome, _ in outcomes(rows, networks)} == {"absent"}


def test_a_network_that_is_not_of_the_zoo_is_to_be_named(rows, networks):
    row = rows[0] | {"network": "mine"}
    told = "network 'mine' is not of the zoo; name what builds it by --network"
    assert outcomes([row], networks | {"mine": networks[rows[0]["network"]]}) == [("absent", told)]


def test_a_perturbation_that_is_not_here_is_absent_and_the_others_are_compared(rows, networks):
    """The first row of a network once decided for all of them."""
    name = rows[0]["network"]
    mine = [row for row in rows if row["network"] == name]
    for place in (0, len(mine) - 1):
        given = [row | {"perturbation": "my_own"} if i == place else row for i, row in enumerate(mine)]
        found = [outcome for outcome, _ in outcomes(given, networks)]
        assert sorted(found) == ["absent"] + ["equal"] * (len(mine) - 1)


def test_rows_are_drawn_from_every_stratum_of_drop(small_tree):
    drops = [abs(row["accuracy_drop"]) for row in choose_rows(small_tree["layer_drops"], 20)]
    counts = [sum(low <= drop < high for drop in drops) for low, high in ((0, 0.001), (0.001, 0.05), (0.05, 0.3), (0.3, 2))]
    assert counts == [5, 5, 5, 5]


def test_images_of_another_decoder_are_told_from_other_counts(rows, networks, monkeypatch):
    """A JPEG decoder that rounds otherwise changes a pixel by the smallest step; the counts are not even looked at."""
    row, real = rows[0], load_network(rows[0]["network"])
    images = real.inputs.clone()
    images[0, 0, 0, 0] = torch.nextafter(images[0, 0, 0, 0], torch.tensor(9.0))
    other = Network(real.model, images, real.labels, name=real.name, calibration=real.calibration)
    monkeypatch.setattr("safer_bench.measurement.remeasure.load_network", lambda *_: other)
    found = outcomes([row | {"broken": row["broken"] + 1}], networks)
    digest = networks[row["network"]]["inputs_sha256"]
    assert found == [("inputs differ", f"inputs_sha256 is {other.inputs_sha256[:16]}, the truth has {digest[:16]}")]
