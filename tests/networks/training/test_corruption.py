"""Corruption-resistant training: the size of what is added, the gradients that are mixed, and what it is for."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from safer_bench.networks import weights
from safer_bench.networks.data.parts import load_part
from safer_bench.networks.loading import zoo_networks
from safer_bench.networks.network import Network
from safer_bench.networks.training.corruption import corrupting, mix_gradients
from safer_bench.networks.training.train import accuracy, train
from safer_bench.networks.zoo_network import Corruption
from safer_bench.perturbations.loading import perturbations
from safer_bench.scoring.score import score

WORST = Corruption("gradient", "l2", size=0.05, mixing=0.5)
RANDOM = replace(WORST, direction="random")
DIGITS = zoo_networks()["digits_cnn"]


def weight_and_gradient():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(6, 4, 3, 3, generator=generator), torch.randn(6, 4, 3, 3, generator=generator)


@pytest.mark.parametrize("direction", ["gradient", "random"])
@pytest.mark.parametrize(("norm", "p"), [("l2", 2), ("linf", math.inf)])
def test_what_is_added_has_the_relative_norm_asked_for(direction, norm, p):
    weight, gradient = weight_and_gradient()
    added = corrupting(weight, gradient, Corruption(direction, norm, 0.3, 0.5), torch.Generator().manual_seed(0))
    assert float(torch.linalg.vector_norm(added, p)) == pytest.approx(
        0.3 * float(torch.linalg.vector_norm(weight, p)), rel=1e-5
    )


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_worst_case_is_that_of_the_perturbation_of_the_same_name(norm):
    weight, gradient = weight_and_gradient()
    added = corrupting(weight, gradient, Corruption("gradient", norm, 0.3, 0.5), torch.Generator())
    perturb = perturbations()[f"gradient_corruption_{norm}"]
    expected = perturb(weight.double().numpy(), 0.3, None, gradient=gradient.double().numpy())
    assert torch.allclose((weight + added).double(), torch.from_numpy(expected), atol=1e-5)


def test_no_gradient_no_corruption():
    weight, gradient = weight_and_gradient()
    for norm in ("l2", "linf"):
        assert not corrupting(weight, torch.zeros_like(gradient), replace(WORST, norm=norm), torch.Generator()).any()


def test_gradients_are_mixed_and_the_model_is_left_as_it_was():
    """Against the two gradients taken one by one on copies; batch norm's statistics once moved with the corrupted pass."""
    images, labels = (tensor[:64] for tensor in load_part("digits", "fit"))
    torch.manual_seed(0)
    model = DIGITS.build().train()

    def loss():
        return F.cross_entropy(model(images), labels)

    def gradients():
        model.zero_grad()
        loss().backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    clean = gradients()
    before = {key: value.clone() for key, value in model.state_dict().items() if "num_batches" not in key}
    mix_gradients(model, loss, replace(WORST, mixing=0.25), torch.Generator())
    mixed = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                parameter += 0.05 * parameter.norm() * clean[name] / clean[name].norm()
    corrupted = gradients()
    for name in clean:
        assert torch.allclose(mixed[name], 0.75 * clean[name] + 0.25 * corrupted[name], atol=1e-5), name


def test_the_digest_of_a_recipe_holds_its_corruption_and_older_recipes_keep_theirs():
    recipe = zoo_networks()["resnet20"].recipe
    assert recipe.sha256.startswith("eafed0cfc1589db9")  # as in the weights trained before corruption was a setting
    resistant = replace(recipe, corruption=WORST)
    assert len({recipe.sha256, resistant.sha256, replace(recipe, corruption=RANDOM).sha256}) == 3
    assert resistant.settings["corruption"] == {"direction": "gradient", "norm": "l2", "size": 0.05, "mixing": 0.5}


def trained(corruption, folder):
    recipe = replace(DIGITS.recipe, epochs=30, corruption=corruption)
    path = train(replace(DIGITS, recipe=recipe), folder)
    model = weights.load_weights_file(path, DIGITS.build(), recipe.sha256)
    held_out = load_part("digits", "calibration")
    indicator = score("corruption_indicator_l2", Network(model, *held_out), *held_out)
    return sum(indicator.values()) / len(indicator), accuracy(model, held_out)


@pytest.mark.long
def test_training_lowers_the_corruption_indicator_against_the_twin(tmp_path):
    plain, right = trained(None, tmp_path / "plain")
    resistant, still_right = trained(WORST, tmp_path / "resistant")
    assert resistant < 0.8 * plain
    assert still_right > right - 0.02
