"""Finds the levels at which a median layer loses 1, 5, 20, 50 and 80 % of what it can: ``make calibrate``.

The share of (clean - chance) that the median layer loses is measured on all validation networks of the zoo, each by
itself: networks can be measured one by one, and a run goes on where it was stopped: ``docs/calibration/NETWORK.json``.
A level is where the median over families of the share lost reaches the aim; a family's share is the median of its
networks'. Levels have two significant digits (near 1, those of what is left), or as many as keep them apart; bits and
counts are the nearest whole numbers, equal ones once. Where most families never lose as much as aimed at, one level that
costs nearly the most takes the place of the aims that are left; what costs nothing gets its most severe level, and half a
decade below.
The seed is not the truth's: levels are not chosen on the draws that are published.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import safer_bench as sb
from safer_bench.errors import SaferBenchError
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.run_log import processor
from safer_bench.networks.examples import largest_class
from safer_bench.networks.loading import zoo_networks
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import perturbations
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.truth.area import axis, tolerated_level

AIMS = (0.01, 0.05, 0.2, 0.5, 0.8)  # shares of (clean - chance)
SIZE = ("examples", "draws", "deterministic_examples")  # of each dataset:
SIZES = {"digits": (150, 4, 300), "fashion_mnist": (60, 4, 250), "text": (12, 4, 24), "imagenet": (12, 2, 24)}
# Where one flipped bit of many costs nearly all, draws count; ImageNet's passes are too dear for more of them
FAULTY = {"digits": (9, 64, 300), "fashion_mnist": (3, 64, 250), "text": (2, 64, 24), "imagenet": (12, 2, 24)}
SEED = 1
OUT = Path(__file__).parents[1] / "docs" / "calibration"
NEARLY, APART = 0.95, 1.2  # of the most that is lost, where an aim is not reached; of the last aim that is
N_STEPS = 2001  # of the scale, on which the typical curve is read
Curve = tuple[Sequence[float], Sequence[float]]  # levels, mild to severe, and the share lost at each
Families = Mapping[str, list[Curve]]


def networks() -> list[str]:
    """Return the validation networks of the zoo that boards rank over, and those of ImageNet."""
    return sorted(name for name, entry in zoo_networks().items() if entry.split == "validation" and entry.role != "twin")


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


def size(dataset: str, entry: Perturbation) -> tuple[int, int, int]:
    """Return examples a draw, draws, and examples where draws are all the same."""
    return (FAULTY if entry.faulty else SIZES)[dataset]


def share_lost(engine: Engine, entry: Perturbation, level: float) -> float:
    """Return the median over layers of the mean drop, in units of (clean - chance)."""
    n_examples, draws, deterministic = size(engine.network.dataset, entry)
    protocol = make_protocol([f"{entry.name}:{level!r}"], draws, n_examples, SEED, deterministic_examples=deterministic)
    rows = [row for unit in Design(engine.network, protocol).units() for row in engine.measure(unit.probes)]
    drops: dict[str, list[float]] = {}
    for row in rows:
        drops.setdefault(row["layer"], []).append(row["accuracy_drop"])
    clean = np.mean([row["correct_clean"] / row["n_answers"] for row in rows])
    median = np.median([np.mean(of_layer) for of_layer in drops.values()])
    return float(median / (clean - largest_class(engine.network.labels)))


def curve(engine: Engine, entry: Perturbation) -> Curve:
    """Return levels, mild to severe, and the share that a network loses at each.

    Every fourth level of the grid is measured until one costs less than the smallest aim, then those between it and
    the mildest of them that costs the largest: where float32 bits flip, severe levels are slow to measure.
    """
    levels, shares = grid(entry), {}

    def measure(some_levels: list[float]) -> None:
        for level in some_levels:
            shares[level] = share_lost(engine, entry, level)
            if shares[level] < AIMS[0]:
                break

    measure(levels[::4])
    enough = [level for level in shares if shares[level] >= AIMS[-1]]
    first = levels.index(enough[-1]) if enough else 0
    measure([level for level in levels[first:] if level not in shares])
    found = [level for level in reversed(levels) if level in shares]
    return found, [shares[level] for level in found]


def share_at(curve: Curve, entry: Perturbation, levels: Sequence[float]) -> np.ndarray:
    """Return the share lost at levels ``(n,)``, interpolated on the scale; beyond what was measured, that at its end."""
    sign = 1 if entry.direction == "increasing" else -1
    places, measured = (sign * axis(np.array(each, dtype=np.float64), entry.scale) for each in (levels, curve[0]))
    return np.interp(places, measured, curve[1])


def typical_share(families: Families, entry: Perturbation, levels: Sequence[float]) -> np.ndarray:
    """Return the median over families of the share lost at levels ``(n,)``, a family's being the median of its networks."""
    of_each = [np.median([share_at(curve, entry, levels) for curve in curves], axis=0) for curves in families.values()]
    return np.asarray(np.median(of_each, axis=0))


