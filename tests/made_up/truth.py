"""Truths and benchmarks made up for tests of what the statistics can tell."""

import numpy as np

from safer_bench.judging import CellTruth
from safer_bench.tables import schema

HALF_NOISE = 0.4  # standard error of a simulated drop in half of the draws
KINDS = {"noise": "noise", "rot_l2": "rot", "rot_linf": "rot"}


def made_up_truth(n_families, *, n_layers=12, halves=True, dataset="made", split="test", seed=0):
    """Return the tables that evaluation needs, two networks in every second family, and noisy true areas."""
    rng = np.random.default_rng(seed)
    families = {f"{split}{f}{part}": f"{split}{f}" for f in range(n_families) for part in "ab"[: 1 + f % 2]}
    networks, layers, sensitivity, cells = [], [], [], []
    for network, family in families.items():
        identity = {"network": network, "dataset": dataset, "split": split}
        networks.append({**identity, "family": family})
        shared = rng.normal(size=n_layers)
        sizes = rng.permutation(n_layers)
        for i in range(n_layers):
            facts = {"layer": f"layer{i}", "layer_index": i, "parameters": int(sizes[i]) + 1, "macs": 100 - int(sizes[i])}
            layers.append({**identity, **facts})
        for perturbation in KINDS:
            cell = {**identity, "perturbation": perturbation, "summary": "area", "level": None}
            cells.append({**cell, "ceiling_spearman": 0.9})
            values = shared + 0.3 * rng.normal(size=n_layers)
            for i, value in enumerate(values):
                noise = 0.2 * rng.normal()
                half = {"half_a": value + noise, "half_b": value - noise} if halves else {}
                sensitivity.append({**cell, "layer": f"layer{i}", "value": value, "standard_error": 0.1, **half})
    kinds = [
        {"perturbation": name, "perturbation_family": kind, "use_case": kind, "levels": [1.0, 2.0], "scale": "linear"}
        for name, kind in KINDS.items()
    ]
    tables = {
        "networks": networks,
        "layers": layers,
        "layer_sensitivity": sensitivity,
        "cells": cells,
        "perturbations": kinds,
    }
    return {name: schema.build(name, rows) for name, rows in tables.items()}


def made_up_scores(truth, noise, seed):
    """Return blind scores: the true values under the first perturbation, and noise of their own."""
    rng = np.random.default_rng(seed)
    return {
        (row["network"], row["layer"]): row["value"] + noise * rng.normal()
        for row in truth["layer_sensitivity"].to_pylist()
        if row["perturbation"] == "noise" and row["summary"] == "area"
    }


def family_values(rng, n_benchmarks, n_families, n_criteria, quality):
    """Return ``(n_benchmarks, n_criteria, n_families)`` as real boards have them: means of Spearman correlations.

    One to three networks of 10 to 50 layers a family and five perturbations; how well a criterion does differs from
    family to family, partly alike for all criteria. All criteria are equally good.
    """
    found = np.zeros((n_benchmarks, n_criteria, n_families))
    for family in range(n_families):
        n_networks = (1, 2, 1, 3)[family % 4]
        alike = rng.normal(0, 0.21, (n_benchmarks, 1, 1, 1)) + rng.normal(0, 0.21, (n_benchmarks, n_criteria, 1, 1))
        for _ in range(n_networks):
            n_layers = int(rng.integers(10, 51))
            rho = np.tanh(np.arctanh(quality) + alike + rng.normal(0, 0.1, (n_benchmarks, n_criteria, 1, 1)))
            truth = rng.normal(size=(n_benchmarks, 1, 5, n_layers)) + rng.normal(size=(n_benchmarks, 1, 1, n_layers))
            own = rng.normal(size=(n_benchmarks, n_criteria, 1, n_layers))
            scores = rho * truth.mean(2, keepdims=True) / np.sqrt(1.2) + np.sqrt(1 - rho**2) * own
            found[..., family] += _spearman(truth, scores).mean(-1) / n_networks
    return found


def family_values_of(metric, rng, n_benchmarks, n_families, quality, n_perturbations):
    """Return ``(n_benchmarks, n_families)`` values of any metric of one criterion, and their limits, two of these.

    As ``family_values``, but drops are skewed, as real ones are (a few layers lose most), and measured in two noisy halves.
    """
    found, limits = np.zeros((n_benchmarks, n_families)), np.zeros((2, n_benchmarks, n_families))
    for family in range(n_families):
        n_networks = (1, 2, 1, 3)[family % 4]
        alike = rng.normal(0, 0.3, (n_benchmarks, 1, 1))
        for _ in range(n_networks):
            n_layers = int(rng.integers(10, 51))
            rho = np.tanh(np.arctanh(quality) + alike + rng.normal(0, 0.1, (n_benchmarks, 1, 1)))
            layers = rng.normal(size=(n_benchmarks, n_perturbations, n_layers)) + rng.normal(
                size=(n_benchmarks, 1, n_layers)
            )
            known = layers.mean(1, keepdims=True) / np.sqrt(1 + 1 / n_perturbations)
            scores = rho * known + np.sqrt(1 - rho**2) * rng.normal(size=known.shape)
            half_a, half_b = (np.exp(layers) + HALF_NOISE * rng.normal(size=layers.shape) for _ in range(2))
            errors = np.full(layers.shape, HALF_NOISE / np.sqrt(2))
            truth = CellTruth((half_a + half_b) / 2, half_a, half_b, errors, rng.random((2, n_layers)))
            values = np.nan_to_num(metric(truth, np.broadcast_to(scores, layers.shape)))
            found[:, family] += values.mean(-1) / n_networks
            limits[:, :, family] += np.stack(metric.limits(truth)).mean(-1) / n_networks
    return found, limits


def _spearman(truth, scores):
    a, b = (values.argsort(-1).argsort(-1) - (values.shape[-1] - 1) / 2 for values in (truth, scores))
    return (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
