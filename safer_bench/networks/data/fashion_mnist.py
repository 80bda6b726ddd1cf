"""Fashion-MNIST: from the folder named by ``SAFER_BENCH_DATA``, from Debian's package, or from the Hub, in that order."""

import gzip
import os
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from safer_bench.errors import BadInput, MissingData, text_of
from safer_bench.networks.data.folders import folders_for
from safer_bench.networks.data.scaling import standardised
from safer_bench.stream import Stream

SOURCE = "zalando-datasets/fashion_mnist (MIT)"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
HUB_ID = "zalando-datasets/fashion_mnist"
FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def part_indices() -> dict[str, np.ndarray]:
    """Return the fixed indices of each part.

    ``fit``, ``tune`` and ``calibration`` count the 60,000 training images, ``evaluation`` and ``budget`` the 10,000 of the
    test half.
    """
    order = Stream("fashion_mnist", "parts").permutation(60_000)
    parts = {"fit": order[:55_000], "tune": order[55_000:57_500], "calibration": order[57_500:]}
    return parts | {"evaluation": np.arange(7_500), "budget": np.arange(7_500, 10_000)}


def read_part(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised images float32 ``(n, 1, 28, 28)`` and labels int64 ``(n,)``.

    Raises:
        MissingData: the images are not on this machine.
        BadInput: a file of images is damaged.
    """
    images, labels = _read_half("test" if part in {"evaluation", "budget"} else "train")
    indices = part_indices()[part]
    return images[indices], labels[indices]


@cache
def _read_half(half: str) -> tuple[np.ndarray, np.ndarray]:
    folder = _folder()
    if folder is None:
        pixels, labels = _from_hub(half)
    else:
        pixels, labels = (_read_idx(folder, FILES[f"{half}_{what}"]) for what in ("images", "labels"))
    return standardised(pixels, 255.0, 0.2860, 0.3530), labels.astype(np.int64)


def _folder() -> Path | None:
    """Return the folder that holds all four files: the given one, else the Debian package's."""
    for folder in [*folders_for("fashion-mnist"), DEBIAN_FOLDER]:
        if all(_idx_path(folder, name) for name in FILES.values()):
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
        raise BadInput(f"{path}: is not a Fashion-MNIST file ({text_of(error)}); get the four files again") from error
    return values


def _from_hub(half: str) -> tuple[np.ndarray, np.ndarray]:
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
