"""Truths of networks that are named and related as a test wants, with scores of criteria and what they cost."""

import numpy as np

from safer_bench.tables import schema

LAYERS = tuple(f"blocks.{i}.fc" for i in range(12))


def network(name, family=None, *, kind="", dataset="fashion_mnist", split="test", layers=LAYERS):
    """Return what a network is."""
    facts = {"network": name, "family": family or name, "kind": kind, "dataset": dataset, "split": split}
    return {**facts, "layers": layers}


def families(n, **facts):
    """Return test networks of n families, and as many of validation."""
    return [network(f"{split}{i}", split=split, **facts) for split in ("test", "validation") for i in range(n)]


def zoo_truth(networks, areas, use_cases, *, scores=None, costs=None, reliability=0.9):
    """Return the tables that findings read.

    Args:
        networks: of ``network``.
        areas: a function of (network, perturbation): areas ``(n_layers,)``.
        use_cases: of each perturbation.
        scores: ``{(criterion, track): function of (network, perturbation): scores (n_layers,)}``.
        costs: forward passes of criteria.
        reliability: of every area.
    """
    rows = {name: [] for name in ("networks", "layers", "layer_sensitivity", "cells", "scores", "costs")}
    for facts in networks:
        identity = {key: facts[key] for key in ("network", "dataset", "split")}
        of_layers = [{**identity, "layer": layer} for layer in facts["layers"]]
        counts = {"n_answers": 1000, "clean_correct": 900, "chance_accuracy": 0.1}
        rows["networks"].append({**identity, "family": facts["family"], "kind": facts["kind"], **counts})
        rows["layers"] += [{**row, "layer_index": i, "parameters": 10, "macs": 10} for i, row in enumerate(of_layers)]
        for perturbation in use_cases:
            cell = {"perturbation": perturbation, "summary": "area"}
            rows["cells"].append({**identity, **cell, "reliability": reliability, "ceiling_spearman": reliability**0.5})
            values = areas(facts["network"], perturbation)
            halves = [{"value": value, "half_a": value, "half_b": value, "standard_error": 0.01} for value in values]
            rows["layer_sensitivity"] += [{**row, **cell, **half} for row, half in zip(of_layers, halves, strict=True)]
        for (criterion, track), score in (scores or {}).items():
            for perturbation in (None,) if track == "blind" else use_cases:
                about = {"criterion": criterion, "track": track, "perturbation": perturbation}
                numbers = score(facts["network"], perturbation or next(iter(use_cases)))
                rows["scores"] += [{**row, **about, "score": each} for row, each in zip(of_layers, numbers, strict=True)]
        for criterion, passes in (costs or {}).items():
            rows["costs"].append(
                {**identity, "criterion": criterion, "seconds": passes / 1e3, "forward_equivalents": passes}
            )
    perturbations = [
        {"perturbation": name, "use_case": use_case, "levels": [0.1, 1.0], "scale": "log10"}
        for name, use_case in use_cases.items()
    ]
    tables = {**rows, "perturbations": perturbations}
    return {name: schema.build(name, of_table) for name, of_table in tables.items()}


def own_order(name, perturbation=""):
    """Return numbers of a layer that are a network's own, ``(12,)``, the same whenever they are asked for."""
    return np.random.default_rng([ord(char) for char in name + perturbation]).permutation(12) / 12.0


def noisy(name, size, seed):
    """Return a network's own numbers with noise of that size."""
    return own_order(name) + size * own_order(name, f"noise {seed}")
