"""Finds the levels at which a median layer loses 1, 5, 20, 50 and 80 % of what it can: ``make calibrate``.

The share of (clean - chance) that the median layer loses is measured on validation networks, averaged over networks, and
interpolated along the perturbation's scale. Levels have two significant digits, or as many as keep them apart; bits are
the nearest distinct whole numbers. Where a perturbation never costs as much as a target, shares between the last target
that it reaches and the most that it costs take their place; one that costs nothing gets half decades up to its most
severe level. The seed is not the truth's: levels are not chosen on the draws that are published.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import safer_bench as sb
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.perturbations.loading import perturbations
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.truth.area import tolerated_level

TARGETS = (0.01, 0.05, 0.2, 0.5, 0.8)  # shares of (clean - chance)
NETWORKS = {"digits_cnn": (300, 4), "digits_mlp": (300, 4), "lenet10": (200, 4)}  # all validation: (examples, draws)
SEED = 1
OUT = Path(__file__).parents[1] / "docs" / "calibration.json"


def grid(entry: Perturbation) -> list[float]:
    """Return the levels to measure, severe to mild: quarter decades, shares in steps of 1/20, or whole numbers of bits.

    Rates end at 1/2, where what is inverted at random is nothing but random; counts at 100,000.
    """
    low, high = entry.domain
    if entry.scale == "log10":
        top = 0.5 if high == 1 else 1e5 if entry.whole else 1e2
        steps = top * 10.0 ** np.arange(0, -9, -0.25)
        return sorted({float(x) for x in (np.rint(steps) if entry.whole else steps) if x >= low}, reverse=True)
    steps = np.arange(low, high + 1) if entry.whole else np.arange(1, 21) / 20
    return sorted(map(float, steps), reverse=entry.direction == "increasing")


def share_lost(engine: Engine, entry: Perturbation, level: float) -> float:
    """Return the median over layers of the mean drop, in units of (clean - chance)."""
    n_examples, draws = NETWORKS[engine.network.name]
    protocol = make_protocol([f"{entry.name}:{level!r}"], draws, n_examples, SEED, deterministic_examples=n_examples)
    rows = [row for unit in Design(engine.network, protocol).units() for row in engine.measure(unit.probes)]
    drops: dict[str, list[float]] = {}
    for row in rows:
        drops.setdefault(row["layer"], []).append(row["accuracy_drop"])
    clean = np.mean([row["correct_clean"] / row["n_answers"] for row in rows])
    return float(np.median([np.mean(of_layer) for of_layer in drops.values()]) / (clean - 1 / engine.network.n_classes))


def curve(engines: list[Engine], entry: Perturbation) -> dict[float, list[float]]:
    """Return the share lost of each network by level, mild to severe.

    Every fourth level of the grid is measured until one costs less than the smallest target, then those between it and
    the mildest of them that costs the largest: where float32 bits flip, severe levels are slow to measure.
    """
    levels, shares = grid(entry), {}

    def measure(some_levels: list[float]) -> None:
        for level in some_levels:
            shares[level] = [share_lost(engine, entry, level) for engine in engines]
            if np.mean(shares[level]) < TARGETS[0]:
                break

    measure(levels[::4])
    enough = [level for level in shares if np.mean(shares[level]) >= TARGETS[-1]]
    first = levels.index(enough[-1]) if enough else 0
    measure([level for level in levels[first:] if level not in shares])
    return {level: shares[level] for level in reversed(levels) if level in shares}


def choose(levels: list[float], shares: list[float], entry: Perturbation) -> list[float]:
    """Return five levels, mild to severe.

    Args:
        levels: measured ones, mild to severe.
        shares: what each costs.
        entry: whose scale, domain and direction hold.
    """
    most = max(shares)
    reached = [target for target in TARGETS if target <= most]
    n_missing = len(TARGETS) - len(reached)
    if not reached:
        proposed = [levels[-1] / 10 ** (0.5 * i) for i in reversed(range(len(TARGETS)))]
    else:
        targets = reached + np.linspace(reached[-1], most, n_missing + 2)[1:-1].tolist()
        proposed = [tolerated_level(np.array(levels), entry.scale, np.array(shares), target)[0] for target in targets]
    return _distinct_whole(_rounded(proposed), entry) if entry.whole else _rounded(proposed)


def _rounded(levels: list[float]) -> list[float]:
    """Round to two significant digits, or more where levels would coincide."""
    rounded = ([float(f"{level:.{digits}g}") for level in levels] for digits in range(2, 16))
    return next((found for found in rounded if len(set(found)) == len(found)), levels)


def _distinct_whole(levels: list[float], entry: Perturbation) -> list[float]:
    """Round to whole numbers of the domain and move as few as needed, milder ones first, to keep them apart."""
    sign = 1 if entry.direction == "increasing" else -1
    mildest, worst = sorted(sign * bound for bound in entry.domain)
    whole = [min(max(round(sign * level), mildest), worst) for level in levels]
    for i in reversed(range(len(whole) - 1)):
        whole[i] = min(whole[i], whole[i + 1] - 1)
    for i in range(len(whole)):
        whole[i] = max(whole[i], mildest + i)
    return [float(sign * level) for level in whole]


def report(entries: dict[str, Any]) -> list[str]:
    """Return the lines of a Markdown table: levels proposed, levels in use, and the largest share lost."""
    lines = ["| perturbation | proposed | in use | largest share lost |", "| --- | --- | --- | --- |"]
    for name, entry in sorted(entries.items()):
        proposed, used = (
            ", ".join(f"{x:g}" for x in levels) for levels in (entry["proposed"], perturbations()[name].levels)
        )
        lines.append(f"| {name} | {proposed} | {used} | {max(map(np.mean, entry['shares'])):.0%} |")
    return lines


def main() -> None:
    """Measure, write ``docs/calibration.json`` and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PERTURBATION", help="those that the file does not hold by default")
    wanted = parser.parse_args().names
    tune_allocator()
    calibrated = json.loads(OUT.read_text())["perturbations"] if OUT.exists() else {}
    engines = [Engine(sb.load_network(name), SEED) for name in NETWORKS]
    networks = {network: {"examples": n, "draws": draws} for network, (n, draws) in NETWORKS.items()}
    content = {"targets": TARGETS, "networks": networks, "seed": SEED, "perturbations": calibrated}
    for name, entry in perturbations().items():
        if name in wanted or (not wanted and name not in calibrated and len(entry.levels) > 1):
            measured = curve(engines, entry)
            shares = [[round(share, 4) for share in of_level] for of_level in measured.values()]
            calibrated[name] = {"levels": list(measured), "shares": shares}
        if name in calibrated:
            means = [float(np.mean(of_level)) for of_level in calibrated[name]["shares"]]
            calibrated[name]["proposed"] = choose(calibrated[name]["levels"], means, entry)
            OUT.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
            print(f"{name}: {calibrated[name]['proposed']}", flush=True)
    print("\n".join(report(calibrated)))


if __name__ == "__main__":
    main()
