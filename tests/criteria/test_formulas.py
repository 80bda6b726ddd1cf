"""Each criterion's formula against arithmetic written anew."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from safer_bench.perturbations import perturbations
from safer_bench.perturbations.stream import Stream
from safer_bench.scoring import STREAM, score

LAYERS = ("conv", "hidden", "head")


@pytest.fixture
def weights(tiny):
    return {name: tiny.model.get_submodule(name).weight.detach().double().numpy() for name in LAYERS}


@pytest.fixture
def gradients(tiny):
    images, labels = tiny.probe
    loss = F.cross_entropy(tiny.model(images), labels)
    found = torch.autograd.grad(loss, [tiny.model.get_submodule(name).weight for name in LAYERS])
    return dict(zip(LAYERS, (g.double().numpy() for g in found), strict=True))


def test_controls(tiny):
    assert score("parameters", tiny) == {"conv": 27.0, "hidden": 384.0, "head": 24.0}
    assert score("depth", tiny) == {"conv": 0.0, "hidden": -1.0, "head": -2.0}
    assert score("first_last", tiny) == {"conv": 1.0, "hidden": 0.0, "head": 1.0}
    assert score("macs", tiny) == {"conv": 16.0 * 27, "hidden": 384.0, "head": 24.0}
    assert set(score("constant", tiny).values()) == {1.0}
    assert len(set(score("random", tiny).values())) == 3


def test_weight_criteria(tiny, weights):
    assert score("l2_norm", tiny) == pytest.approx({n: np.linalg.norm(w) for n, w in weights.items()})
    assert score("mean_magnitude", tiny) == pytest.approx({n: np.abs(w).mean() for n, w in weights.items()})
    expected = {n: np.linalg.svd(w.reshape(len(w), -1), compute_uv=False)[0] for n, w in weights.items()}
    assert score("spectral_norm", tiny) == pytest.approx(expected)


def test_gradient_criteria(tiny, weights, gradients):
    expected = {
        "gradient_norm": lambda w, g: np.linalg.norm(g),
        "snip": lambda w, g: np.abs(w * g).sum(),
        "corruption_indicator_l2": lambda w, g: np.linalg.norm(w) * np.linalg.norm(g),
    }
    for name, formula in expected.items():
        assert score(name, tiny) == pytest.approx({n: formula(weights[n], gradients[n]) for n in LAYERS}, rel=1e-5), name


def test_empirical_fisher_is_the_mean_squared_norm_of_per_example_gradients(tiny):
    """Per-example gradients by torch.func, an independent path to them."""
    images, labels = tiny.probe
    parameters = {name: value.detach() for name, value in tiny.model.named_parameters()}

    def loss(parameters, image, label):
        return F.cross_entropy(torch.func.functional_call(tiny.model, parameters, (image[None],)), label[None])

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(parameters, images, labels)
    expected = {name: float(each[f"{name}.weight"].double().square().flatten(1).sum(1).mean()) for name in LAYERS}
    assert score("empirical_fisher", tiny) == pytest.approx(expected, rel=1e-5)


def test_measured_drop_is_the_accuracy_lost_averaged_over_levels(tiny):
    entry = perturbations()["sign_flip"]
    images, labels = tiny.probe
    weight = tiny.model.hidden.weight.detach().clone()
    drops = []
    with torch.no_grad():
        clean = (tiny.model(images).argmax(1) == labels).float().mean()
        for level in (0.1, 0.5):
            stream = Stream(STREAM, tiny.name, "hidden", "sign_flip", level)
            tiny.model.hidden.weight.copy_(torch.from_numpy(entry.apply(weight.numpy(), level, stream).weight))
            drops.append(float(clean - (tiny.model(images).argmax(1) == labels).float().mean()))
        tiny.model.hidden.weight.copy_(weight)
    assert drops[1] != 0
    found = score("measured_drop_128", tiny, perturbation="sign_flip:0.1,0.5")
    assert found["hidden"] == pytest.approx(sum(drops) / 2)
