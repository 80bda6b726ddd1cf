"""What scores cost: of all levels, or of those of one use case."""

from collections.abc import Mapping
from statistics import median

from docs.findings.chosen import is_blind
from docs.findings.data import Data
from docs.findings.finding import Value
from safer_bench.evaluation.board import Entry

ALL = "all use cases"
ALIKE = 1.05  # passes a layer, most over least network, of what measures every level
Costs = Mapping[str, Mapping[str, tuple[float, float]]]  # {criterion: {network: (forward passes, seconds)}}


def costs_of(data: Data) -> Costs:
    """Return what every criterion cost on each network of the headline."""
    costs: dict[str, dict[str, tuple[float, float]]] = {}
    population = set(data.population())
    for row in data.tables["costs"].to_pylist() if "costs" in data.tables else []:
        if row["network"] in population and row["forward_equivalents"] is not None:
            costs.setdefault(row["criterion"], {})[row["network"]] = row["forward_equivalents"], row["seconds"]
    return costs


def passes(costs: Costs, criterion: str) -> float:
    """Return what a criterion costs, median over networks; what is unknown costs more than anything."""
    return median(number for number, _ in costs[criterion].values()) if criterion in costs else float("inf")


def shares_of_levels(data: Data) -> dict[str, float]:
    """Return which part of all levels each use case has, and all of them together: random corruption is in none."""
    n_levels = sum(len(of_one) for of_one in data.facts.levels.values())
    found = {case: sum(len(data.facts.levels[name]) for name in of) / n_levels for case, of in data.use_cases.items()}
    return {**found, ALL: sum(found.values())}


def _each_level(data: Data, costs: Costs, entry: Entry) -> bool:
    """Tell whether a criterion passes through the network at every level: its passes grow with layers alone."""
    if is_blind(entry) or entry[0] not in costs:
        return False
    of_layer = [number / len(data.networks[name].layers) for name, (number, _) in costs[entry[0]].items()]
    return max(of_layer) <= ALIKE * min(of_layer)


def price(data: Data, costs: Costs, entry: Entry, share: float) -> float:
    """Return what a criterion costs where only such a share of the levels is asked for."""
    return passes(costs, entry[0]) * (share if _each_level(data, costs, entry) else 1.0)


def prices(of_network: Mapping[str, tuple[float, float]]) -> tuple[Value, Value]:
    """Return the median over networks of forward passes and of seconds, each with its range."""
    made = []
    for column, unit, digits in ((0, "thousand forward passes", 0), (1, "s", 1)):
        numbers = [each[column] / (1 if column else 1000) for each in of_network.values()]
        ends = f"{min(numbers):.{digits}f} to {max(numbers):.{digits}f}"
        made.append(Value(median(numbers), unit=unit, digits=digits, reason=f"{len(numbers)} networks: {ends}"))
    return made[0], made[1]
