"""How long `pack` takes, and how much memory, for a truth of millions of rows: python -m benchmarks.large_truth --out DIR.

The rows are made up; their counts and flips fit together, and the run folder is one that `measure` could have written.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from safer_bench.tables import files, schema
from safer_bench.truth.run_folder import PART, RunFolder, Unit

LEVELS = (0.1, 0.2, 0.4, 0.8, 1.6)
SLICE = 500  # examples a probe
Array = np.ndarray


def build(out: Path, *, n_networks: int, n_layers: int, n_perturbations: int, n_draws: int, n_slices: int) -> int:
    """Write a finished run folder and return its number of probes."""
    rng = np.random.default_rng(0)
    networks = {f"network{i:03d}": rng.random(n_slices * SLICE) < 0.9 for i in range(n_networks)}
    kinds = [f"perturbation{i:02d}" for i in range(n_perturbations)]
    folder = RunFolder(files.make_folder(out))
    slices = {name: [[start * SLICE, SLICE] for start in range(n_slices)] for name in networks}
    request = {"seed": 0, "slices": slices, "draws": n_draws, "first_draw": 0, "examples": SLICE, "sources": {}}
    request |= {"networks": {name: {"weights": "0" * 64, "inputs": "0" * 64} for name in networks}}
    request |= {"perturbations": {kind: list(LEVELS) for kind in kinds}}
    folder.open(request, lambda: _tables(networks, kinds, n_layers))
    units = folder.units()
    draws = np.arange(n_draws)
    for unit in units:
        clean = networks[unit.network][unit.example_start : unit.example_start + SLICE]
        folder.write(unit, _part(unit, clean, kinds, draws[draws % n_slices == unit.example_start // SLICE], rng))
    return n_networks * n_layers * n_perturbations * len(LEVELS) * n_draws


def _identity(name: str) -> dict[str, str]:
    return {"network": name, "dataset": "made_up", "split": "test" if int(name[-3:]) % 3 else "validation"}


def _tables(networks: dict[str, Array], kinds: list[str], n_layers: int) -> dict[str, pa.Table]:
    digest = {"weights_sha256": "0" * 64, "inputs_sha256": "0" * 64, "licence": "none", "source": "made up"}
    rows = {
        "networks": [
            {**_identity(name), **digest, "family": name[-3:], "n_layers": n_layers, "parameters": 1}
            | {"macs": sum(range(n_layers + 1))}
            | {"n_examples": len(right), "n_answers": len(right), "clean_correct": int(right.sum()), "chance_accuracy": 0.1}
            | {"clean_outcomes": np.packbits(right).tobytes()}
            for name, right in networks.items()
        ],
        "layers": [
            {**_identity(name), "layer": f"blocks.{i}.conv", "layer_index": i, "kind": "Conv2d", "weight_shape": "1x1"}
            | {"output_axis": 0, "fan_in": 1, "parameters": i + 1, "macs": i + 1}
            for name in networks
            for i in range(n_layers)
        ],
        "perturbations": [
            {"perturbation": kind, "perturbation_family": kind, "use_case": kind, "levels": list(LEVELS), "scale": "log10"}
            | {"direction": "increasing", "unit": "", "deterministic": False, "formula": "", "source": ""}
            for kind in kinds
        ],
    }
    return {name: schema.build(name, found) for name, found in rows.items()}


def _part(unit: Unit, clean: Array, kinds: list[str], draws: Array, rng: np.random.Generator) -> bytes:
    """Return the part of one layer: the worse the level and the deeper the layer, the more answers flip."""
    kind, level, draw = (grid.ravel() for grid in np.meshgrid(range(len(kinds)), range(len(LEVELS)), draws, indexing="ij"))
    rate = 0.02 * (level + 1) * (1 + unit.layer_index % 10) / 10
    where = rng.integers(0, SLICE, (len(kind), 64))  # at most so many examples flip
    flips = np.zeros((len(kind), SLICE), dtype=bool)
    flipped = rng.random(where.shape) < (rate * SLICE / 64)[:, None]
    flips[np.nonzero(flipped)[0], where[flipped]] = True
    broken, fixed = (flips & clean).sum(1), (flips & ~clean).sum(1)
    hexes = rng.integers(0, 1 << 32, (len(kind), 2))
    constant = {**_identity(unit.network), "layer": f"blocks.{unit.layer_index}.conv", "layer_index": unit.layer_index}
    constant |= {"example_start": unit.example_start, "n_examples": SLICE, "n_answers": SLICE}
    constant |= {"correct_clean": int(clean.sum())}
    columns = {name: [value] * len(kind) for name, value in constant.items()} | {
        "perturbation": np.array(kinds)[kind],
        "level": np.array(LEVELS)[level],
        "draw": draw,
        "broken": broken,
        "fixed": fixed,
        "predictions_changed": broken + fixed,
        "changed_entries": np.ones(len(kind), dtype=int),
        "weight_digest": [f"{a:08x}{b:08x}" for a, b in hexes],
        "accuracy_drop": (broken - fixed) / SLICE,
        "loss_increase": (broken - fixed) / SLICE,
        "flips": [row.tobytes() for row in np.packbits(flips, axis=1)],
    }
    return files.parquet_bytes(pa.table({name: columns[name] for name in PART.names}, schema=PART))


def time_pack(run: Path, out: Path) -> dict[str, float]:
    """Pack a run folder; return seconds, those of all processors, and the peak memory in GB: this process and its workers.

    Args:
        run: the run folder.
        out: the tree's folder.
    """
    from safer_bench.dataset.pack import pack

    started = time.perf_counter()
    pack([run], [], out)
    seconds = time.perf_counter() - started
    own, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    processor = sum(usage.ru_utime + usage.ru_stime for usage in (own, workers))
    return {"seconds": seconds, "processor": processor, "GB": own.ru_maxrss / 1e6, "worker_GB": workers.ru_maxrss / 1e6}


def main() -> None:
    """Build the run folder where it is not there, and pack it in a process of its own, so that its memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    for name, default in {"networks": 50, "layers": 50, "perturbations": 20, "draws": 20, "slices": 4}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(time_pack(options.out / "run", options.out / "tree")))
        return
    if not (options.out / "built").is_file():
        sizes = {f"n_{name}": getattr(options, name) for name in ("networks", "layers", "perturbations", "draws", "slices")}
        print(build(options.out / "run", **sizes), "probes")
        (options.out / "built").touch()
    words = [sys.executable, "-m", "benchmarks.large_truth", "--inside", "--out", str(options.out)]
    usage = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)  # noqa: S603  this program
    print(
        f"{usage['seconds']:.1f} s, {usage['processor']:.1f} s of processors; peak memory {usage['GB']:.2f} GB, "
        f"of each worker {usage['worker_GB']:.2f} GB"
    )


if __name__ == "__main__":
    main()
