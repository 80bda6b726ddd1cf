"""Each criterion's formula against arithmetic written anew."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from safer_bench.criteria.grid import ATTRIBUTIONS, NAMED, REDUCTIONS
from safer_bench.perturbations.loading import perturbations
from safer_bench.scoring.score import score
from safer_bench.scoring.sweep import STREAM
from safer_bench.stream import Stream
from tests.made_up.networks import Volumes, own_network

LAYERS = ("conv", "hidden", "head")


@pytest.fixture
def weights(tiny):
    return {name: tiny.model.get_submodule(name).weight.detach().double().numpy() for name in LAYERS}


@pytest.fixture
def gradients(tiny):
    images, labels = tiny.calibration
    loss = F.cross_entropy(tiny.model(images), labels)
    found = torch.autograd.grad(loss, [tiny.model.get_submodule(name).weight for name in LAYERS])
    return dict(zip(LAYERS, (g.double().numpy() for g in found), strict=True))


def test_controls(tiny):
    assert score("parameters", tiny) == {"conv": 27.0, "hidden": 384.0, "head": 24.0}
    assert score("depth", tiny) == {"conv": 0.0, "hidden": -1.0, "head": -2.0}
    assert score("depth_backward", tiny) == {"conv": 0.0, "hidden": 1.0, "head": 2.0}
    assert score("first_last", tiny) == {"conv": 1.0, "hidden": 0.0, "head": 1.0}
    assert score("macs", tiny) == {"conv": 16.0 * 27, "hidden": 384.0, "head": 24.0}
    assert set(score("constant", tiny).values()) == {1.0}
    assert len(set(score("random", tiny).values())) == 3


def test_weight_criteria(tiny, weights):
    assert score("l2_norm", tiny) == pytest.approx({n: np.linalg.norm(w) for n, w in weights.items()})
    assert score("l1_norm", tiny) == pytest.approx({n: np.abs(w).sum() for n, w in weights.items()})
    assert score("mean_magnitude", tiny) == pytest.approx({n: np.abs(w).mean() for n, w in weights.items()})


def largest(values, share):
    """The largest magnitudes: a share of the entries, at least one."""
    return np.sort(np.abs(values).ravel())[::-1][: max(1, round(share * values.size))]


def test_gradient_criteria(tiny, weights, gradients):
    expected = {
        "gradient_norm": lambda w, g: np.linalg.norm(g),
        "snip": lambda w, g: np.abs(w * g).sum(),
        "plain": lambda w, g: (w * g).sum(),
        "taylor_filter": lambda w, g: sum((w[k] * g[k]).sum() ** 2 for k in range(len(w))),
        "corruption_indicator_l2": lambda w, g: np.linalg.norm(w) * np.linalg.norm(g),
        "corruption_indicator_linf": lambda w, g: np.abs(w).max() * np.abs(g).sum(),
        "corruption_indicator_l2_top_10_percent": lambda w, g: np.linalg.norm(w) * np.linalg.norm(largest(g, 0.1)),
        "corruption_indicator_l2_top_1_percent": lambda w, g: np.linalg.norm(w) * np.linalg.norm(largest(g, 0.01)),
        "corruption_indicator_linf_top_10_percent": lambda w, g: np.abs(w).max() * largest(g, 0.1).sum(),
        "corruption_indicator_linf_top_1_percent": lambda w, g: np.abs(w).max() * largest(g, 0.01).sum(),
    }
    for name, formula in expected.items():
        assert score(name, tiny) == pytest.approx({n: formula(weights[n], gradients[n]) for n in LAYERS}, rel=1e-5), name


def seen_by_hooks(network, images):
    """Inputs and outputs of the layers' modules."""
    seen, handles = {}, []
    for name in LAYERS:

        def note(module, inputs, output, name=name):
            seen[name] = (inputs[0], output)

        handles.append(network.model.get_submodule(name).register_forward_hook(note))
    logits = network.model(images)
    for handle in handles:
        handle.remove()
    return logits, seen


def test_data_criteria(tiny, weights):
    images, labels = tiny.calibration
    _, seen = seen_by_hooks(tiny, images)
    seen = {name: (x.detach().double().numpy(), y.detach().double().numpy()) for name, (x, y) in seen.items()}
    assert score("activation_energy", tiny) == pytest.approx({n: (y**2).mean() for n, (_, y) in seen.items()})
    sparsity = {name: -(x == 0).mean() for name, (x, _) in seen.items()}
    assert sparsity["head"] < 0
    assert score("activation_sparsity", tiny) == pytest.approx(sparsity)
    inputs = {name: x for name, (x, _) in seen.items()}
    patches = F.unfold(torch.from_numpy(inputs["conv"]), 3, padding=1)  # (examples, fan-in, positions)
    inputs["conv"] = patches.transpose(1, 2).flatten(0, 1).numpy()
    for name, x in inputs.items():
        norms = np.sqrt((x**2).sum(0) / len(labels))
        matrix = np.abs(weights[name]).reshape(len(weights[name]), -1)
        assert score("wanda", tiny)[name] == pytest.approx((matrix * norms).sum(), rel=1e-5)


