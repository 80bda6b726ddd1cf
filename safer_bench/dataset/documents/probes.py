"""What the card tells of probes and sources, counted in the tables: draws, examples, splits, papers known by abstract."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from safer_bench.dataset.documents.responsible import ABSTRACT_ALONE


def designs(drops: pa.Table, networks: pa.Table) -> list[dict[str, Any]]:
    """Return how each perturbation was measured, those that were measured alike on one dataset together.

    Args:
        drops: the table ``layer_drops``.
        networks: the table ``networks``.

    Returns:
        Rows ``dataset``, ``perturbations`` (names), ``draws`` of a layer and level, ``examples`` of a draw, ``seen`` by all
        draws of a network together, ``evaluation`` (examples there are); numbers as text, ``4 to 8`` where networks differ.
    """
    of_network = ["dataset", "perturbation", "network"]
    drops = drops.unify_dictionaries()  # of chunks whose dictionaries differ no group is made
    draws, examples, seen, there = (defaultdict[Any, set[int]](set) for _ in range(4))
    for *key, _, _, n in _rows(drops.group_by([*of_network, "layer", "level"]).aggregate([("draw", "count")])):
        draws[*key[:2],].add(n)
    slices = defaultdict[Any, set[tuple[int, int]]](set)
    for *key, start, n in _rows(drops.group_by([*of_network, "example_start", "n_examples"]).aggregate([])):
        examples[*key[:2],].add(n)
        slices[*key,].add((start, n))
    for (dataset, perturbation, _), of_draws in slices.items():
        seen[dataset, perturbation].add(_n_covered(of_draws))
    for dataset, n in _rows(networks.select(["dataset", "n_examples"])):
        there[dataset].add(n)
    alike = defaultdict[tuple[str, ...], list[str]](list)
    for pair in sorted(draws):
        dataset, perturbation = pair
        alike[dataset, *map(_range, (draws[pair], examples[pair], seen[pair], there[dataset]))].append(perturbation)
    names = ("dataset", "draws", "examples", "seen", "evaluation")
    return [dict(zip(names, design, strict=True)) | {"perturbations": of_it} for design, of_it in sorted(alike.items())]


def _rows(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _n_covered(slices: Iterable[tuple[int, int]]) -> int:
    """Return how many examples are in at least one slice ``(start, length)``."""
    covered = end = 0
    for start, length in sorted(slices):
        covered += max(0, start + length - max(start, end))
        end = max(end, start + length)
    return covered


def _range(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def splits(networks: pa.Table) -> list[dict[str, Any]]:
    """Return rows ``split``, ``dataset``, ``families`` (names) and ``n_networks`` of the table ``networks``."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in networks.select(["split", "dataset", "family"]).to_pylist():
        found[row["split"], row["dataset"]].append(row["family"])
    return [
        {"split": split, "dataset": dataset, "families": sorted(set(families)), "n_networks": len(families)}
        for (split, dataset), families in sorted(found.items(), key=lambda item: (item[0][1], item[0][0] == "test"))
    ]


def after_abstracts(tables: Mapping[str, pa.Table]) -> list[dict[str, Any]]:
    """Return the papers of which the abstract alone was at hand, with the entries whose source names them.

    Args:
        tables: ``perturbations`` and, where there are scores, ``criteria``.

    Returns:
        Rows ``paper``, ``number`` (of arXiv), ``perturbations`` and ``criteria`` (names), of papers that an entry names.
    """

    def naming(table: str, name: str, number: str) -> list[str]:
        rows = tables[table].to_pylist() if table in tables else []
        return [row[name] for row in rows if number in row["source"]]

    rows = [
        {
            "paper": paper,
            "number": number,
            "perturbations": naming("perturbations", "perturbation", number),
            "criteria": naming("criteria", "criterion", number),
        }
        for number, paper in ABSTRACT_ALONE.items()
    ]
    return [row for row in rows if row["perturbations"] or row["criteria"]]
