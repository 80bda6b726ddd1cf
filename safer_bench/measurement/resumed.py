"""Does a perturbation of a user's file still do what it did when the run began? A part that is there tells."""

from collections.abc import Mapping
from pathlib import Path

from safer_bench.errors import BadInput
from safer_bench.measurement.design import Design
from safer_bench.measurement.rows import Weights
from safer_bench.tables import files
from safer_bench.truth.request import RESTORE
from safer_bench.truth.run_folder import RunFolder, Unit


def check_same_perturbations(run: RunFolder, parts: Mapping[Unit, Path], designs: Mapping[str, Design], seed: int) -> None:
    """Refuse to go on where a perturbation of a user's file gives other weights than in a part, by equal files.

    It may read data or the environment, or import by a computed name: its files do not tell.

    Args:
        run: the folder.
        parts: those that are finished.
        designs: of the networks, by name.
        seed: of all random streams.

    Raises:
        BadInput: one does, or fails.
    """
    files_of = run.request().get("files", {}).get("perturbations", {})
    theirs = {name for name, digests in files_of.items() if digests}
    if len(parts) == len(run.units()):  # nothing is measured
        return
    for unit, path in parts.items():
        if not theirs:
            return
        rows = files.read_parquet(path).select(["perturbation", "level", "draw", "weight_digest"]).to_pylist()
        digests = {(row["perturbation"], row["level"], row["draw"]): row["weight_digest"] for row in rows}
        design = designs[unit.network]
        weights = Weights(design.network, seed)
        probes = design.unit(unit.slice, design.network.layers[unit.layer_index]).probes
        for probe in probes:
            name = probe.perturbation.name
            was = digests.get((name, probe.level, probe.draw))
            if name in theirs and was is not None and was != weights.perturbed(probe).digest:
                where = f"network {unit.network!r}, layer {probe.layer.name!r}, level {probe.level:g}, draw {probe.draw}"
                raise BadInput(
                    f"{run.path}: perturbation {name!r} gives other weights now, by equal files ({where}): what it reads "
                    f"or a library's code is another; {RESTORE}"
                )
        theirs -= {probe.perturbation.name for probe in probes}
