"""The table of twins: differences are paired by seed, with t intervals."""

import numpy as np
from scipy import stats

from benchmarks.twins import CONTROLS, tables
from safer_bench.networks.zoo.twins import ARCHITECTURES, N_SEEDS


def test_differences_are_paired_by_seed_with_intervals_of_t():
    """A seed's luck is the same for all twins; only the difference of 1 and its noise are left."""
    rng = np.random.default_rng(0)
    found, differences = {}, []
    for family in ARCHITECTURES:
        for seed in range(N_SEEDS):
            luck, noise = 100 * rng.random(), rng.normal()
            for kind in ("resistant", *CONTROLS):
                value = luck + (1 + noise if kind == "resistant" else 0)
                found[f"twin_{family}_{kind}_{seed}"] = {"accuracy": value, "corruption indicator": 2 * value}
            differences.append(1 + noise)
    low, high = stats.ttest_1samp(differences, 0).confidence_interval()
    expected = f"| plain (as many epochs) | vgg and resnet | {np.mean(differences):+.2f} ({low:+.2f} to {high:+.2f}) |"
    lines = list(tables(found))
    assert sum(line.startswith(expected) for line in lines) == 1
    assert len(lines) == (2 + 2 * 4) + 1 + (2 + 3 * 3)
