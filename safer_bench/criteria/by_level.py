"""Level-aware twins: the same numbers as an aware criterion's, but each level's ranking counts for itself."""

from dataclasses import replace

from safer_bench.criteria.measured_drop import MEASURED_DROPS
from safer_bench.criteria.output_change import output_kl
from safer_bench.criteria.weight_change import fit, quantization_mse

BY_LEVEL = tuple(
    replace(entry, name=f"{entry.name}_by_level", track="level_aware")
    for entry in (quantization_mse, fit, output_kl, MEASURED_DROPS[1])
)
