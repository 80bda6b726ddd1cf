"""ImageNet's images are read from Parquet or a folder, always the same ones, and refused where they are others."""

import numpy as np
import pytest
import torch
from huggingface_hub import CommitOperationAdd, HfApi, close_session, constants, hf_hub_download
from PIL import Image

from safer_bench.errors import BadInput, MissingData
from safer_bench.networks.data import imagenet
from safer_bench.networks.data.imagenet import Preparation, read_parts
from tests.dataset.hub.conftest import point_to
from tests.made_up.fake_hub import running
from tests.made_up.photographs import jpeg, write_folder, write_parquet

PLAIN = Preparation(8, 10, "bicubic", mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))
N = 1_000
LABELS = list(range(N))


@pytest.fixture(scope="module")
def images():
    return [jpeg(i) for i in range(N)]


@pytest.fixture
def given(monkeypatch, tmp_path):
    """The folder that SAFER_BENCH_DATA names; any pixels will do."""
    monkeypatch.setenv("SAFER_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(imagenet, "PIXELS", {})
    return tmp_path


def same(first, second):
    return all(torch.equal(a, b) for part in first for a, b in zip(first[part], second[part], strict=True))


def test_parquet_and_folder_give_the_same_parts_in_a_fixed_random_order(given, images):
    write_parquet(given / "imagenet-sample.parquet", images, LABELS)
    found = read_parts(PLAIN)
    assert {part: (tuple(x.shape), x.dtype, y.dtype) for part, (x, y) in found.items()} == {
        "calibration": ((200, 3, 8, 8), torch.float32, torch.int64),
        "evaluation": ((800, 3, 8, 8), torch.float32, torch.int64),
    }
    labels = torch.cat([found["calibration"][1], found["evaluation"][1]]).tolist()
    assert sorted(labels) == LABELS
    assert labels[:5] == imagenet.part_indices()["calibration"][:5].tolist() == [558, 449, 450, 326, 565]
    for i in (0, 799):
        label = int(found["evaluation"][1][i])
        with Image.open(__import__("io").BytesIO(images[label])) as image:
            assert torch.equal(found["evaluation"][0][i], PLAIN(image.convert("RGB")))
    (given / "imagenet-sample.parquet").rename(given / "kept")
    write_folder(given / "imagenet", images, LABELS)
    assert same(read_parts(PLAIN), found)
    (given / "imagenet").rename(given / "moved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFER_BENCH_DATA", str(given / "moved"))
        assert same(read_parts(PLAIN), found)


def test_several_parquet_files_are_one_set_and_of_more_images_a_thousand_are_drawn(given, images):
    place = given / "imagenet"
    write_parquet(place / "validation-00000.parquet", images[:700], LABELS[:700], row_group_size=90)
    write_parquet(place / "validation-00001.parquet", images[700:] + images[:400], LABELS[700:] + LABELS[:400])
    found = read_parts(PLAIN)
    order = np.concatenate(list(imagenet.part_indices(1_400).values()))
    assert torch.cat([found["calibration"][1], found["evaluation"][1]]).tolist() == (order % 1_000).tolist()
    assert len(set(order.tolist())) == 1_000
    assert max(order) > 1_300


def test_grey_images_have_three_channels_and_a_file_may_be_named_itself(monkeypatch, given, images):
    path = write_parquet(given / "any.parquet", [jpeg(0, mode="L"), *images[1:]], LABELS)
    monkeypatch.setenv("SAFER_BENCH_DATA", str(path))
    found = read_parts(PLAIN)
    at = torch.cat([found["calibration"][1], found["evaluation"][1]]).tolist().index(0)
    grey = torch.cat([found["calibration"][0], found["evaluation"][0]])[at]
    assert torch.equal(grey[0], grey[1])


def test_preparation_is_resizing_cutting_out_and_scaling():
    pixels = np.zeros((30, 60, 3), dtype=np.uint8)
    pixels[:, :, 0], pixels[:, :, 2] = 255, 51
    image = Image.fromarray(pixels)
    rgb = Preparation(20, 24, "bilinear", mean=(0.5, 0.25, 0.0), deviation=(0.5, 0.5, 0.1))(image)
    assert rgb.shape == (3, 20, 20)
    assert rgb.flatten(1).tolist() == [[1.0] * 400, [-0.5] * 400, [2.0] * 400]
    bgr = Preparation(20, 24, "bilinear", (103.9 / 255, 0.0, 0.0), (1 / 255,) * 3, order="BGR")(image)
    assert bgr[:, 0, 0].tolist() == pytest.approx([51 - 103.9, 0.0, 255.0], abs=1e-4)


def test_preparation_agrees_with_torchvision():
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    mode = transforms.InterpolationMode.BICUBIC
    steps = [transforms.Resize(33, mode), transforms.CenterCrop(27), transforms.ToTensor()]
    theirs = transforms.Compose([*steps, transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))])
    ours = Preparation(27, 33, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    rng = np.random.default_rng(0)
    for width, height in ((50, 40), (41, 57), (40, 40), (61, 43)):
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        assert torch.allclose(ours(image), theirs(image), rtol=0, atol=1e-5), (width, height)


def test_pixels_are_pinned(given, images, monkeypatch):
    path = write_parquet(given / "imagenet-sample.parquet", images, LABELS)
    monkeypatch.setattr(imagenet, "PIXELS", {1_000: "0" * 64})
    with pytest.raises(BadInput) as error:
        read_parts(PLAIN)
    digest = str(error.value).split("SHA-256 ")[1][:16]
    assert str(error.value) == (
        f"{path}: the pixels of its images have SHA-256 {digest}, expected 0000000000000000: they are no copy of the public "
        f"sample, or decoded otherwise by {imagenet.decoder()} than by {imagenet.PINNED_BY}"
    )
    monkeypatch.setattr(imagenet, "PIXELS", {})
    seen = []
    monkeypatch.setattr(imagenet, "_check_pixels", lambda _, digest: seen.append(digest))
    read_parts(PLAIN)
    write_parquet(path, [*images[:-1], jpeg(5_000)], LABELS)
    read_parts(PLAIN)
    assert seen[0][:16] == digest
    assert seen[1] != seen[0]


def refused(given):
    with pytest.raises((BadInput, MissingData)) as error:
        read_parts(PLAIN)
    return str(error.value).replace(f"{given}/", "")


def test_what_cannot_be_read_is_one_message(given, images, monkeypatch):
    name = "imagenet-sample.parquet"
    path = given / name
    write_parquet(path, images[:999], LABELS[:999])
    assert refused(given) == f"{name}: 999 images; expected 1000 or more of ImageNet"
    write_parquet(path, images, [*LABELS[:999], 1_000])
    assert refused(given) == f"{name}: labels from 0 to 1000; expected 0 to 999, by sorted WordNet ids"
    write_parquet(path, [*images[:7], images[7][:300], *images[8:]], LABELS)
    found = refused(given)
    assert found.startswith(f"{name}, row 8: cannot be decoded (")
    assert found.endswith("); get the image again")
    write_parquet(path, [*images[:7], None, *images[8:]], LABELS)
    assert refused(given) == f"{name}: an image without bytes; expected the image itself beside its path"
    path.write_bytes(b"PAR1")
    assert refused(given).startswith(f"{name}: is not a Parquet file of images (")
    path.unlink()
    write_folder(given / "imagenet", images[:3], LABELS[:3], n_classes=3)
    assert refused(given) == "imagenet: 3 folders of classes; expected 1000, named by WordNet ids"
    monkeypatch.setenv("SAFER_BENCH_DATA", str(given / "absent"))
    told = (
        "ImageNet's images are not on this machine: looked in SAFER_BENCH_DATA ({}) for imagenet*.parquet, "
        "imagenet/*.parquet (columns image and label), or folders n01440764 ... of images, one for each of 1,000 classes. They "
        "may not be passed on: the public sample of 1,000, or the validation set, has to be put there by hand, or named as "
        "hub:ILSVRC/imagenet-1k"
    )
    assert refused(given) == told.format("absent")
    monkeypatch.delenv("SAFER_BENCH_DATA")
    assert refused(given) == told.format("not set")


@pytest.fixture
def on_hub(monkeypatch, tmp_path):
    """A hub with a dataset of images, named by SAFER_BENCH_DATA; nothing else is fetched of it."""
    monkeypatch.setattr(imagenet, "PIXELS", {})
    monkeypatch.setenv("SAFER_BENCH_DATA", "hub:them/photographs")
    with running() as hub:
        point_to(hub.endpoint, monkeypatch, tmp_path)
        HfApi(endpoint=hub.endpoint).create_repo("them/photographs", repo_type="dataset")
        yield hub
    close_session()


def upload(hub, files):
    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    HfApi(endpoint=hub.endpoint).create_commit("them/photographs", operations, commit_message="x", repo_type="dataset")


def test_the_validation_split_of_a_dataset_of_the_hub_is_fetched_once(on_hub, monkeypatch, tmp_path, images):
    first = write_parquet(tmp_path / "a" / "validation-00000-of-00002.parquet", images[:700], LABELS[:700])
    second = write_parquet(tmp_path / "a" / "validation-00001-of-00002.parquet", images[700:], LABELS[700:])
    (tmp_path / "train.parquet").write_bytes(b"no image of the training set is asked for")
    upload(
        on_hub,
        {f"data/{path.name}": path for path in (second, first)} | {"data/train-0.parquet": tmp_path / "train.parquet"},
    )
    found = read_parts(PLAIN)
    assert not list((tmp_path / "hf").rglob("train*"))
    monkeypatch.setenv("SAFER_BENCH_DATA", str(write_parquet(tmp_path / "imagenet.parquet", images, LABELS)))
    assert same(found, read_parts(PLAIN))
    monkeypatch.setenv("SAFER_BENCH_DATA", "hub:them/photographs")
    hf_hub_download("them/photographs", "data/train-0.parquet", repo_type="dataset")  # by somebody else, to the same folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same(found, read_parts(PLAIN))


def test_a_dataset_of_the_hub_without_such_images_is_refused(on_hub, monkeypatch, tmp_path):
    (tmp_path / "notes.txt").write_text("no images")
    upload(on_hub, {"notes.txt": tmp_path / "notes.txt"})
    with pytest.raises(MissingData) as refusal:
        read_parts(PLAIN)
    assert str(refusal.value) == (
        "SAFER_BENCH_DATA hub:them/photographs: no Parquet files validation*.parquet; expected those of hub:ILSVRC/imagenet-1k"
    )
    monkeypatch.setenv("SAFER_BENCH_DATA", "hub:them/absent")
    with pytest.raises(MissingData, match=r"^SAFER_BENCH_DATA hub:them/absent: not on this machine and not fetched \("):
        read_parts(PLAIN)
