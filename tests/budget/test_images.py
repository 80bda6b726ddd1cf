"""Budgets are judged by images that the truth did not see."""

import pytest

from safer_bench.budget.images import budget_network, own_examples
from safer_bench.errors import BadInput
from safer_bench.networks.data.parts import load_part
from safer_bench.networks.loading import load_network
from safer_bench.tables import schema


def truth_of(network, *slices, **changes):
    row = {"network": network.name, "weights_sha256": network.weights_sha256, "inputs_sha256": network.inputs_sha256}
    drops = [
        {"network": name, "perturbation": perturbation, "example_start": start, "n_examples": n}
        for name, perturbation, start, n in slices
    ]
    return {"networks": schema.build("networks", [row | changes]), "layer_drops": schema.build("layer_drops", drops)}


@pytest.fixture(scope="module")
def digits():
    return load_network("digits_mlp")


def test_examples_that_no_row_of_the_perturbation_saw_are_left(digits):
    truth = truth_of(
        digits,
        *(("digits_mlp", "quantize", 0, 300), ("digits_mlp", "quantize", 500, 50)),
        *(("digits_mlp", "gaussian_noise", 0, 600), ("digits_vit", "quantize", 0, 600)),
    )
    found = budget_network(digits, "quantize", truth)
    unseen = [*range(300, 500), *range(550, 600)]
    assert found.inputs.equal(digits.inputs[unseen])
    assert found.labels.equal(digits.labels[unseen])
    assert len(digits.labels) == 600, "the network given is as it was"
    assert (found.name, found.layers, found.model) == (digits.name, digits.layers, digits.model)
    assert found.inputs_sha256 != digits.inputs_sha256
    assert own_examples(digits) is digits


def test_a_truth_that_saw_nearly_all_examples_leaves_too_few(digits):
    with pytest.raises(BadInput) as error:
        budget_network(digits, "quantize", truth_of(digits, ("digits_mlp", "quantize", 0, 551)))
    assert str(error.value) == (
        "network 'digits_mlp': 49 of its 600 evaluation examples were left out of the truth of quantize, expected 50 or more "
        "to judge a budget by; measure that truth with fewer: --deterministic-examples, or draws x --examples, below the number of examples"
    )


def test_fashion_mnist_has_images_of_its_own_for_budgets():
    network = load_network("resnet20")
    found = budget_network(network, "quantize", truth_of(network, ("resnet20", "quantize", 0, 7500)))
    images, labels = load_part("fashion_mnist", "budget")
    assert found.inputs.equal(images)
    assert found.labels.equal(labels)
    assert len(labels) == 2500
    assert own_examples(network).inputs.equal(images)


def test_a_network_that_the_truth_does_not_know_is_named(tiny, digits):
    with pytest.raises(BadInput) as error:
        budget_network(tiny, "quantize", truth_of(digits))
    assert str(error.value) == (
        "network 'tiny' was not measured. Those that were: digits_mlp; for others: safer-bench measure"
    )


@pytest.mark.parametrize(("column", "what"), [("weights_sha256", "weights"), ("inputs_sha256", "images")])
def test_another_network_of_that_name_is_refused(tiny, column, what):
    with pytest.raises(BadInput) as error:
        budget_network(tiny, "quantize", truth_of(tiny, **{column: "0" * 64}))
    assert str(error.value) == (
        f"network 'tiny': its {what} ({getattr(tiny, column)[:16]}) are not those of the truth (0000000000000000); name the "
        "truth of this network, or measure it"
    )
