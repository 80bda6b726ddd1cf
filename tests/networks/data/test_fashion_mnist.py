"""Where Fashion-MNIST comes from, and that its parts never overlap."""

import gzip

import numpy as np
import pytest

from safer_bench.errors import BadInput, MissingData
from safer_bench.networks.data import fashion_mnist
from safer_bench.networks.data.parts import load_part, part_indices


@pytest.fixture
def no_fashion_mnist(monkeypatch, tmp_path):
    """As on a machine without Fashion-MNIST and without the internet."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "absent")
    monkeypatch.delenv("SAFER_BENCH_DATA", raising=False)
    fashion_mnist._read_half.cache_clear()
    load_part.cache_clear()
    yield
    fashion_mnist._read_half.cache_clear()
    load_part.cache_clear()


def write_idx(path, values):
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(header + values.tobytes())


def test_fashion_mnist_parts_cover_all_images_once():
    parts = part_indices("fashion_mnist")
    assert {name: len(parts[name]) for name in ("fit", "tune", "calibration")} == {
        "fit": 55_000,
        "tune": 2_500,
        "calibration": 2_500,
    }
    assert sorted(np.concatenate([parts[name] for name in ("fit", "tune", "calibration")])) == list(range(60_000))
    assert np.array_equal(np.concatenate([parts["evaluation"], parts["budget"]]), np.arange(10_000))


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("below", ["", "fashion-mnist"])
def test_a_given_folder_comes_first(no_fashion_mnist, monkeypatch, tmp_path, ending, below):
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for half, n in (("train", 60_000), ("test", 10_000)):
        write_idx(
            folder / (fashion_mnist.FILES[f"{half}_images"] + ending),
            rng.integers(0, 255, (n, 2, 2), np.uint8),
        )
        write_idx(folder / (fashion_mnist.FILES[f"{half}_labels"] + ending), rng.integers(0, 10, n, np.uint8))
    monkeypatch.setenv("SAFER_BENCH_DATA", str(tmp_path))
    images, labels = load_part("fashion_mnist", "budget")
    assert (tuple(images.shape), tuple(labels.shape)) == ((2500, 1, 2, 2), (2500,))


@pytest.mark.parametrize("damage", [b"", b"\x00\x00\x08\x03", b"no gzip at all"])
def test_a_damaged_file_is_named(no_fashion_mnist, monkeypatch, tmp_path, damage):
    for name in fashion_mnist.FILES.values():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(damage) if damage.startswith(b"\x00") else damage)
    monkeypatch.setenv("SAFER_BENCH_DATA", str(tmp_path))
    with pytest.raises(
        BadInput, match=r"train-images-idx3-ubyte.gz: is not a Fashion-MNIST file \(.*\); get the four files again"
    ):
        load_part("fashion_mnist", "tune")


def test_one_message_names_every_place_that_was_searched(no_fashion_mnist, tmp_path):
    with pytest.raises(MissingData) as error:
        load_part("fashion_mnist", "evaluation")
    assert str(error.value).startswith(
        "Fashion-MNIST is not on this machine. Looked in the folder named by SAFER_BENCH_DATA (not set), in "
        f"{tmp_path / 'absent'} (apt-get install dataset-fashion-mnist) and on the Hub (zalando-datasets/fashion_mnist: "
    )
