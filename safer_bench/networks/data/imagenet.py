"""Photographs of ImageNet-1k with their classes, from Parquet files or a folder on this machine; none are in the repository.

``SAFER_BENCH_DATA`` names a Parquet file, a folder in which, or in whose ``imagenet``, are Parquet files or 1,000
folders, one a class, or ``hub:ID``, a dataset of the Hub whose Parquet files of the split ``validation`` are fetched. Of as
many images as there are, 1,000 are drawn: 200 for calibration and 800 for evaluation.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, features

from safer_bench.errors import BadInput, MissingData, text_of
from safer_bench.networks.examples import Examples
from safer_bench.stream import Stream

N_CLASSES, N_CALIBRATION, N_EVALUATION = 1_000, 200, 800
N_IMAGES = N_CALIBRATION + N_EVALUATION
WNID = re.compile(r"n\d{8}")
ENDINGS = (".jpg", ".jpeg", ".png")
HUB = "hub:"
ON_HUB = "hub:ILSVRC/imagenet-1k"  # ImageNet's own, after its terms are accepted there
# SHA-256 of the decoded pixels of all images drawn, by how many images there are: of the public sample of 1,000. Of other
# sets, such as the 50,000 for validation, the digest of a network's inputs tells whether two are the same.
PIXELS = {1_000: "e710416e7aebb7dcce57148255f2f9cd0221bd269efd8b704079bb6bfd0a51a2"}
PINNED_BY = "Pillow 13.0.0 with libjpeg-turbo 3.2.0"


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a network wants its images: resized, the middle cut out, and scaled.

    Attributes:
        size: height and width of what is cut out.
        resize: of the shorter side before.
        filter: of resizing.
        mean: subtracted from values 0 to 1 of each channel.
        deviation: that the difference is divided by.
        order: of the channels.
    """

    size: int
    resize: int
    filter: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    order: Literal["RGB", "BGR"] = "RGB"

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return an RGB image as float32 ``(3, size, size)``; mean and deviation are in the order of the channels."""
        shorter = min(image.size)
        width, height = (self.resize * side // shorter for side in image.size)
        resized = image.resize((width, height), getattr(Image.Resampling, self.filter.upper()))
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        pixels = np.asarray(resized.crop((left, top, left + self.size, top + self.size)), dtype=np.float64)
        ordered = pixels[:, :, ::-1] if self.order == "BGR" else pixels
        scaled = (ordered / 255.0 - np.array(self.mean)) / np.array(self.deviation)
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype=np.float32))


@dataclass(frozen=True, slots=True)
class _Images:
    """Images that there are: where, their classes ``(n,)``, and a function that yields name and bytes of some of them."""

    where: Path
    labels: np.ndarray
    encoded: Callable[[np.ndarray], Iterator[tuple[str, bytes]]]


def part_indices(n_images: int = N_IMAGES) -> dict[str, np.ndarray]:
    """Return the fixed indices of each part among so many images in the order of their classes."""
    order = Stream("imagenet", "parts").permutation(n_images)
    return {"calibration": order[:N_CALIBRATION], "evaluation": order[N_CALIBRATION:N_IMAGES]}


def read_parts(preparation: Preparation) -> dict[str, Examples]:
    """Return images, float32 ``(n, 3, size, size)``, and labels, int64 ``(n,)``, of the parts calibration and evaluation.

    Raises:
        MissingData: the images are not on this machine.
        BadInput: they are damaged, too few, or of the public sample, and decoded to other pixels than those that are pinned.
    """
    images = _found()
    if len(images.labels) < N_IMAGES:
        raise BadInput(f"{images.where}: {len(images.labels)} images; expected {N_IMAGES} or more of ImageNet")
    if images.labels.min() < 0 or images.labels.max() >= N_CLASSES:
        low, high = images.labels.min(), images.labels.max()
        raise BadInput(f"{images.where}: labels from {low} to {high}; expected 0 to {N_CLASSES - 1}, by sorted WordNet ids")
    parts = part_indices(len(images.labels))
    rows = np.concatenate(list(parts.values()))
    prepared = torch.empty(len(rows), 3, preparation.size, preparation.size)
    digest = sha256()
    for place, (name, data) in enumerate(images.encoded(rows)):
        image = _decoded(data, name)
        digest.update(f"{image.size}".encode() + image.tobytes())
        prepared[place] = preparation(image)
    _check_pixels(images, digest.hexdigest())
    labels = torch.from_numpy(images.labels[rows])
    sizes = [len(part) for part in parts.values()]
    return dict(zip(parts, zip(prepared.split(sizes), labels.split(sizes), strict=True), strict=True))


def _decoded(data: bytes, name: str) -> Image.Image:
    try:
        with Image.open(BytesIO(data)) as image:
            return image.convert("RGB")
    except Exception as error:  # of as many types as there are formats
        raise BadInput(f"{name}: cannot be decoded ({text_of(error)}); get the image again") from error


def _check_pixels(images: _Images, digest: str) -> None:
    expected = PIXELS.get(len(images.labels), digest)
    if digest != expected:
        raise BadInput(
            f"{images.where}: the pixels of its images have SHA-256 {digest[:16]}, expected {expected[:16]}: they are no "
            f"copy of the public sample, or decoded otherwise by {decoder()} than by {PINNED_BY}"
        )


def decoder() -> str:
    """Return what decodes images here."""
    return f"Pillow {PIL.__version__} with libjpeg-turbo {features.version('libjpeg_turbo')}"


def _found() -> _Images:
    given = os.environ.get("SAFER_BENCH_DATA")
    if given and given.startswith(HUB):
        return _of_parquet(_fetched(given))
    for place, pattern in ((Path(given), "imagenet*.parquet"), (Path(given) / "imagenet", "*.parquet")) if given else ():
        if place.is_file() and place.suffix == ".parquet":
            return _of_parquet([place])
        files = sorted(place.glob(pattern)) if place.is_dir() else []
        if files:
            return _of_parquet(files)
        classes = sorted(path for path in place.iterdir() if WNID.fullmatch(path.name)) if place.is_dir() else []
        if classes:
            return _of_folder(place, classes)
    raise MissingData(
        f"ImageNet's images are not on this machine: looked in SAFER_BENCH_DATA ({given or 'not set'}) for "
        "imagenet*.parquet, imagenet/*.parquet (columns image and label), or folders n01440764 ... of images, one for each "
        "of 1,000 classes. They may not be passed on: the public sample of 1,000, or the validation set, has to be put "
        f"there by hand, or named as {ON_HUB}"
    )


def _fetched(given: str) -> list[Path]:
    """Return the Parquet files of a dataset's split ``validation``, in their order, from this machine or fetched."""
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            given.removeprefix(HUB), repo_type="dataset", allow_patterns=["validation*.parquet", "*/validation*.parquet"]
        )
    except Exception as error:  # every kind of unreachable Hub, terms that nobody accepted, no such dataset
        raise MissingData(
            f"SAFER_BENCH_DATA {given}: not on this machine and not fetched ({text_of(error):.200}); expected a dataset "
            f"such as {ON_HUB}, whose terms have to be accepted on its page"
        ) from error
    files = sorted(Path(found).rglob("validation*.parquet"))  # others may be there, fetched for something else
    if not files:
        raise MissingData(f"SAFER_BENCH_DATA {given}: no Parquet files validation*.parquet; expected those of {ON_HUB}")
    return files


