"""The images that judge a budget: none of those that the truth was measured on."""

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from safer_bench.errors import BadInput
from safer_bench.networks.data.parts import load_part, part_indices
from safer_bench.networks.examples import checked_examples
from safer_bench.networks.folding import unfolded
from safer_bench.networks.loading import zoo_networks
from safer_bench.networks.network import Examples, Network
from safer_bench.registry import suggestion
from safer_bench.tables.columns import FOLDED

FEWEST = 50


def budget_network(network: Network, perturbation: str, truth: Mapping[str, pa.Table]) -> Network:
    """Return a network with other evaluation examples: those by which budgets are judged.

    A dataset with a part ``budget`` gives that (Fashion-MNIST: test images 7,500 to 9,999). Others give the evaluation
    examples that no row of the truth saw of this network under this perturbation, which is the one that guides.

    Args:
        network: as the truth measured it.
        perturbation: what its layers will get.
        truth: tables ``networks`` and ``layer_drops``.

    Raises:
        BadInput: the truth lacks the network or knows other weights or images of it, or saw (nearly) all its examples.
        MissingData: the images are not on this machine.
    """
    check_known(network, truth)
    if has_budget_part(network):
        return own_examples(network)
    unseen = ~_seen(network, perturbation, truth["layer_drops"])
    if unseen.sum() < FEWEST:
        raise BadInput(
            f"network {network.name!r}: {int(unseen.sum())} of its {len(unseen)} evaluation examples were left out of the "
            f"truth of {perturbation}, expected {FEWEST} or more to judge a budget by; measure that truth with fewer: "
            "--deterministic-examples, or draws x --examples, below the number of examples"
        )
    return _with_examples(network, (network.inputs[torch.from_numpy(unseen)], network.labels[torch.from_numpy(unseen)]))


def check_known(network: Network, truth: Mapping[str, pa.Table]) -> None:
    """Refuse a network that is not the truth's.

    Raises:
        BadInput: the truth lacks it, or knows other weights or images of it.
    """
    known = {row["network"]: row for row in truth["networks"].select(["network", *DIGESTS]).to_pylist()}
    if network.name not in known:
        is_folded = network.name != unfolded(network.name)
        other = unfolded(network.name) if is_folded else network.name + FOLDED
        if other in known:
            step = "leave out --fold, or measure with it" if is_folded else "give --fold"
            raise BadInput(f"network {other!r} was measured, and not {network.name!r}; {step}")
        raise BadInput(f"network {network.name!r} was not measured.{suggestion(network.name, known)} Those that were: "
                       f"{', '.join(known)}; for others: safer-bench measure")  # fmt: skip
    _check_same(network, known[network.name])


DIGESTS = ("weights_sha256", "inputs_sha256")


def own_examples(network: Network) -> Network:
    """Return a network with the examples of its dataset's part ``budget``, or as it is where there is no such part.

    Raises:
        MissingData: the images are not on this machine.
    """
    if not has_budget_part(network):
        return network
    return _with_examples(network, checked_examples(*load_part(network.dataset, "budget"), f"{network.name}, budget"))


def seen_examples(network: Network, perturbation: str, truth: Mapping[str, pa.Table], most: int) -> Network:
    """Return a network with the first ``most`` evaluation examples that the truth saw of it under this perturbation.

    Raises:
        BadInput: there is none.
    """
    seen = np.flatnonzero(_seen(network, perturbation, truth["layer_drops"]))[:most]
    if not len(seen):
        raise BadInput(f"network {network.name!r}: the truth has no probes of {perturbation}; measure it")
    chosen = torch.from_numpy(seen)
    return _with_examples(network, (network.inputs[chosen], network.labels[chosen]))


def some_examples(network: Network, start: int, n: int) -> Network:
    """Return a network with n of its evaluation examples, from ``start`` on."""
    return _with_examples(network, network.examples(start, n))


def calibration_examples(network: Network, most: int) -> Network:
    """Return a network with its first ``most`` calibration examples in place of its evaluation examples.

    Raises:
        BadInput: it has none.
    """
    inputs, labels = network.calibration
    return _with_examples(network, (inputs[:most], labels[:most]))


def has_budget_part(network: Network) -> bool:
    """Tell whether a network's dataset has examples for budgets alone."""
    entry = zoo_networks().get(unfolded(network.name))
    return (
        entry is not None
        and entry.role != "foreign"
        and entry.dataset == network.dataset
        and "budget" in part_indices(network.dataset)
    )


def _check_same(network: Network, row: Mapping[str, Any]) -> None:
    for name in DIGESTS:
        if row[name] != getattr(network, name):
            what = "weights" if name == "weights_sha256" else "images"
            raise BadInput(
                f"network {network.name!r}: its {what} ({getattr(network, name)[:16]}) are not those of the truth "
                f"({row[name][:16]}); name the truth of this network, or measure it"
            )


def _seen(network: Network, perturbation: str, drops: pa.Table) -> np.ndarray:
    seen = np.zeros(len(network.labels), dtype=bool)
    wanted = (pc.field("network") == network.name) & (pc.field("perturbation") == perturbation)
    places = drops.filter(wanted).select(["example_start", "n_examples"])
    for row in places.group_by(["example_start", "n_examples"]).aggregate([]).to_pylist():
        seen[row["example_start"] : row["example_start"] + row["n_examples"]] = True
    return seen


def _with_examples(network: Network, examples: Examples) -> Network:
    other = copy(network)
    other.evaluation = examples
    other.__dict__.pop("inputs_sha256", None)  # kept of the other examples
    return other
