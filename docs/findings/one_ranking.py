"""How far one ranking of the layers serves all perturbations."""

from collections.abc import Callable, Collection, Mapping
from itertools import combinations

import numpy as np

from docs.findings import agreement
from docs.findings.data import Data
from docs.findings.drawing import encoded, new_figure, readable
from docs.findings.families import at_once, over_families
from docs.findings.finding import Figure, Finding, Table, Value, told

TITLE = "Does one ranking of layers serve all?"
QUESTION = "Are the layers that break under one use case those that break under another?"
Pair = tuple[str, str]
FEWEST = 4  # use cases of which one may be told from the others
ODD, AMONG = " and the others", "among the others"


def find(data: Data) -> Finding | None:
    """Return the agreement of use cases and what the best single ranking reaches; None with fewer than two use cases."""
    board = data.board()
    by_pair = {pair: by_network for pair in combinations(data.use_cases, 2) if (by_network := _between(data, pair))}
    inside = {use_case: by_network for use_case in data.use_cases if (by_network := _within(data, use_case))}
    if board is None or not by_pair or not inside:
        return None
    pairs = at_once(by_pair, data.facts, ends=agreement.ENDS)
    values = {f"{first} and {second}": value for (first, second), value in pairs.items()}
    values |= {f"within {use_case}": _mean(data, of_networks) for use_case, of_networks in inside.items()}
    values |= _overall(data, by_pair, inside) | _odd_one(data, by_pair)
    ceilings = {"single ranking": board.ceilings["blind"], "every ranking": board.ceilings["perturbation_aware"]}
    reached = {f"{name} reaches": row.by_network for name, row in ceilings.items() if row.value is not None}
    values |= {name: over_families(by_network, data.facts, ends=agreement.ENDS) for name, by_network in reached.items()}
    return Finding(
        TITLE, QUESTION, _sentences(values, pairs), [_table(data, values, pairs)], _figure(values, pairs, data), values
    )


def _between(data: Data, pair: Pair) -> dict[str, float]:
    first, second = (data.use_cases[use_case] for use_case in pair)
    return _known(data, lambda network: agreement.between(data, network, first, second))


def _within(data: Data, use_case: str) -> dict[str, float]:
    return _known(data, lambda network: agreement.within(data, network, data.use_cases[use_case]))


def _known(data: Data, of_network: Callable[[str], float | None]) -> dict[str, float]:
    found = {network: of_network(network) for network in data.population()}
    return {network: value for network, value in found.items() if value is not None}


def _mean(data: Data, by_network: Mapping[str, float]) -> Value:
    return over_families(by_network, data.facts, ends=agreement.ENDS)


def _overall(
    data: Data, by_pair: Mapping[Pair, Mapping[str, float]], inside: Mapping[str, Mapping[str, float]]
) -> dict[str, Value]:
    """Return the mean agreement between and within use cases, and their difference, of networks that have both."""
    parts = {"between use cases": by_pair.values(), "within a use case": inside.values()}
    means = {name: _over_pairs(data, part) for name, part in parts.items()}
    first, second = means.values()
    gap = {network: second[network] - first[network] for network in first if network in second}
    found = {name: _mean(data, values) for name, values in means.items()}
    return {**found, "within less between": over_families(gap, data.facts, difference=True)}


def _odd_one(data: Data, by_pair: Mapping[Pair, Mapping[str, float]]) -> dict[str, Value]:
    """Return the mean agreement of the use case that agrees least with the others, and of these among each other."""
    cases = sorted({case for pair in by_pair for case in pair})
    if len(cases) < FEWEST:
        return {}
    least = min(cases, key=lambda case: np.mean([np.mean([*by_pair[pair].values()]) for pair in by_pair if case in pair]))
    parts = {f"{least}{ODD}": [pair for pair in by_pair if least in pair]}
    parts[AMONG] = [pair for pair in by_pair if least not in pair]
    return {name: _mean(data, _over_pairs(data, [by_pair[pair] for pair in pairs])) for name, pairs in parts.items()}


