"""The zoo's model card and the published indices of the dataset parts, written beside the weights."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from scipy.stats import binomtest

from safer_bench.networks.data import text
from safer_bench.networks.data.parts import SOURCES, part_indices
from safer_bench.networks.loading import zoo_networks
from safer_bench.networks.training.final import final_accuracies
from safer_bench.networks.weights import n_parameters
from safer_bench.networks.zoo_network import ZooNetwork
from safer_bench.tables.together import write_together

# What parts.json, which is published and keeps its bytes, and the text below call a part of another name here.
PUBLISHED = {"calibration": "probe"}

HEAD = """---
license: apache-2.0
library_name: safer-bench
tags: [image-classification, fashion-mnist, text-generation, layer-sensitivity]
datasets: [zalando-datasets/fashion_mnist]
---

# safer-bench zoo

These are small networks trained on Fashion-MNIST, and small language models of bytes. safer-bench perturbs their layers one
at a time. They are plain torch modules, defined in `safer_bench/networks/zoo/`. `safer-bench train NAME` repeats a training,
`safer_bench.load_network(NAME)` loads one with its examples. Training times are the clock's, beside other work on the
machine. Intended use: measuring sensitivity of layers, neither classifying clothes nor writing.
"""

FASHION_MNIST = """
## Fashion-MNIST

Training used the `fit` part alone (55,000 images). The tables give two accuracies. By that on `tune` (2,500 images) recipes
were chosen. That on all 10,000 test images, with its 95 % Wilson interval, was measured once and decided nothing
(`test_accuracy.json` holds the counts). `parts.json` holds the indices of `tune` and of `probe`, the calibration examples,
among the 60,000 training images; `fit` is the rest. Test images 0 to 7,499 give the truth, the others the budgets.
"""

TEXT = f"""
## Text

Causal language models that read the King James Version (public domain) byte by byte. An example is a sequence of
{text.LENGTH} bytes of one chapter, an answer the byte that comes next at one of its positions. `parts.json` holds the
numbers of each part's chapters, counted from 0 in the order of the books. Training used `fit` alone. Recipes were chosen on
`tune`. The test is all sequences of `evaluation` and `budget`. It was measured once and decided nothing. It has no interval,
as the answers of one sequence depend on each other. To compare: the byte that most often follows the two before it in `fit`
is right on 48.6 % of `tune`.
"""

TWINS = """
## Twins

These are small networks that are trained to withstand corrupted weights (Sun et al. 2021, arXiv 2006.05620), and their
controls of the same seed. They show what the training is worth, and are on no board. `resistant` mixes the loss at the
weights with that at the batch's worst case, `random` with that at random directions of the same norm. `plain` has as many
epochs, `long` as many gradients.
"""

HEADER = """
| network | family | split | parameters | epochs | on tune | on test (95 %) | training (s) | recipe | SHA-256 of the file |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

SECTIONS = {("fashion_mnist", "zoo"): FASHION_MNIST, ("text", "zoo"): TEXT, ("fashion_mnist", "twin"): TWINS}


def write_card(folder: Path) -> None:
    """Write README.md and parts.json into the folder of the zoo's weights; both follow from what lies there and the code.

    Raises:
        MissingData: a network's final accuracy is yet to be measured, and the examples are not on this machine.
        BadInput: its weights are damaged or belong to another recipe.
    """
    known = [entry for entry in zoo_networks().values() if (entry.dataset, entry.role) in SECTIONS]
    entries = [entry for entry in known if (folder / f"{entry.name}.safetensors").is_file()]
    accuracies = final_accuracies(folder, entries)
    card = HEAD
    for (dataset, role), words in SECTIONS.items():
        rows = [_row(entry, folder, accuracies) for entry in entries if (entry.dataset, entry.role) == (dataset, role)]
        header = HEADER.replace(" (95 %)", "") if dataset == "text" else HEADER
        card += words + header + "".join(rows) if rows else ""
    parts = json.dumps({dataset: _published_parts(dataset) for dataset in SOURCES}) + "\n"
    write_together(folder, {"README.md": card.encode(), "parts.json": parts.encode()})


def _published_parts(dataset: str) -> dict[str, list[int]]:
    """Return the indices of a dataset's parts by their published names."""
    parts = {PUBLISHED.get(part, part): indices.tolist() for part, indices in part_indices(dataset).items()}
    if dataset == "fashion_mnist":
        for part in ("fit", "evaluation", "budget"):  # fit is the rest of the training images, the others are ranges
            parts.pop(part)
    return parts


def _row(entry: ZooNetwork, folder: Path, accuracies: dict[str, dict[str, Any]]) -> str:
    with safe_open(folder / f"{entry.name}.safetensors", framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
    log: list[dict[str, Any]] = json.loads(metadata["log"])
    final = accuracies[entry.name]
    cells = (
        entry.name,
        entry.family,
        entry.split,
        n_parameters(entry.build()),
        len(log),
        f"{100 * log[-1]['accuracy']:.2f} %",
        _share(final),
        f"{log[-1]['seconds']:.0f}",
        f"`{metadata['recipe_sha256'][:16]}`",
        f"`{final['weights_sha256'][:16]}`",
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def _share(final: dict[str, Any]) -> str:
    """Return the share of right answers, with its interval where each is an example of its own."""
    if "n_answers" in final:
        return f"{100 * final['n_correct'] / final['n_answers']:.2f} %"
    low, high = binomtest(final["n_correct"], final["n_examples"]).proportion_ci(method="wilson")
    return f"{100 * final['n_correct'] / final['n_examples']:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
