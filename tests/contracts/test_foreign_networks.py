"""What holds for a network of the zoo that somebody else trained: its definition, its pinned weights, its accuracy."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from safer_bench.errors import MissingData
from safer_bench.networks.layers import discover_layers
from safer_bench.networks.loading import load_network, zoo_networks
from safer_bench.networks.weights import n_parameters
from safer_bench.networks.zoo_network import FAMILY_SPLITS

ENTRIES = [entry for entry in zoo_networks().values() if entry.role == "foreign"]
LAYERS = {"efficientnet_lite0": 50, "efficientnet_lite1": 65, "efficientnet_lite2": 65, "squeezenet1_1": 26}
RIGHT = {  # of the public sample's 200 calibration and 800 evaluation images
    "efficientnet_lite0": (178, 696),
    "efficientnet_lite1": (180, 711),
    "efficientnet_lite2": (182, 709),
    "squeezenet1_1": (118, 493),
}
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def image(entry, n=1):
    size = entry.preparation.size
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def built(entry):
    torch.manual_seed(0)
    return entry.build().eval()


@each
def test_its_layers_have_unique_names_are_all_used_and_their_work_is_what_torch_counts(entry):
    model = built(entry)
    layers = discover_layers(model, image(entry))
    assert len(layers) == len({layer.name for layer in layers}) == LAYERS[entry.name]
    assert all(layer.index >= 0 for layer in layers)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image(entry))
    assert sum(layer.macs for layer in layers) == sum(counter.get_flop_counts()["Global"].values()) // 2


@each
def test_it_can_be_measured_in_hours_and_an_answer_does_not_depend_on_the_batch(entry):
    model, images = built(entry), image(entry, n=2)
    assert n_parameters(model) < 10_000_000
    with torch.no_grad():
        together, alone = model(images), torch.cat([model(item[None]) for item in images])
    assert together.shape == (2, 1000)
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-4)


@each
def test_the_family_decides_the_split_and_weights_are_pinned(entry):
    assert entry.split == FAMILY_SPLITS[entry.family]
    assert (entry.dataset, entry.recipe) == ("imagenet", None)
    assert len(entry.weights.sha256) == 64
    assert entry.weights.licence.startswith("unknown (")


def test_both_splits_have_one():
    assert {entry.split for entry in ENTRIES} == {"validation", "test"}


@pytest.mark.long
@each
def test_its_answers_to_the_public_sample_are_those_that_were_stated(entry):
    try:
        network = load_network(entry.name)
    except MissingData as error:
        pytest.skip(str(error))
    if len(network.labels) + len(network.calibration[1]) != 1000:
        pytest.skip("other images than the public sample's")
    right = []
    for images, labels in (network.calibration, network.evaluation):
        with torch.no_grad():
            batches = zip(images.split(50), labels.split(50), strict=True)
            right.append(sum(int((network.model(some).argmax(1) == own).sum()) for some, own in batches))
    assert right == pytest.approx(RIGHT[entry.name], abs=1)  # float32: a tie may fall otherwise elsewhere
    assert network.licence == entry.weights.licence
