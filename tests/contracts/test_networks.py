"""Every network of the zoo obeys the same laws: what its definition says, and what its trained weights do."""

import copy
import os

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from safer_bench.errors import MissingData
from safer_bench.measurement.measure import measure
from safer_bench.networks import weights
from safer_bench.networks.images import load_part
from safer_bench.networks.layers import discover_layers
from safer_bench.networks.loading import load_network, zoo_networks
from safer_bench.networks.training.train import accuracy
from safer_bench.networks.weights import n_parameters
from safer_bench.networks.zoo.twins import N_SEEDS, RECIPES
from safer_bench.networks.zoo_network import FAMILY_SPLITS
from safer_bench.scoring.score import score

ENTRIES = [entry for entry in zoo_networks().values() if entry.role == "zoo"]
TWINS = [entry for entry in zoo_networks().values() if entry.role == "twin"]
ARCHITECTURES = ENTRIES + [entry for entry in TWINS if entry.name.endswith("_plain_0")]
FASHION = [entry for entry in ENTRIES if entry.dataset == "fashion_mnist"]
NOT_CONVOLUTIONAL = {"hybrid", "mixer", "mlp", "swin", "vit"}

each = pytest.mark.parametrize("entry", ARCHITECTURES, ids=lambda entry: entry.name)
each_trained = pytest.mark.parametrize("entry", ENTRIES + TWINS, ids=lambda entry: entry.name)


def goal(entry):
    """The accuracy on held-out images below which a recipe is no good."""
    if entry.dataset == "digits":
        return 0.94
    if entry.role == "twin":
        return 0.85  # of six epochs, on 500 images
    return 0.88 if entry.family in NOT_CONVOLUTIONAL else 0.915


def loaded(entry):
    """Load a network; without its weights or images the test is skipped, but under CI only where it is untrained."""
    try:
        return load_network(entry.name)
    except MissingData as error:
        if os.environ.get("CI") and not str(error).startswith("no weights"):
            raise
        pytest.skip(str(error))


def image(entry, n=1):
    """Return noise of the dataset's shape, the same each time."""
    size = 8 if entry.dataset == "digits" else 28
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(0))


def built(entry):
    torch.manual_seed(0)
    return entry.build().eval()


@each
def test_layers_are_ten_or_more_with_unique_names_and_all_used(entry):
    layers = discover_layers(built(entry), image(entry))
    assert len(layers) == len({layer.name for layer in layers}) >= 10
    assert all(layer.index >= 0 for layer in layers)


@each
def test_multiply_accumulates_agree_with_torchs_flop_counter(entry):
    model = built(entry)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image(entry))
    counted = {str(key): value for key, value in counter.get_flop_counts()["Global"].items()}
    products = sum(value for key, value in counted.items() if "bmm" not in key)  # attention multiplies no weights
    assert sum(layer.macs for layer in discover_layers(model, image(entry))) == products // 2


@each
def test_networks_are_small(entry):
    """Float64 measurements of some thousand probes each must stay affordable."""
    model = built(entry)
    most = {"vgg10": 500_000}.get(entry.name, 400_000) if entry.role == "zoo" else 100_000
    assert n_parameters(model) == sum(value.numel() for key, value in model.named_parameters()) < most
    assert sum(layer.macs for layer in discover_layers(model, image(entry))) < 35_000_000


@each
def test_an_answer_does_not_depend_on_the_batch(entry):
    model, images = built(entry).double(), image(entry, n=4).double()
    with torch.no_grad():
        alone = torch.cat([model(item[None]) for item in images])
        assert torch.allclose(model(images), alone, rtol=0, atol=1e-12)


@each
def test_torch_exports_the_model(entry):
    model, images = built(entry), image(entry, n=8)
    exported = torch.export.export(model, (torch.zeros_like(images),)).module()
    assert torch.equal(exported(images), model(images))


@each_trained
def test_weights_are_those_of_the_recipe_and_the_family_decides_the_split(entry):
    assert entry.split == FAMILY_SPLITS[entry.family]
    try:
        path = weights.weights_path(entry.name, entry.dataset)
    except MissingData as error:
        pytest.skip(str(error))
    weights.load_weights_file(path, entry.build(), entry.recipe.sha256)


@each_trained
def test_accuracy_on_held_out_images(entry):
    """On `tune`, never on evaluation images; digits have no such part, and their networks are judged on `calibration`."""
    network = loaded(entry)
    part = load_part(entry.dataset, "tune" if entry.dataset == "fashion_mnist" else "calibration")
    n = 500 if entry.role == "twin" else len(part[1])  # forty twins would take long
    assert accuracy(network.model, (part[0][:n], part[1][:n])) >= goal(entry)


@pytest.mark.long
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_layer_is_measured_and_scored(entry):
    network = loaded(entry)
    names = [layer.name for layer in network.layers]
    images, labels = network.inputs[:10], network.labels[:10]
    rows = measure(network, ["magnitude_prune:0.9"], deterministic_examples=10).to_pylist()
    assert [row["layer"] for row in sorted(rows, key=lambda row: row["layer_index"])] == names
    with torch.no_grad():
        right = int((copy.deepcopy(network.model).double()(images.double()).argmax(1) == labels).sum())
    assert {row["correct_clean"] for row in rows} == {right}
    for criterion in ("l2_norm", "snip"):
        assert set(score(criterion, network, examples=10)) == set(names)


def test_the_zoo_is_large_enough_for_statistics_over_families():
    families = {entry.family for entry in FASHION}
    splits = [FAMILY_SPLITS[family] for family in families]
    assert len(FASHION) >= 18
    assert len(families) >= 12
    assert splits.count("test") >= 8
    assert splits.count("validation") >= 4
    assert set(FAMILY_SPLITS) == {entry.family for entry in ENTRIES}


def test_every_twin_has_all_its_controls_of_the_same_seed():
    assert len(TWINS) == 2 * N_SEEDS * len(RECIPES)
    by_name = {entry.name: entry.recipe for entry in TWINS}
    for family in ("vgg", "resnet"):
        for seed in range(N_SEEDS):
            plain, resistant, long, random = (
                by_name[f"twin_{family}_{kind}_{seed}"] for kind in ("plain", "resistant", "long", "random")
            )
            assert {recipe.seed for recipe in (plain, resistant, long, random)} == {seed}
            assert (resistant.epochs, random.epochs, long.epochs) == (plain.epochs, plain.epochs, 2 * plain.epochs)
            assert plain.corruption is long.corruption is None
            assert (resistant.corruption.direction, random.corruption.direction) == ("gradient", "random")
            assert (resistant.corruption.norm, resistant.corruption.size, resistant.corruption.mixing) == (
                random.corruption.norm,
                random.corruption.size,
                random.corruption.mixing,
            )


def test_weights_stay_small():
    assert sum(path.stat().st_size for path in weights.PACKAGED.glob("*.safetensors")) < 2_000_000
    assert (
        sum(path.stat().st_size for path in weights.weight_folders("fashion_mnist")[-1].glob("*.safetensors")) < 40_000_000
    )


def test_resnet20_has_the_layers_of_its_definition():
    names = [layer.name for layer in discover_layers(zoo_networks()["resnet20"].build().eval(), torch.zeros(1, 1, 28, 28))]
    assert len(names) == 22
    assert {"conv1", "layer1.0.conv1", "layer2.0.downsample.0", "layer3.2.conv2", "fc"} <= set(names)
