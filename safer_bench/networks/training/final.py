"""The final accuracy of each network on all test examples: measured once, kept beside the weights, never a decision."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from safer_bench.networks import weights
from safer_bench.networks.data.parts import load_part
from safer_bench.networks.training.train import accuracy
from safer_bench.networks.zoo_network import ZooNetwork
from safer_bench.tables import files
from safer_bench.tables.accuracies import FILE, read_accuracies


def final_accuracies(folder: Path, entries: Sequence[ZooNetwork]) -> dict[str, dict[str, Any]]:
    """Return ``n_correct``, ``n_examples`` and the weights' ``weights_sha256`` of each network; of text ``n_answers`` too.

    What ``test_accuracy.json`` in ``folder`` holds for the very weights that lie there is not measured again.

    Raises:
        MissingData: a network has no accuracy yet, and the examples are not on this machine.
        BadInput: its weights are damaged or belong to another recipe, or the file of accuracies is damaged.
    """
    path = folder / FILE
    known, accuracies = read_accuracies(path) if path.is_file() else {}, {}
    for entry in entries:
        digest = files.sha256_of((folder / f"{entry.name}.safetensors").read_bytes())
        kept = known.get(entry.name, {})
        accuracies[entry.name] = (
            kept if kept.get("weights_sha256") == digest else _measured(entry, folder) | {"weights_sha256": digest}
        )
    if accuracies != known:
        files.write_text(path, json.dumps(accuracies, indent=1, sort_keys=True) + "\n")
    return accuracies


def _measured(entry: ZooNetwork, folder: Path) -> dict[str, Any]:
    """Count in float64, in which no two machines differ on a network of this size."""
    path = folder / f"{entry.name}.safetensors"
    model = weights.load_weights_file(path, entry.build(), entry.recipe.sha256 if entry.recipe else None).double()
    evaluation, budget = (load_part(entry.dataset, part) for part in ("evaluation", "budget"))
    inputs, labels = (torch.cat(pair) for pair in zip(evaluation, budget, strict=True))
    share = accuracy(model, (inputs.double() if inputs.is_floating_point() else inputs, labels), entry.class_axis)
    found = {"n_correct": round(share * labels.numel()), "n_examples": len(labels)}
    return found | ({"n_answers": labels.numel()} if labels.ndim > 1 else {})