@pytest.fixture
def volumes():
    """A convolution of three dimensions, a transposed one in two groups (4 to 6 channels, output axis 1) and a linear layer."""
    return own_network(Volumes, (1, 3, 4, 4), 3)


def test_filters_of_a_transposed_convolution_lie_on_its_second_axis(volumes):
    images, labels = volumes.calibration
    weight = volumes.model.up.weight.requires_grad_(True)
    [gradient] = torch.autograd.grad(F.cross_entropy(volumes.model(images), labels), [weight])
    product = (weight.detach().double() * gradient.double()).numpy()
    filters = [float(product[:, k].sum()) for k in range(3)]
    assert score("taylor_filter", volumes)["up"] == pytest.approx(sum(f**2 for f in filters), rel=1e-5)
    rows = np.stack([weight.detach().double().numpy()[:, k].ravel() for k in range(3)])
    values = np.linalg.svd(rows, compute_uv=False)
    assert score("spectral_norm", volumes)["up"] == pytest.approx(values[0], rel=1e-9)
    assert score("stable_rank", volumes)["up"] == pytest.approx((rows**2).sum() / values[0] ** 2, rel=1e-9)


def test_wanda_meets_every_input_of_volumes_and_of_transposed_groups(volumes):
    images, _ = volumes.calibration
    seen = {}
    volumes.model.up.register_forward_pre_hook(lambda _, inputs: seen.update(up=inputs[0].detach().double().numpy().copy()))
    volumes.model(images)
    weight = np.abs(volumes.model.up.weight.detach().double().numpy())
    norms = np.sqrt((seen["up"] ** 2).sum((2, 3)).mean(0))  # each position of a channel meets each of the channel's weights
    assert score("wanda", volumes)["up"] == pytest.approx(float((weight * norms[:, None, None, None]).sum()), rel=1e-5)
    padded = np.pad(images.double().numpy(), [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1)])
    expected, first = 0.0, np.abs(volumes.model.first.weight.detach().double().numpy())
    for _, channel, a, b, c in np.ndindex(*first.shape):
        met = padded[:, channel, a : a + 3, b : b + 4, c : c + 4]
        expected += first[_, channel, a, b, c] * np.sqrt((met**2).sum((1, 2, 3)).mean())
    assert score("wanda", volumes)["first"] == pytest.approx(expected, rel=1e-5)


def test_activation_fisher_is_the_mean_squared_norm_of_each_examples_output_gradient(tiny):
    images, labels = tiny.calibration
    totals = dict.fromkeys(LAYERS, 0.0)
    for i in range(len(labels)):
        logits, seen = seen_by_hooks(tiny, images[i : i + 1])
        outputs = [seen[name][1] for name in LAYERS]
        for name, g in zip(LAYERS, torch.autograd.grad(F.cross_entropy(logits, labels[i : i + 1]), outputs), strict=True):
            totals[name] += float(g.double().square().sum()) / len(labels)
    assert score("activation_fisher", tiny) == pytest.approx(totals, rel=1e-4)


def test_reductions_of_the_grid(tiny, weights, gradients):
    reductions = {
        "sum": np.sum,
        "mean": np.mean,
        "max": np.max,
        "l2": lambda v: np.sqrt((v**2).sum()),
        "median": np.median,
        "top": lambda v: np.sort(v.ravel())[::-1][: -(-v.size // 100)].mean(),
    }
    attributions = {
        "weight": {name: np.abs(w) for name, w in weights.items()},
        "gradient": {name: np.abs(g) for name, g in gradients.items()},
        "gradient_weight": {name: np.abs(weights[name] * g) for name, g in gradients.items()},
    }
    for attribution, values in attributions.items():
        for reduction, reduce in reductions.items():
            name = NAMED.get((attribution, reduction), f"{attribution}_{reduction}")
            assert score(name, tiny) == pytest.approx({n: reduce(v) for n, v in values.items()}, rel=1e-5), name


def test_entries_of_the_grid_under_another_name_are_what_the_grid_would_hold(tiny):
    """Where an attribution is heavy, one reduction is checked through another: sum = n * mean, l2 >= max >= top >= median."""
    sizes = score("parameters", tiny)
    for attribution in ATTRIBUTIONS:
        found = {r: score(NAMED.get((attribution, r), f"{attribution}_{r}"), tiny) for r in REDUCTIONS}
        for layer, n in sizes.items():
            assert found["sum"][layer] == pytest.approx(n * found["mean"][layer], rel=1e-9), attribution
            assert found["l2"][layer] >= found["max"][layer] >= found["top"][layer] > found["median"][layer], attribution


def test_measured_drop_is_the_accuracy_lost_averaged_over_levels(tiny):
    entry = perturbations()["sign_flip"]
    images, labels = tiny.calibration
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


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_equal_weights_have_the_least_reach_beyond_their_spread_and_not_what_rounding_leaves(tiny, value):
    with torch.no_grad():
        tiny.model.hidden.weight.fill_(value)
    for name in ("peak_to_std", "kurtosis"):
        found = score(name, tiny)
        assert found["hidden"] == 1.0
        assert min(found["conv"], found["head"]) > 1.0