def _over_pairs(data: Data, parts: Collection[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each network over the parts that have it."""
    return {
        network: float(np.mean([values[network] for values in parts if network in values]))
        for network in data.population()
        if any(network in values for values in parts)
    }


def odd_one(values: Mapping[str, Value]) -> str | None:
    """Return the use case that agrees least with the others, by the values of this finding; None with fewer than four."""
    return next((name.removesuffix(ODD) for name in values if name.endswith(ODD)), None)


def _sentences(values: Mapping[str, Value], pairs: Mapping[Pair, Value]) -> list[str]:
    gap = values["within less between"]
    sentences = [
        f"The rankings of layers by two perturbations of one use case correlate at {values['within a use case']}, corrected "
        f"for noise. Those by two of different use cases correlate at {values['between use cases']}. The difference, {gap}, "
        f"{told(gap, 'is above 0', 'is below 0', 'cannot be told from 0')}.",
    ]
    if len(pairs) > 1:
        most, least = max(pairs, key=lambda pair: pairs[pair].value), min(pairs, key=lambda pair: pairs[pair].value)
        answer = told(pairs[least], "above 0", "below 0: what breaks under one holds under the other", "not told from 0")
        sentences.append(
            f"Of {len(pairs)} pairs of use cases, {_names(most)} have the highest agreement, {pairs[most]}. The lowest is "
            f"that of {_names(least)}, {pairs[least]}, {answer}. These intervals hold for all pairs at once."
        )
    if odd := odd_one(values):
        sentences.append(
            f"The use case that agrees least with the others is {readable(odd)}: {values[f'{odd}{ODD}']}. "
            f"The others agree among each other at {values[AMONG]}."
        )
    if "single ranking reaches" in values and "every ranking reaches" in values:
        sentences.append(
            "The best single ranking of each network's layers reaches a mean correlation of "
            f"{values['single ranking reaches']} with the measured ones. This is the bound of every criterion that does not "
            f"see the perturbation. The true ranking of every perturbation would reach {values['every ranking reaches']}."
        )
    return sentences


def _names(pair: Pair) -> str:
    return " and ".join(map(readable, pair))


def _table(data: Data, values: Mapping[str, Value], pairs: Mapping[Pair, Value]) -> Table:
    ordered = sorted(pairs, key=lambda pair: (-pairs[pair].value, pair))
    rows: list[list[str | Value]] = [[readable(first), readable(second), pairs[first, second]] for first, second in ordered]
    same = [name for name in data.use_cases if f"within {name}" in values]
    rows += [[readable(name), "itself: its own perturbations", values[f"within {name}"]] for name in same]
    caption = (
        "Agreement of the rankings by area, Spearman's correlation corrected for noise. Intervals of the "
        f"{len(pairs)} pairs hold for all at once; those within a use case are unadjusted"
    )
    return Table(caption, ("use case", "and", "agreement"), rows)


def _figure(values: Mapping[str, Value], pairs: Mapping[Pair, Value], data: Data) -> Figure:
    names = list(data.use_cases)
    matrix = np.full((len(names), len(names)), np.nan)
    for (first, second), value in pairs.items():
        i, j = names.index(first), names.index(second)
        matrix[i, j] = matrix[j, i] = value.value
    for i, name in enumerate(names):
        matrix[i, i] = values[f"within {name}"].value if f"within {name}" in values else np.nan
    caption = (
        "Agreement of layer rankings between use cases, corrected for noise. The diagonal is between the perturbations "
        "of one use case."
    )
    return Figure(caption, lambda: _drawn(names, matrix))


def _drawn(names: list[str], matrix: np.ndarray) -> bytes:
    figure, (axes,) = new_figure(5.6)
    image = axes.imshow(matrix, cmap="RdBu", vmin=-1.0, vmax=1.0)
    labels = [readable(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), labels)
    for i, j in np.argwhere(np.isfinite(matrix)):
        colour = "white" if abs(matrix[i, j]) > 0.6 else "black"
        axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", color=colour)
    figure.colorbar(image, ax=axes, label="Spearman's correlation")
    return encoded(figure)