def _of_parquet(files: Sequence[Path]) -> _Images:
    try:
        labels = [pq.read_table(file, columns=["label"])["label"].to_numpy() for file in files]
        where = files[0] if len(files) == 1 else files[0].parent
        return _Images(where, np.concatenate(labels).astype(np.int64), lambda rows: _of_rows(files, rows))
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise BadInput(
            f"{files[0]}: is not a Parquet file of images ({text_of(error)}); expected columns image, with bytes, and label"
        ) from error


def _of_rows(files: Sequence[Path], rows: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of rows in their order; of each group of rows that holds one, these alone are kept."""
    found: dict[int, bytes] = {}
    first = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                n_rows = file.metadata.row_group(group).num_rows
                inside = rows[(rows >= first) & (rows < first + n_rows)]
                if len(inside):
                    found |= zip(inside.tolist(), _bytes_of(file, group, inside - first, path), strict=True)
                first += n_rows
    where = files[0] if len(files) == 1 else files[0].parent
    return ((f"{where}, row {row + 1}", found.pop(row)) for row in rows.tolist())


def _bytes_of(file: pq.ParquetFile, group: int, rows: np.ndarray, path: Path) -> list[bytes]:
    try:
        column = file.read_row_group(group, columns=["image"])["image"].take(rows)
        found = [image["bytes"] for image in column.to_pylist()]
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: its images cannot be read ({text_of(error)}); expected a column image with bytes"
        ) from error
    if None in found:
        raise BadInput(f"{path}: an image without bytes; expected the image itself beside its path")
    return found


def _of_folder(folder: Path, classes: Sequence[Path]) -> _Images:
    if len(classes) != N_CLASSES:
        raise BadInput(f"{folder}: {len(classes)} folders of classes; expected {N_CLASSES}, named by WordNet ids")
    files = [
        (label, path)
        for label, of_class in enumerate(classes)
        for path in sorted(of_class.iterdir())
        if path.suffix.lower() in ENDINGS
    ]
    labels = np.array([label for label, _ in files], dtype=np.int64)
    return _Images(folder, labels, lambda rows: ((str(files[row][1]), files[row][1].read_bytes()) for row in rows.tolist()))
