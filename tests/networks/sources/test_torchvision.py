"""Networks of torchvision by name: classifiers by the transforms of their weights, segmentation on tensors."""

import pytest
import torch
from PIL import Image
from torchvision import models

from safer_bench.errors import BadInput, MissingData, UnknownName
from safer_bench.networks.loading import load_network
from safer_bench.networks.sources.parts import choose
from tests.made_up.foreign import image_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images") / "pets", n=4)


def test_a_checkpoint_with_the_transforms_of_the_default_weights(folder, tmp_path):
    torch.manual_seed(0)
    model = models.squeezenet1_1(num_classes=2).eval()
    torch.save({"model": {f"module.{key}": value for key, value in model.state_dict().items()}}, tmp_path / "a.pth")
    network = load_network(f"torchvision:squeezenet1_1@{tmp_path / 'a.pth'}", data=f"imagefolder:{folder}", calibration=0)
    assert (network.n_classes, len(network.labels)) == (2, 8)
    transform = models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    paths = sorted(folder.rglob("*.png"))
    expected = torch.stack([transform(Image.open(paths[i])) for i in choose(8, None, 0, 0, "")[0]])
    assert torch.equal(network.inputs, expected)
    assert torch.equal(network.model(network.inputs), model(expected))


SEGMENTS = """
import torch


def rows():
    images = torch.rand(6, 3, 32, 32)
    labels = (images.sum(1) > 1.5).long()
    labels[:, :4] = -100
    return images, labels
"""


def test_segmentation_takes_tensors_and_answers_at_every_position(tmp_path, folder):
    (tmp_path / "mine.py").write_text(SEGMENTS)
    spec = "torchvision:lraspp_mobilenet_v3_large@random:0"
    network = load_network(spec, data=f"{tmp_path / 'mine.py'}:rows", examples_from=4, calibration=2)
    assert network.n_answers.tolist() == [28 * 32] * 4
    assert network.model(network.inputs).shape == (4, 2, 32, 32)
    with pytest.raises(BadInput) as error:
        load_network(spec, data=f"imagefolder:{folder}")
    assert str(error.value) == (
        "torchvision:lraspp_mobilenet_v3_large: takes tensors, which a FILE.py:FUNC gives; "
        f"imagefolder:{folder} holds images: give data that it takes"
    )


def test_what_is_not_there_is_said(folder, monkeypatch, tmp_path):
    data = f"imagefolder:{folder}"
    with pytest.raises(UnknownName) as error:
        load_network("torchvision:resnet81", data=data)
    assert str(error.value).startswith("torchvision:resnet81: no network is called 'resnet81'. Did you mean 'resnet18'")
    assert str(error.value).endswith(
        "All of them: classifiers and segmentation networks of torchvision.models.list_models()"
    )
    with pytest.raises(UnknownName, match="no network is called 'maskrcnn_resnet50_fpn'"):
        load_network("torchvision:maskrcnn_resnet50_fpn", data=data)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(MissingData) as missing:
        load_network("torchvision:squeezenet1_1", data=data)
    assert str(missing.value) == (
        "torchvision:squeezenet1_1: its pretrained weights are not on this machine and could not be fetched (no route to host); "
        "give a checkpoint, torchvision:squeezenet1_1@FILE, or for a trial random weights, torchvision:squeezenet1_1@random:0"
    )
