"""Photographs made up for tests of reading ImageNet: JPEGs of coloured noise, and a pickle of weights."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def jpeg(number: int, width: int = 20, height: int = 16, mode: str = "RGB") -> bytes:
    """Return the bytes of a JPEG that is like no other."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).convert(mode).save(data, "JPEG", quality=95)
    return data.getvalue()


def write_parquet(path: Path, images: list[bytes | None], labels: list[int], row_group_size: int = 100) -> Path:
    """Write images as a Parquet file of ``datasets`` holds them."""
    column = pa.array([{"bytes": data, "path": f"{i}.jpg"} for i, data in enumerate(images)],
                      pa.struct({"bytes": pa.binary(), "path": pa.string()}))  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": column, "label": pa.array(labels, pa.int64())}), path, row_group_size=row_group_size)
    return path


def write_folder(folder: Path, images: list[bytes], labels: list[int], n_classes: int = 1000) -> Path:
    """Write images into a folder a class."""
    for label in range(n_classes):
        (folder / f"n{label:08}").mkdir(parents=True)
    for i, (data, label) in enumerate(zip(images, labels, strict=True)):
        (folder / f"n{label:08}" / f"{i:05}.JPEG").write_bytes(data)
    return folder
