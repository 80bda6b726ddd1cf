"""Truths of Fashion-MNIST's test networks that are made up so that a finding has a known answer."""

import numpy as np
from scipy.stats import spearmanr

from safer_bench.tables import schema

N_LAYERS, CLEAN, CHANCE = 12, 0.9, 0.1
LEVELS = (0.1, 0.3, 1.0)
NETWORK = {"dataset": "fashion_mnist", "split": "test"}


def damaged(areas, use_cases, *, n_families=8, levels=None, noise=0.1, seed=0):
    """Return the tables that findings read: one network a family, layers of 1 to 12 weights in random order.

    Args:
        areas: of each perturbation, a function of the layers' sizes from 0 (the smallest) to 1; drops rise to twice the area.
        use_cases: of each perturbation.
        n_families: how many.
        levels: of each perturbation, where not ``LEVELS``.
        noise: standard deviation of each half of the areas.
        seed: of sizes and noise.
    """
    rng = np.random.default_rng(seed)
    rows = {name: [] for name in ("networks", "layers", "layer_sensitivity", "cells")}
    levels = dict.fromkeys(areas, LEVELS) | (levels or {})
    for family in range(n_families):
        network = {**NETWORK, "network": f"network{family}"}
        counts = {"n_answers": 1000, "clean_correct": int(1000 * CLEAN), "chance_accuracy": CHANCE}
        rows["networks"].append({**network, "family": f"family{family}", "kind": "", **counts})
        sizes = rng.permutation(N_LAYERS)
        rows["layers"] += [
            {**network, "layer": f"layer{i:02}", "layer_index": i, "parameters": int(size) + 1, "macs": 1}
            for i, size in enumerate(sizes)
        ]
        for name, area in areas.items():
            halves = area(sizes / (N_LAYERS - 1)) + noise * rng.normal(size=(2, N_LAYERS))
            _add(rows, {**network, "perturbation": name}, halves, levels[name])
    kinds = [
        {"perturbation": name, "use_case": use_cases[name], "levels": list(levels[name]), "scale": "log10"} for name in areas
    ]
    tables = {**rows, "perturbations": kinds, "scores": []}
    return {name: schema.build(name, of_table) for name, of_table in tables.items()}


def _add(rows, cell, halves, levels):
    values = halves.mean(0)
    agreement = max(0.0, float(spearmanr(*halves).statistic))
    reliability = 2.0 * agreement / (1.0 + agreement)
    known = {"reliability": reliability, "ceiling_spearman": reliability**0.5}
    rows["cells"].append({**cell, "summary": "area", "level": None, **known})
    for i, (value, half_a, half_b) in enumerate(zip(values, *halves, strict=True)):
        layer = {**cell, "layer": f"layer{i:02}", "standard_error": 0.01}
        rows["layer_sensitivity"].append({**layer, "summary": "area", "value": value, "half_a": half_a, "half_b": half_b})
        for place, level in enumerate(levels):
            drop = 2.0 * (CLEAN - CHANCE) * value * place / (len(levels) - 1)
            rows["layer_sensitivity"].append({**layer, "summary": "level", "level": level, "value": drop})
    rows["cells"] += [{**cell, "summary": "level", "level": level, **known} for level in levels]
