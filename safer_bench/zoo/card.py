"""The zoo's model card and the published indices of the dataset parts, written beside the weights."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from safer_bench import files
from safer_bench.zoo import zoo_networks
from safer_bench.zoo.data import SOURCES, part_indices
from safer_bench.zoo.entry import ZooNetwork
from safer_bench.zoo.weights import n_parameters

HEAD = """---
license: apache-2.0
library_name: safer-bench
tags: [image-classification, fashion-mnist, layer-sensitivity]
datasets: [zalando-datasets/fashion_mnist]
---

# safer-bench zoo

Small networks trained on Fashion-MNIST, whose layers safer-bench perturbs one at a time. Plain torch modules:
`safer_bench/zoo/` holds their definitions, `safer-bench train NAME` repeats a training, `safer_bench.load_network(NAME)`
loads one with its images.

Training used the `fit` part alone (55,000 images). Accuracy is that on `tune` (2,500 images), on which recipes were chosen;
final accuracies on test images are in the `networks` table of the safer-bench dataset. `parts.json` holds the indices of
`tune` and `probe` among the 60,000 training images (`fit` is the rest); test images 0 to 7,499 give the truth, the others
the budgets.
Intended use: measuring sensitivity of layers, not classifying clothes.

| network | family | split | parameters | epochs | accuracy on tune | training (s) | recipe | weights SHA-256 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def write_card(folder: Path) -> None:
    """Write README.md and parts.json into the folder of the zoo's weights; both follow from what lies there and the code."""
    entries = [entry for entry in zoo_networks().values() if (folder / f"{entry.name}.safetensors").is_file()]
    files.write_text(folder / "README.md", HEAD + "".join(_row(entry, folder) for entry in entries))
    parts = {dataset: {part: found.tolist() for part, found in part_indices(dataset).items()} for dataset in SOURCES}
    for part in ("fit", "evaluation", "budget"):  # fit is the rest of the training images, the others are ranges
        parts["fashion_mnist"].pop(part)
    files.write_text(folder / "parts.json", json.dumps(parts) + "\n")


def _row(entry: ZooNetwork, folder: Path) -> str:
    path = folder / f"{entry.name}.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
    log: list[dict[str, Any]] = json.loads(metadata["log"])
    cells = (
        entry.name,
        entry.family,
        entry.split,
        n_parameters(entry.build()),
        len(log),
        f"{100 * log[-1]['accuracy']:.2f} %",
        f"{log[-1]['seconds']:.0f}",
        f"`{metadata['recipe_sha256'][:16]}`",
        f"`{files.sha256_of(path.read_bytes())[:16]}`",
    )
    return f"| {' | '.join(map(str, cells))} |\n"
