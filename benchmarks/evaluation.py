"""How long results and page take, and how much memory, for hundreds of submissions: python -m benchmarks.evaluation.

Truth and scores are made up: networks of 10 to 49 layers in 16 families, five levels and an area of each perturbation.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from safer_bench.evaluation.evaluate import evaluate
from safer_bench.evaluation.leaderboard.write import write_leaderboard
from safer_bench.tables import files, schema
from safer_bench.tables.facts import read_facts

LEVELS = (0.1, 0.3, 1.0, 3.0, 10.0)
N_FAMILIES = 16
TRUTH = ("networks", "layers", "perturbations", "layer_sensitivity", "cells")
Array = np.ndarray
Tables = dict[str, pa.Table]


def made_up_truth(n_networks: int, n_perturbations: int, rng: np.random.Generator) -> Tables:
    """Return the tables that evaluation needs: a layer's sensitivity under any perturbation is near one of its own."""
    names = [f"network{i:02d}" for i in range(n_networks)]
    kinds = [f"perturbation{i:02d}" for i in range(n_perturbations)]
    identity = {name: {"network": name, "dataset": "made_up", "split": "test"} for name in names}
    families = [{**identity[name], "family": f"family{i % N_FAMILIES:02d}"} for i, name in enumerate(names)]
    layers = [
        {**identity[name], "layer": f"blocks.{i}.conv", "layer_index": i, "parameters": int(size), "macs": int(size)}
        for name in names
        for i, size in enumerate(rng.integers(1, 10**6, rng.integers(10, 50)))
    ]
    own = rng.normal(size=len(layers))
    cells = [(kind, "area", None) for kind in kinds] + [(kind, "level", level) for kind in kinds for level in LEVELS]
    values = own + 0.5 * rng.normal(size=(len(cells), len(layers)))
    halves = values + 0.2 * rng.normal(size=(2, *values.shape))
    sensitivity = [
        {**layer, "perturbation": kind, "summary": summary, "level": level, "value": value, "standard_error": 0.1}
        | {"half_a": half_a, "half_b": half_b}
        for (kind, summary, level), *of_cell in zip(cells, values.tolist(), *halves.tolist(), strict=True)
        for layer, value, half_a, half_b in zip(layers, *of_cell, strict=True)
    ]
    perturbations = [
        {"perturbation": kind, "perturbation_family": kind, "use_case": kind, "levels": list(LEVELS), "scale": "log10"}
        for kind in kinds
    ]
    reliabilities = [
        {**identity[name], "perturbation": kind, "summary": summary, "level": level, "reliability": 0.9}
        for name in names
        for kind, summary, level in cells
    ]
    rows = (families, layers, perturbations, sensitivity, reliabilities)
    return {name: schema.build(name, of_table) for name, of_table in zip(TRUTH, rows, strict=True)}


def made_up_scores(truth: Tables, n_blind: int, n_level_aware: int, rng: np.random.Generator) -> pa.Table:
    """Return scores of criteria, all of them of nothing."""
    layers = truth["layers"].select(["network", "dataset", "split", "layer"])
    settings = [(kind, level) for kind in truth["perturbations"]["perturbation"].to_pylist() for level in LEVELS]
    parts = [_scores(layers, f"blind{i:03d}", "blind", [(None, None)], rng) for i in range(n_blind)]
    parts += [_scores(layers, f"aware{i:03d}", "level_aware", settings, rng) for i in range(n_level_aware)]
    return schema.in_order(pa.concat_tables(parts))


def _scores(
    layers: pa.Table, name: str, track: str, settings: list[tuple[str | None, float | None]], rng: np.random.Generator
) -> pa.Table:
    n_layers, fields = layers.num_rows, schema.TABLES["scores"]
    n_rows = n_layers * len(settings)
    repeated = layers.take(pa.array(np.tile(np.arange(n_layers), len(settings))))
    setting = pa.array(np.repeat(np.arange(len(settings)), n_layers))
    columns = {column: repeated[column] for column in layers.schema.names} | {
        "criterion": pa.array([name]).take(pa.array(np.zeros(n_rows, dtype=int))),
        "track": pa.array([track]).take(pa.array(np.zeros(n_rows, dtype=int))),
        "perturbation": pa.array([kind for kind, _ in settings], pa.string()).take(setting),
        "level": pa.array([level for _, level in settings], pa.float64()).take(setting),
        "score": pa.array(rng.normal(size=n_rows)),
        "spread": pa.nulls(n_rows, pa.float64()),
    }
    return pa.table([columns[field.name] for field in fields], schema=fields)


def time_evaluation(folder: Path) -> dict[str, float]:
    """Return rows of results, seconds and those of all processors until they and the page are there, and peak memory in MB.

    Args:
        folder: holds the tables of the truth and ``scores``.
    """
    truth = {name: files.read_parquet(folder / f"{name}.parquet") for name in TRUTH}
    scores = files.read_parquet(folder / "scores.parquet")
    read_facts(truth)  # whatever is imported at first use is there
    times = [(time.perf_counter(), time.process_time())]
    results = evaluate(truth, scores)
    times.append((time.perf_counter(), time.process_time()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    write_leaderboard(folder / "board", results, truth, scores=scores)
    times.append((time.perf_counter(), time.process_time()))
    taken = np.diff(times, axis=0)
    return {
        "rows": results.num_rows,
        **dict(zip(("seconds", "processor"), taken[0].tolist(), strict=True)),
        **dict(zip(("page_seconds", "page_processor"), taken[1].tolist(), strict=True)),
        "MB": peak,
        "page_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    """Make truth and scores up, and evaluate them in a process of its own, so that its memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"blind": 200, "level-aware": 20, "networks": 30, "perturbations": 22}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(time_evaluation(options.inside)))
        return
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        truth = made_up_truth(options.networks, options.perturbations, rng)
        scores = made_up_scores(truth, options.blind, options.level_aware, rng)
        for name, table in {**truth, "scores": scores}.items():
            files.write_bytes(Path(folder) / f"{name}.parquet", files.parquet_bytes(table))
        words = [sys.executable, "-m", "benchmarks.evaluation", "--inside", folder]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  this program
        used = json.loads(done.stdout)
    print(f"{used['rows']:,} rows")
    for what, prefix in {"results": "", "the page": "page_"}.items():
        seconds, processor, memory = (used[f"{prefix}{unit}"] for unit in ("seconds", "processor", "MB"))
        print(f"{what}: {seconds:.1f} s, {processor:.1f} s of processors, peak memory until then {memory:,.0f} MB")


if __name__ == "__main__":
    main()
