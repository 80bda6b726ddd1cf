"""Networks of timm by name: its own preprocessing, checkpoints of any number of classes, classes by name."""

import logging

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

from safer_bench.errors import BadInput, MissingData, MissingExtra, UnknownName
from safer_bench.networks.loading import load_network
from safer_bench.networks.sources.parts import choose
from tests.made_up.foreign import image_folder

SMALL = "test_resnet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images") / "pets")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    save_file(timm.create_model(SMALL, num_classes=2).state_dict(), path)
    return path


def test_a_checkpoint_on_a_folder_of_images(folder, checkpoint):
    network = load_network(f"timm:{SMALL}@{checkpoint}", data=f"imagefolder:{folder}", examples_from=14, calibration=6)
    assert network.name == "timm-test_resnet-best-imagefolder-pets"
    assert (network.n_classes, len(network.labels), len(network.calibration[1])) == (2, 14, 6)
    model = timm.create_model(SMALL, num_classes=2, checkpoint_path=str(checkpoint)).eval()
    assert all(torch.equal(network.model.state_dict()[key], value) for key, value in model.state_dict().items())
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    paths = sorted(folder.rglob("*.png"))
    for row, number in enumerate(choose(24, 14, 6, 0, "")[0]):
        assert network.labels[row] == (paths[number].parent.name == "dog")
        assert torch.equal(network.inputs[row], transform(Image.open(paths[number]).convert("RGB")))


def test_the_line_it_was_made_of_makes_it_again(folder, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    network = load_network(f"timm:{SMALL}@{checkpoint}", data="imagefolder:pets", data_seed=2)
    monkeypatch.chdir(tmp_path)
    again = load_network(network.spec)
    assert (again.name, again.weights_sha256, again.inputs_sha256) == (
        network.name,
        network.weights_sha256,
        network.inputs_sha256,
    )
    other = load_network(network.spec.replace("--data-seed 2", "--data-seed 3"))
    assert other.inputs_sha256 != network.inputs_sha256


def test_random_weights_follow_their_seed_and_the_classes_of_the_data(folder):
    first, again, other = (load_network(f"timm:{SMALL}@random:{seed}", data=f"imagefolder:{folder}") for seed in (0, 0, 1))
    assert first.n_classes == 2
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256


def test_half_precision_and_an_order_without_names_are_said_once(folder, checkpoint, tmp_path, caplog):
    model = timm.create_model(SMALL, checkpoint_path=str(checkpoint), num_classes=2)
    torch.save({"state_dict": model.half().state_dict()}, tmp_path / "half.pt")
    with caplog.at_level(logging.WARNING):
        load_network(f"timm:{SMALL}@{tmp_path / 'half.pt'}", data=f"imagefolder:{folder}")
    assert caplog.messages == [
        "timm:test_resnet: weights in float16 are read as the float32 numbers that they are",
        f"timm:test_resnet: the head's classes 0 to 1 are taken for cat, dog, in the order of imagefolder:{folder}: no name of "
        "theirs is known to say otherwise",
    ]


def test_folders_called_by_wordnet_are_classes_of_imagenet(tmp_path, checkpoint, caplog):
    data = image_folder(tmp_path / "imagenet", ("n01443537", "n01440764"), n=3)
    torch.save(timm.create_model(SMALL).state_dict(), tmp_path / "a.pt")
    network = load_network(f"timm:{SMALL}@{tmp_path / 'a.pt'}", data=f"imagefolder:{data}", calibration=0)
    assert network.n_classes == 1000
    assert set(network.labels.tolist()) == {0, 1}
    assert not caplog.messages


def said(kind, spec, **choice):
    with pytest.raises(kind) as error:
        load_network(spec, **choice)
    return str(error.value)


def test_what_does_not_belong_together_is_named(folder, checkpoint, tmp_path):
    data = f"imagefolder:{folder}"
    message = said(UnknownName, "timm:tset_resnet", data=data)
    assert message.startswith("timm:tset_resnet: no network is called 'tset_resnet'. Did you mean 'test_resnet'")
    assert message.endswith("? All of them: timm.list_models()")
    assert said(BadInput, f"timm:test_vit@{checkpoint}", data=data).startswith(
        f"timm:test_vit: {checkpoint} is of another architecture: it has no cls_token ("
    )
    three = image_folder(tmp_path / "three", ("a", "b", "c"), n=2)
    assert said(BadInput, f"timm:{SMALL}@{checkpoint}", data=f"imagefolder:{three}") == (
        f"timm:test_resnet: its head tells 2 classes apart, imagefolder:{three} has 3 (a, b, c); expected data of its classes, or "
        "a checkpoint that was trained on these"
    )
    assert said(BadInput, f"timm:{SMALL}@random", data=data) == (
        "timm:test_resnet: random weights without a seed; expected @random:SEED, such as @random:0"
    )


def test_a_corrupt_image_is_named(tmp_path):
    data = image_folder(tmp_path / "pets", n=3)
    path = data / "cat" / "001.png"
    path.write_bytes(path.read_bytes()[:200])
    assert said(BadInput, f"timm:{SMALL}@random:0", data=f"imagefolder:{data}").startswith(
        f"{path}: cannot be read as an image ("
    )


def test_pretrained_weights_that_are_not_here_are_said_with_the_way_out(folder):
    message = said(MissingData, "timm:resnet18", data=f"imagefolder:{folder}")
    assert message.startswith("timm:resnet18: its pretrained weights are not on this machine and could not be fetched (")
    assert message.endswith("give a checkpoint, timm:resnet18@FILE, or for a trial random weights, timm:resnet18@random:0")


def test_a_package_that_is_not_installed_is_named_with_its_extra(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    assert said(MissingExtra, "timm:resnet18", data=f"imagefolder:{folder}") == (
        'timm is not installed: this needs it; pip install "safer-bench[timm]"'
    )
