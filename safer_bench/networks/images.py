"""The images of each dataset and their fixed parts: fit, tune, calibration (criteria), evaluation (truth), budget."""

import gzip
import os
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch

from safer_bench.errors import BadInput, MissingData, text_of
from safer_bench.networks.examples import Examples
from safer_bench.stream import Stream

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
HUB_ID = "zalando-datasets/fashion_mnist"
FASHION_MNIST_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
SOURCES = {
    "digits": "scikit-learn load_digits (UCI optical recognition of handwritten digits, CC BY 4.0)",
    "fashion_mnist": "zalando-datasets/fashion_mnist (MIT)",
}


def part_indices(dataset: str) -> dict[str, np.ndarray]:
    """Return the fixed indices of each part.

    ``digits`` counts the 1,797 images of ``load_digits``; the parts ``fit``, ``tune`` and ``calibration`` of
    ``fashion_mnist`` count its 60,000 training images, ``evaluation`` and ``budget`` its 10,000 test images.
    """
    if dataset == "digits":
        order = Stream("digits", "parts").permutation(1797)
        return {"fit": order[:677], "calibration": order[677:1197], "evaluation": order[1197:]}
    order = Stream("fashion_mnist", "parts").permutation(60_000)
    parts = {"fit": order[:55_000], "tune": order[55_000:57_500], "calibration": order[57_500:]}
    return parts | {"evaluation": np.arange(7_500), "budget": np.arange(7_500, 10_000)}


@cache
def load_part(dataset: str, part: str) -> Examples:
    """Return images and labels of one part of a dataset.

    Args:
        dataset: ``digits`` or ``fashion_mnist``.
        part: ``fit``, ``tune``, ``calibration``, ``evaluation`` or ``budget`` (digits: fit, calibration, evaluation).

    Returns:
        float32 images ``(n, 1, height, width)``, standardised, and int64 labels ``(n,)``.

    Raises:
        MissingData: the images are not on this machine.
        BadInput: a file of images is damaged.
    """
    images, labels = READERS[dataset]("test" if part in {"evaluation", "budget"} else "train")
    indices = part_indices(dataset)[part]
    return torch.from_numpy(images[indices]), torch.from_numpy(labels[indices])


def _standardise(pixels: np.ndarray, scale: float, mean: float, deviation: float) -> np.ndarray:
    return ((pixels[:, None].astype(np.float64) / scale - mean) / deviation).astype(np.float32)


@cache
def _read_digits(_: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # costs a second; only this dataset needs it

    bunch = load_digits()
    return _standardise(bunch.images, 16.0, 0.3053, 0.3760), bunch.target.astype(np.int64)


@cache
def _read_fashion_mnist(half: str) -> tuple[np.ndarray, np.ndarray]:
    folder = _fashion_mnist_folder()
    if folder is None:
        pixels, labels = _fashion_mnist_from_hub(half)
    else:
        pixels = _read_idx(folder, FASHION_MNIST_FILES[f"{half}_images"])
        labels = _read_idx(folder, FASHION_MNIST_FILES[f"{half}_labels"])
    return _standardise(pixels, 255.0, 0.2860, 0.3530), labels.astype(np.int64)


def _fashion_mnist_folder() -> Path | None:
    """Return the folder that holds all four files: the given one, else the Debian package's."""
    given = os.environ.get("SAFER_BENCH_DATA")
    for folder in ([Path(given), Path(given) / "fashion-mnist"] if given else []) + [DEBIAN_FOLDER]:
        if all(_idx_path(folder, name) for name in FASHION_MNIST_FILES.values()):
            return folder
    return None


def _idx_path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_idx(folder: Path, name: str) -> np.ndarray:
    """Read one file of the idx format: two zero bytes, type, number of dimensions, sizes (big-endian), values."""
    path = _idx_path(folder, name) or folder / name
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        n_dimensions = data[3]
        shape = np.frombuffer(data, dtype=">i4", count=n_dimensions, offset=4)
        values = np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * n_dimensions).reshape(shape)
        if len(values) != (60_000 if name.startswith("train") else 10_000):
            raise ValueError(f"{len(values)} entries")
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise BadInput(f"{path}: no Fashion-MNIST file ({text_of(error)}); get the four files again") from error
    return values


def _fashion_mnist_from_hub(half: str) -> tuple[np.ndarray, np.ndarray]:
    import datasets

    try:
        rows = datasets.load_dataset(HUB_ID, split=half).with_format("numpy")
        return np.stack(rows["image"]), np.asarray(rows["label"])
    except Exception as error:  # every kind of unreachable Hub: offline, no route, not found, no decoder
        raise MissingData(
            "Fashion-MNIST is not on this machine. Looked in the folder named by SAFER_BENCH_DATA "
            f"({os.environ.get('SAFER_BENCH_DATA') or 'not set'}), in {DEBIAN_FOLDER} (apt-get install "
            f"dataset-fashion-mnist) and on the Hub ({HUB_ID}: {type(error).__name__})"
        ) from error


READERS: Mapping[str, Callable[[str], tuple[np.ndarray, np.ndarray]]] = {
    "digits": _read_digits,
    "fashion_mnist": _read_fashion_mnist,
}
