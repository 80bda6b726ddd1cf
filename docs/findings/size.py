"""Whether the larger layers are the more fragile, and under which perturbations."""

from collections.abc import Mapping
from math import isfinite

from docs.findings.chosen import listed
from docs.findings.data import Data
from docs.findings.drawing import COLOURS, encoded, new_figure, readable
from docs.findings.families import over_families
from docs.findings.finding import Figure, Finding, Table, Value, told
from safer_bench.metrics import spearman

TITLE = "Do larger layers break more easily?"
QUESTION = (
    "Faults hit a layer in proportion to its weights, or as a given number of bits. Does its size tell how fragile it is?"
)
FLOAT32, RATE, COUNT = "float32_bit_flip", "int8_bit_flip", "int8_bit_count"
FAULTS = {
    FLOAT32: "float32 bits flip at a given rate",
    RATE: "int8 bits flip at a given rate",
    COUNT: "a given number of int8 bits flip",
}
VARIANTS = {
    f"{FLOAT32}_exponent": "float32's exponent bits alone flip",
    f"{FLOAT32}_mantissa": "float32's mantissa bits alone flip",
}
DIFFERENCES = ((FLOAT32, RATE), (RATE, COUNT))


def find(data: Data) -> Finding | None:
    """Return the correlation of area and size under every perturbation; None where a kind of fault is not there."""
    by_network = {
        perturbation: {
            name: _with_size(data, name, perturbation) for name in data.population() if data.informs(name, perturbation)
        }
        for perturbation in sorted(data.facts.use_cases)
    }
    if not all(by_network.get(fault) for fault in FAULTS):
        return None
    values = {name: over_families(of, data.facts, ends=(-1.0, 1.0)) for name, of in by_network.items() if of}
    gaps = {
        f"{first} less {second}": _difference(data, by_network[first], by_network[second]) for first, second in DIFFERENCES
    }
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=_sentences(data, by_network, values, gaps),
        limits=[_inverted(data)],
        tables=[_table(data, values)],
        figure=_figure(data, values),
        values={**values, **gaps},
    )


def _with_size(data: Data, network: str, perturbation: str) -> float:
    """Return Spearman's correlation of layers' areas and numbers of weights; 0 where it is undefined, as on the boards."""
    sizes = data.networks[network].truth.size_and_depth[0]
    found = float(spearman(truth=data.area(network, perturbation), scores=sizes))
    return found if isfinite(found) else 0.0


def _difference(data: Data, first: Mapping[str, float], second: Mapping[str, float]) -> Value:
    paired = {network: first[network] - second[network] for network in first if network in second}
    return over_families(paired, data.facts, ends=(-2.0, 2.0), difference=True)


def _sentences(
    data: Data, by_network: Mapping[str, Mapping[str, float]], values: Mapping[str, Value], gaps: Mapping[str, Value]
) -> list[str]:
    sentences = [_of_fault(what, by_network[fault], values[fault]) for fault, what in FAULTS.items()]
    n_networks = len(data.population())
    for variant, what in VARIANTS.items():
        of_variant, idle = by_network.get(variant, {}), len(data.uninformative.get(variant, ()))
        if 2 * idle >= n_networks:
            sentences.append(f"Where {what}, layers lose too little to be ranked in {idle} of {n_networks} networks.")
        elif of_variant:
            sentences.append(_of_fault(what, of_variant, values[variant]))
    for first, second in DIFFERENCES:
        gap = gaps[f"{first} less {second}"]
        answer = told(gap, "is higher than", "is lower than", "cannot be told from that")
        sentences.append(f"Where {FAULTS[first]}, the correlation {answer} where {FAULTS[second]}. The difference is {gap}.")
    return sentences


def _of_fault(what: str, by_network: Mapping[str, float], value: Value) -> str:
    answer = told(value, "larger layers are the more fragile", "larger layers are the less fragile", "neither")
    numbers = f"area and number of weights correlate at {value}"
    if answer != "neither":
        return f"Where {what}, {answer}: {numbers}."
    side, word = (1, "more") if value.value > 0 else (-1, "less")
    n_alike = sum(side * correlation > 0 for correlation in by_network.values())
    why = "there are too few families for an interval" if value.low is None else "the interval does not leave out 0"
    where = f"in {n_alike} of {len(by_network)} networks"
    return f"Where {what}, {numbers}. Larger layers tend to be the {word} fragile, {where}, but {why}."


def _inverted(data: Data) -> str:
    """Say how many layers have no more bits than are flipped."""
    (levels,) = (row["levels"] for row in data.tables["perturbations"].to_pylist() if row["perturbation"] == COUNT)
    bits = [8 * size for name in data.population() for size in data.networks[name].truth.size_and_depth[0]]
    counts = listed([f"{sum(each <= level for each in bits)}" for level in levels])
    return (
        "A layer that has no more bits than are flipped has all of them inverted, in every draw. At the levels of "
        f"`{COUNT}`, mild to severe, these are {counts} of {len(bits)} layers."
    )


def _ordered(values: Mapping[str, Value]) -> list[str]:
    return sorted(values, key=lambda name: (-values[name].value, name))


def _table(data: Data, values: Mapping[str, Value]) -> Table:
    rows = [(f"`{name}`", readable(data.facts.use_cases[name]) or "-", values[name]) for name in _ordered(values)]
    caption = "Spearman's correlation of a layer's area with its number of weights"
    return Table(caption, ("perturbation", "use case", "correlation"), rows)


def _figure(data: Data, values: Mapping[str, Value]) -> Figure:
    caption = (
        "Correlation of a layer's area with its number of weights under each perturbation, with 95 % intervals. "
        "float32 and int8 faults are in colour."
    )
    return Figure(caption, lambda: _drawn(data, values))


def _drawn(data: Data, values: Mapping[str, Value]) -> bytes:
    figure, (axes,) = new_figure(5.2)
    names = _ordered(values)[::-1]
    colours = {"float32_faults": COLOURS[1], "int8_faults": COLOURS[0]}
    for place, name in enumerate(names):
        value, colour = values[name], colours.get(data.facts.use_cases[name], COLOURS[-1])
        if value.low is not None:
            axes.plot((value.low, value.high), (place, place), color=colour, linewidth=2)
        axes.plot(value.value, place, "o", color=colour)
    axes.set_yticks(range(len(names)), [readable(name) for name in names])
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_xlim(-1.0, 1.0)
    axes.set_xlabel("larger layers less fragile      Spearman's correlation      larger layers more fragile")
    return encoded(figure)
