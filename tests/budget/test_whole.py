"""Answers of networks with many layers changed are those of the plain canonical loop; nothing is left changed."""

import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.budget import whole as whole_module
from safer_bench.budget.whole import WholeNetwork
from safer_bench.errors import BadInput
from safer_bench.measurement.answers.canonical import CanonicalModel
from safer_bench.measurement.design import Probe
from safer_bench.measurement.rows import Weights
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import perturbations


def plain(network, weights, start=0, n=None):
    """Return what is right by the definition: a fresh float64 model, every weight set, every image run."""
    fresh = CanonicalModel(network)
    for layer in network.layers:
        if layer.name in weights:
            fresh.model.get_parameter(layer.parameter).data.copy_(torch.from_numpy(weights[layer.name]))
    images, labels = network.examples(start, len(network.labels) if n is None else n)
    clean = CanonicalModel(network).answers(images, labels)
    return fresh.answers(images, labels, clean).predictions == labels.numpy()


def changed(whole, perturbation, level, draw=0):
    return {layer.name: whole.perturbed(layer, perturbation, level, draw) for layer in whole.network.layers}


def count_images(monkeypatch, whole):
    """Note on how many images the canonical model is run."""
    counts, logits = [], whole.canonical.logits
    monkeypatch.setattr(whole.canonical, "logits", lambda images: counts.append(len(images)) or logits(images))
    return counts


CASES = [("quantize", 4), ("quantize", 2), ("magnitude_prune", 0.6), ("int8_bit_flip", 0.03), ("float32_bit_flip", 0.003)]


@pytest.mark.parametrize(("perturbation", "level"), CASES)
def test_what_is_right_is_what_the_plain_loop_finds(tiny, perturbation, level):
    whole = WholeNetwork(tiny)
    weights = changed(whole, perturbation, level)
    assert np.array_equal(whole.correct(weights), plain(tiny, weights))
    assert np.array_equal(whole.correct(weights, 7, 20), plain(tiny, weights, 7, 20))
    assert np.array_equal(whole.correct({}), plain(tiny, {}))
    some = {"hidden": weights["hidden"]}
    assert np.array_equal(whole.correct(some), plain(tiny, some))


def test_most_images_of_a_zoo_network_are_run_in_float32_alone(monkeypatch):
    network = load_network("digits_cnn")
    network.evaluation = tuple(part[:300] for part in network.evaluation)
    whole = WholeNetwork(network)
    counts = count_images(monkeypatch, whole)
    weights = changed(whole, "int8_bit_flip", 0.01)
    assert np.array_equal(whole.correct(weights), plain(network, weights))
    assert 0 < sum(counts) < 30


def test_weights_that_grow_much_are_run_canonically_alone(tiny, monkeypatch):
    """Each of two layers by less than the limit, but their product by more."""
    whole = WholeNetwork(tiny)
    counts = count_images(monkeypatch, whole)
    larger = {name: 100 * tiny.weight(tiny.layer(name)) for name in ("conv", "head")}
    for weights, n in (({"conv": larger["conv"]}, 0), (larger, 60)):
        counts.clear()
        assert np.array_equal(whole.correct(weights), plain(tiny, weights))
        assert sum(counts) == 60 if n else sum(counts) < 60


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_make_images_wrong(tiny, value):
    weight = tiny.weight(tiny.layer("head"))
    weight[:] = value
    assert not WholeNetwork(tiny).correct({"head": weight}).any()


class Batchy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, images):
        return self.second(torch.relu(self.first(images - images.mean(0))))


def test_answers_that_depend_on_the_batch_are_refused_and_not_trusted_in_float32_where_they_are_not(monkeypatch):
    network = Network(Batchy().eval(), torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3)
    with pytest.raises(BadInput, match="depends on the other examples of the batch"):
        WholeNetwork(network)
    monkeypatch.setattr(whole_module, "check_answers", lambda _: None)
    whole = WholeNetwork(network)
    counts = count_images(monkeypatch, whole)
    weights = changed(whole, "gaussian_noise", 1.0)
    assert np.array_equal(whole.correct(weights), plain(network, weights))
    assert counts == [40]


def bits_of(whole):
    models = (whole.network.model, whole._model, whole.canonical.model)
    return [value.numpy().tobytes() for model in models for value in model.state_dict().values()]


def test_weights_are_restored_bit_for_bit_also_after_an_exception(tiny, monkeypatch):
    whole = WholeNetwork(tiny)
    before, weights = bits_of(whole), changed(whole, "gaussian_noise", 2.0)
    whole.correct(weights)
    assert bits_of(whole) == before
    inside = []
    for place, name in ((whole_module, "settle"), (whole_module, "functional_call")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, lambda *_: inside.append(bits_of(whole)) or 1 / 0)
            with pytest.raises(ZeroDivisionError):
                whole.correct(weights)
        assert bits_of(whole) == before
    assert inside[0] != before, "the exception came while weights were changed"


def test_perturbed_weights_are_the_same_each_time_and_none_of_the_truths(tiny):
    whole = WholeNetwork(tiny)
    layer = tiny.layer("hidden")
    first = whole.perturbed(layer, "int8_bit_flip", 0.01, 3)
    assert np.array_equal(first, whole.perturbed(layer, "int8_bit_flip", 0.01, 3))
    assert not np.array_equal(first, whole.perturbed(layer, "int8_bit_flip", 0.01, 4))
    probe = Probe(layer, perturbations()["int8_bit_flip"], 0.01, 3, 0, 60)
    assert not np.array_equal(first, Weights(tiny, 0).perturbed(probe).weight)


def test_stored_without_errors_is_quantized_to_8_bits(tiny):
    whole = WholeNetwork(tiny)
    layer = tiny.layer("hidden")
    assert np.array_equal(whole.perturbed(layer, "int8_bit_flip", 0.0), whole.perturbed(layer, "quantize", 8.0))
    assert np.array_equal(whole.perturbed(layer, "float32_bit_flip", 0.0), tiny.weight(layer))


def test_answers_that_change_from_time_to_time_are_refused(tiny):
    tiny.model.hidden.register_forward_hook(lambda _module, _images, hidden: nn.functional.dropout(hidden))
    with pytest.raises(BadInput, match="network 'tiny': it answers the same examples differently each time"):
        WholeNetwork(tiny)


class Views(nn.Module):
    """Views of colour images, and a class that is ruled out."""

    def __init__(self, bias):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 16, 3)
        self.register_buffer("bias", torch.tensor([0.0, bias, 0.0]))

    def forward(self, x):
        x = x.view(x.shape[0], 3, -1).view(x.shape)
        return self.head(torch.relu(self.conv(x)).view(x.shape[0], -1)) + self.bias


def test_views_of_colour_images_and_a_masked_class_are_run_in_float32_too(monkeypatch):
    found = []
    for bias in (float("-inf"), -1e3):
        torch.manual_seed(0)
        model, images = Views(bias).eval(), torch.randn(60, 3, 6, 6)
        with torch.no_grad():
            labels = model(images).argmax(1)
        network = Network(model, images, labels, name="views")
        whole = WholeNetwork(network)
        counts, weights = count_images(monkeypatch, whole), changed(whole, "quantize", 2)
        found.append(whole.correct(weights))
        assert np.array_equal(found[-1], plain(network, weights))
        assert 0 < sum(counts) < 40
    assert np.array_equal(*found)
    assert 0 < found[0].sum() < 60
