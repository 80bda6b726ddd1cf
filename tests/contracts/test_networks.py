"""Every network of the zoo obeys the same laws."""

import os

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from safer_bench.errors import MissingData
from safer_bench.zoo import data, load_network, weights, zoo_networks
from safer_bench.zoo.entry import FAMILY_SPLITS
from safer_bench.zoo.train import accuracy

ENTRIES = list(zoo_networks().values())
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
TUNE_ACCURACY = {"resnet20": 0.925, "vgg10": 0.92, "vit6": 0.88}


def loaded(entry):
    """Load a network; where its images are absent the test is skipped, but never under CI."""
    try:
        return load_network(entry.name)
    except MissingData as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@each
def test_layers_are_ten_or_more_with_unique_names_and_all_used(entry):
    network = loaded(entry)
    names = [layer.name for layer in network.layers]
    assert len(names) == len(set(names)) >= 10
    assert network.unused_layers == ()


@each
def test_multiply_accumulates_agree_with_torchs_flop_counter(entry):
    network = loaded(entry)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.model(network.images[:1])
    counted = {str(key): value for key, value in counter.get_flop_counts()["Global"].items()}
    products = sum(value for key, value in counted.items() if "bmm" not in key)  # attention multiplies no weights
    assert sum(layer.macs for layer in network.layers) == products // 2


@each
def test_weights_are_those_of_the_recipe_and_the_family_decides_the_split(entry):
    path = weights.weights_path(entry.name, entry.dataset)
    weights.load_weights_file(path, entry.build(), entry.recipe.sha256)
    assert entry.split == FAMILY_SPLITS[entry.family]


@each
def test_accuracy_on_held_out_images(entry):
    """On `tune`, never on evaluation images; digits have no such part, and their networks are judged on `probe`."""
    network = loaded(entry)
    part = "tune" if entry.dataset == "fashion_mnist" else "probe"
    assert accuracy(network.model, data.load_part(entry.dataset, part)) >= TUNE_ACCURACY.get(entry.name, 0.94)


def test_the_packaged_weights_stay_small():
    assert sum(path.stat().st_size for path in weights.PACKAGED.glob("*.safetensors")) < 2_000_000


def test_resnet20_has_the_layers_of_its_definition():
    names = [layer.name for layer in loaded(zoo_networks()["resnet20"]).layers]
    assert len(names) == 22
    assert {"conv1", "layer1.0.conv1", "layer2.0.downsample.0", "layer3.2.conv2", "fc"} <= set(names)