def choose(families: Families, entry: Perturbation) -> list[float]:
    """Return five levels, mild to severe, or fewer: where whole numbers coincide, and where aims are never reached.

    Args:
        families: the curves of each family's networks.
        entry: whose scale, domain and direction hold.
    """
    measured = [float(level) for curves in families.values() for curve in curves for level in curve[0]]
    ends = axis(np.array([min(measured), max(measured)]), entry.scale)
    places = np.linspace(*(ends if entry.direction == "increasing" else ends[::-1]), N_STEPS)
    levels = 10.0**places if entry.scale == "log10" else places
    shares = typical_share(families, entry, levels.tolist())
    most = float(shares.max())
    aims = [aim for aim in AIMS if aim <= most]
    if not aims:
        return _rounded([float(levels[-1]) / 10**step for step in (0.5, 0.0)], entry)
    if len(aims) < len(AIMS) and (last := NEARLY * most) > APART * aims[-1]:
        aims.append(last)
    proposed = [tolerated_level(levels, entry.scale, shares, aim)[0] for aim in aims]
    return _whole(proposed, entry) if entry.whole else _rounded(proposed, entry)


def _rounded(levels: list[float], entry: Perturbation) -> list[float]:
    """Round to two significant digits, or more where levels would coincide; equal ones stand once.

    A share of more than a half is rounded by what it leaves: 0.9966, not 1, which would remove the layer.
    """
    end = entry.domain[1] if entry.scale == "linear" else 0.0

    def shortened(level: float, digits: int) -> float:
        left = end - level
        return float(f"{end - float(f'{left:.{digits}g}'):.12g}") if 0 < left < level else float(f"{level:.{digits}g}")

    levels = sorted(set(levels), key=levels.index)
    rounded = ([shortened(level, digits) for level in levels] for digits in range(2, 13))
    return next((found for found in rounded if len(set(found)) == len(found)), levels)


def _whole(levels: list[float], entry: Perturbation) -> list[float]:
    """Round to whole numbers of the domain, of two significant digits where they are large; equal ones stand once.

    Bits get the next milder number too: between few whole numbers, the nearest to an aim may be far from it.
    """
    low, high = entry.domain
    whole = [float(round(min(max(float(f"{level:.2g}"), low), high))) for level in levels]
    if entry.direction == "decreasing":
        whole.insert(0, min(whole[0] + 1, high))
    return sorted(set(whole), key=whole.index)


def read(names: Sequence[str]) -> dict[str, Any]:
    """Return what was measured of networks."""
    return {
        name: json.loads((OUT / f"{name}.json").read_text(encoding="utf-8"))
        for name in names
        if (OUT / f"{name}.json").exists()
    }


def by_family(found: Mapping[str, Any], perturbation: str) -> dict[str, list[Curve]]:
    """Return the curves of a perturbation by family."""
    families: dict[str, list[Curve]] = {}
    for content in found.values():
        if perturbation in content["perturbations"]:
            curve = content["perturbations"][perturbation]
            families.setdefault(content["family"], []).append((curve["levels"], curve["shares"]))
    return families


def report(found: Mapping[str, Any]) -> list[str]:
    """Return the rows of a Markdown table: the levels that follow, and what each costs the median family."""
    rows = []
    for name, entry in sorted(perturbations().items()):
        if families := by_family(found, name):
            levels = choose(families, entry)
            met = [f"{share:.1%}" for share in typical_share(families, entry, levels)]
            rows.append(f"| {name} | {', '.join(f'{level:g}' for level in levels)} | {', '.join(met)} |")
    return rows


def calibrate(network: Network, names: Sequence[str]) -> None:
    """Measure those perturbations of a network that its file does not hold, and write it after each."""
    path = OUT / f"{network.name}.json"
    facts = {
        "seed": SEED,
        "dataset": network.dataset,
        "family": network.family,
        "weights_sha256": network.weights_sha256,
    }
    sizes = {name: dict(zip(SIZE, size(network.dataset, perturbations()[name]), strict=True)) for name in names}
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    measured = kept["perturbations"] if facts.items() <= kept.items() else {}
    missing = [name for name in names if not sizes[name].items() <= measured.get(name, {}).items()]
    if not missing:
        return
    engine = Engine(network, SEED)
    for name in missing:
        levels, shares = curve(engine, perturbations()[name])
        measured[name] = sizes[name] | {"levels": levels, "shares": [round(share, 4) for share in shares]}
        path.parent.mkdir(exist_ok=True)
        kept = facts | {"processor": processor(), "perturbations": measured}
        path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{network.name} {name}: {levels[0]:g} to {levels[-1]:g}, {shares[0]:.1%} to {shares[-1]:.1%}", flush=True)


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NETWORK", help="by default all validation networks, ImageNet's too (README: [imagenet])"
    )
    parser.add_argument(
        "--table", action="store_true", help="measure nothing: print the table of what docs/calibration holds"
    )
    given = parser.parse_args()
    tune_allocator()
    for name in [] if given.table else given.names or networks():
        calibrate(sb.load_network(name), [name for name, entry in perturbations().items() if len(entry.levels) > 1])
    print("\n".join(report(read(networks()))))


if __name__ == "__main__":
    try:
        main()
    except SaferBenchError as error:
        sys.exit(f"Error: {error}")
