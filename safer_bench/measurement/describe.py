"""Rows of the tables networks, layers and perturbations, and the request that a run folder keeps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.measurement.design import Design, Draws, Protocol, Shard
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.identity import clean_answers, files_of_network, files_of_perturbation, source_of
from safer_bench.networks.examples import counted, largest_class
from safer_bench.networks.network import Network
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.tables import schema
from safer_bench.truth.answers import begins, told

Array = np.ndarray


def request(networks: Sequence[Network], protocol: Protocol, designs: Mapping[str, Design]) -> dict[str, Any]:
    """Return what identifies a run: two runs with equal requests measure the same integers.

    Args:
        networks: that are measured.
        protocol: what is measured of each.
        designs: of the networks, by name.
    """
    digests = {item.name: {"weights": item.weights_sha256, "inputs": item.inputs_sha256} for item in networks}
    levels = {entry.name: list(chosen) for entry, chosen in protocol.perturbations}
    files = {
        "networks": {item.name: files_of_network(item) for item in networks},
        "perturbations": {entry.name: files_of_perturbation(entry) for entry, _ in protocol.perturbations},
    }
    return {
        "networks": digests,
        "perturbations": levels,
        "draws": _draws(networks, protocol),
        "first_draw": protocol.first_draw,
        **_examples(protocol),
        "slices": {name: design.slices for name, design in designs.items()},
        "seed": protocol.seed,
        "sources": {
            entry.name: source_of(entry) for entry, _ in protocol.perturbations if files["perturbations"][entry.name]
        },
        "files": files,
        "clean": {item.name: clean_answers(item) for item in networks},
    }


def _draws(networks: Sequence[Network], protocol: Protocol) -> Draws:
    """Return one number where all random perturbations have as many draws, else that of each level."""
    if protocol.draws is not None:
        return protocol.draws
    of_each = {
        entry.name: [1 if entry.deterministic else len(protocol.draws_of("", entry, level)) for level in levels]
        for entry, levels in protocol.perturbations
    }
    of_random = {of_each[entry.name][0] for entry, _ in protocol.perturbations if not entry.deterministic}
    if len(of_random) < 2:
        return next(iter(of_random), 1)
    return {network.name: {name: draws for name, draws in of_each.items() if draws[0]} for network in networks}


def _examples(protocol: Protocol) -> dict[str, int | None]:
    """Return how many examples a probe sees, the first number where one is enough; None for all."""
    random, deterministic = protocol.n_examples, protocol.deterministic_examples
    kinds = {entry.deterministic for entry, _ in protocol.perturbations}
    if len(kinds) == 1 or random == deterministic:
        return {"examples": deterministic if kinds == {True} else random}
    return {"examples": random, "deterministic_examples": deterministic}


def tables(networks: Sequence[Network], protocol: Protocol, clean: Callable[[Network], Array]) -> dict[str, pa.Table]:
    """Return the tables networks, layers and perturbations of a run.

    Args:
        networks: to describe.
        protocol: whose perturbations are described.
        clean: gives which answers of a network are right, ``(n_answers,)``; ``correct`` does.
    """
    layers = [row for network in networks for row in layer_rows(network)]
    perturbations = [perturbation_row(entry, levels) for entry, levels in protocol.perturbations]
    return {
        "networks": schema.build("networks", [network_row(network, clean(network)) for network in networks]),
        "layers": schema.build("layers", layers),
        "perturbations": schema.build("perturbations", perturbations),
    }


def correct(engine: Engine, shard: Shard | None = None) -> Array:
    """Return which of the unperturbed network's answers are right, example by example ``(n_answers,)``.

    A shard looks at its share of the examples alone and says no of the others: ``pack`` joins the shares.
    """
    labels, begin = engine.network.labels, begins(engine.network.n_answers.numpy())
    first, last = (0, len(labels)) if shard is None else shard.stretch(len(labels))
    right = np.zeros(begin[-1], dtype=bool)
    if last > first:
        right[begin[first] : begin[last]] = engine.clean(first, last - first).predictions == counted(labels[first:last])
    return right


def network_row(network: Network, right: Array) -> dict[str, Any]:
    """Return a network's row, with which of its answers are right ``(n_answers,)``."""
    return {
        "network": network.name,
        "dataset": network.dataset,
        "family": network.family,
        "kind": network.kind,
        "split": network.split,
        "n_layers": len(network.layers),
        "parameters": sum(parameter.numel() for parameter in network.model.parameters()),
        "macs": sum(layer.macs for layer in network.layers),
        "n_examples": len(network.labels),
        **told(network.n_answers.numpy()),
        "clean_correct": int(np.count_nonzero(right)),
        "chance_accuracy": largest_class(network.labels),
        "clean_outcomes": np.packbits(right).tobytes(),
        "weights_sha256": network.weights_sha256,
        "inputs_sha256": network.inputs_sha256,
        "licence": network.licence,
        "source": network.source,
    }


def layer_rows(network: Network) -> list[dict[str, Any]]:
    """Return one row a layer."""
    return [
        {
            "network": network.name,
            "dataset": network.dataset,
            "split": network.split,
            "layer": layer.name,
            "layer_index": layer.index,
            "kind": layer.kind,
            "weight_shape": "x".join(map(str, layer.shape)),
            "output_axis": layer.output_axis,
            "fan_in": layer.fan_in,
            "parameters": layer.parameters,
            "macs": layer.macs,
        }
        for layer in network.layers
    ]


def perturbation_row(entry: Perturbation, levels: tuple[float, ...]) -> dict[str, Any]:
    """Return a perturbation's row with the levels that were measured."""
    return {
        "perturbation": entry.name,
        "perturbation_family": entry.family,
        "use_case": entry.use_case or None,
        "levels": list(levels),
        "scale": entry.scale,
        "direction": entry.direction,
        "unit": entry.unit,
        "deterministic": entry.deterministic,
        "formula": entry.formula,
        "source": entry.source,
    }
