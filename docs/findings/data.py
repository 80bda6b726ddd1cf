"""What findings read: the tables of a tree, each read once, as arrays by network and perturbation."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from docs.findings.families import told_of
from safer_bench.budget.tasks import TASKS
from safer_bench.dataset.budgets import FILES, read_budgets
from safer_bench.dataset.contents import network_revisions
from safer_bench.evaluation.aggregation import MIN_LAYERS
from safer_bench.evaluation.board import Board
from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.evaluation.truths import CellKey, NetworkTruth, network_truths
from safer_bench.tables.facts import TruthFacts, read_facts
from safer_bench.tables.grouping import grouped

Array = np.ndarray
HEADLINE = ("fashion_mnist", "test")
AREA = "area"
HARMLESS, UNSURE = 0.005, 0.5  # accuracy drop of the median layer, and reliability, below both of which nothing is ranked


@dataclass(frozen=True)
class Data:
    """The tables of a tree and of the budgets.

    Attributes:
        tables: what ``load_tree`` returns.
        budgets: folder of the tables of budgets, ``budget_results-*.parquet``.
        seeds: the study of networks that differ by their seed alone, which stand on no board; None where there is none.
    """

    tables: Mapping[str, pa.Table]
    budgets: Path
    seeds: "Data | None" = None

    @cached_property
    def facts(self) -> TruthFacts:
        """Families, kinds, datasets, splits, use cases, levels and reliabilities."""
        return read_facts(self.tables)

    @cached_property
    def revisions(self) -> dict[str, str]:
        """What names the measurements of each network; empty where the tables have none."""
        return network_revisions(self.tables["layer_drops"]) if "layer_drops" in self.tables else {}

    @cached_property
    def networks(self) -> dict[str, NetworkTruth]:
        """The truth of each network, layers in order of first use."""
        return {truth.network: truth for truth in network_truths(self.tables, self.facts)}

    def population(self, dataset: str = HEADLINE[0], split: str = HEADLINE[1]) -> tuple[str, ...]:
        """Return the networks of ten layers or more of a dataset and split; by default those of the headline."""
        found = (truth for truth in self.networks.values() if (truth.dataset, truth.split) == (dataset, split))
        return tuple(sorted(truth.network for truth in found if len(truth.layers) >= MIN_LAYERS))

    @property
    def headline(self) -> str:
        """The population of the headline, in words."""
        return f"test networks of Fashion-MNIST of ten layers or more ({told_of(self.population(), self.facts)})"

    @cached_property
    def _places(self) -> dict[tuple[str, str, float | None], int]:
        keys: dict[str, list[CellKey]] = {name: truth.cells for name, truth in self.networks.items()}
        return {
            (name, perturbation, level): i
            for name, cells in keys.items()
            for i, (perturbation, _, level) in enumerate(cells)
        }

    def has(self, network: str, perturbation: str) -> bool:
        """Return whether a network has areas under a perturbation."""
        return (network, perturbation, None) in self._places

    def informs(self, network: str, perturbation: str) -> bool:
        """Return whether the areas of a network under a perturbation tell layers apart.

        They do not where the severest level costs the median layer under half a point, and their reliability is under 0.5.
        """
        if not self.has(network, perturbation):
            return False
        return not self._idle(
            network, perturbation, self.facts.levels[perturbation][-1], self.reliability(network, perturbation)
        )

    def level_informs(self, network: str, perturbation: str, level: float) -> bool:
        """Return whether a level tells layers apart, by the same rule for its own drops and reliability."""
        return not self._idle(
            network, perturbation, level, self.facts.reliability.get((network, perturbation, level), np.nan)
        )

    def _idle(self, network: str, perturbation: str, level: float, reliability: float) -> bool:
        drops = self.networks[network].truth.values[self._places[network, perturbation, level]]
        return bool(reliability < UNSURE and np.median(drops) < HARMLESS)

    @cached_property
    def uninformative(self) -> dict[str, list[str]]:
        """The headline's networks whose areas tell no layers apart, of each perturbation that has such."""
        found = {
            name: [network for network in self.population() if self.has(network, name) and not self.informs(network, name)]
            for name in sorted(self.facts.use_cases)
        }
        return {name: networks for name, networks in found.items() if networks}

    def area(self, network: str, perturbation: str) -> Array:
        """Return the area of each layer: the share of the accuracy above chance that is lost over all levels."""
        return self.networks[network].truth.values[self._places[network, perturbation, None]]

    def halves(self, network: str, perturbation: str) -> Array:
        """Return the areas of each half of draws and examples ``(2, n_layers)``; nan where there are no halves."""
        truth, place = self.networks[network].truth, self._places[network, perturbation, None]
        return np.stack([truth.half_a[place], truth.half_b[place]])

    def reliability(self, network: str, perturbation: str) -> float:
        """Return the reliability of a network's areas; nan where it is unknown."""
        return self.facts.reliability.get((network, perturbation, None), np.nan)

    def kept(self, network: str, perturbation: str) -> float:
        """Return what noise leaves of the areas' correlation with anything: the root of their reliability, or nan."""
        return float(np.sqrt(self.reliability(network, perturbation)))

    def drops(self, network: str, perturbation: str) -> Array:
        """Return the mean accuracy drop of each layer at each level, mild to severe, as a share ``(n_levels, n_layers)``."""
        places = [self._places[network, perturbation, level] for level in self.facts.levels[perturbation]]
        return self.networks[network].truth.values[places]

    def above_chance(self, network: str) -> float:
        """Return the clean accuracy less chance: what there is to lose, as a share."""
        return self._above_chance[network]

    @cached_property
    def _above_chance(self) -> dict[str, float]:
        columns = ("network", "clean_correct", "n_answers", "chance_accuracy")
        rows = self.tables["networks"].select(columns).to_pylist()
        return {row["network"]: row["clean_correct"] / row["n_answers"] - row["chance_accuracy"] for row in rows}

    @cached_property
    def chance(self) -> dict[str, float]:
        """The accuracy of each network that always gives one answer, as a share."""
        rows = self.tables["networks"].select(("network", "chance_accuracy")).to_pylist()
        return {row["network"]: row["chance_accuracy"] for row in rows}

    @cached_property
    def results(self) -> pa.Table:
        """What every criterion of the tree reached, in area: the table ``results``."""
        return evaluate(self._in_area, self.tables["scores"])

    @cached_property
    def _in_area(self) -> dict[str, pa.Table]:
        tables = {name: self.tables[name] for name in ("networks", "layers", "layer_sensitivity", "cells", "perturbations")}
        return {**tables, "layer_sensitivity": tables["layer_sensitivity"].filter(pc.field("summary") == AREA)}

    def board(
        self, use_case: str | None = None, dataset: str = HEADLINE[0], split: str = HEADLINE[1], metric: str = "spearman"
    ) -> Board | None:
        """Return a board in area; None where the truth has no such networks."""
        key = use_case, metric
        if key not in self._boards:
            self._boards[key] = boards(self.results, self._in_area, metric, use_case=use_case)
        made = (board for board in self._boards[key] if board.headline)
        return next((board for board in made if (board.dataset, board.split) == (dataset, split)), None)

    @cached_property
    def _boards(self) -> dict[tuple[str | None, str], tuple[Board, ...]]:
        return {}  # by use case and metric: several findings ask for the same

    @cached_property
    def use_cases(self) -> dict[str, tuple[str, ...]]:
        """The perturbations of each use case."""
        found: dict[str, list[str]] = {}
        for perturbation, use_case in sorted(self.facts.use_cases.items()):
            if use_case:
                found.setdefault(use_case, []).append(perturbation)
        return {use_case: tuple(found[use_case]) for use_case in sorted(found)}

    @cached_property
    def budget_results(self) -> dict[str, list[dict[str, Any]]]:
        """The results of budgets by task and perturbation, of all runs; verdicts hold for all gains of one at once."""
        if not any(self.budgets.rglob(FILES)):
            return {}
        rows = read_budgets(self.budgets).to_pylist()
        by_task = grouped(
            rows,
            key=lambda row: TASKS[row["task"]].label(row["perturbation"]).replace("-", ", ").replace("_", " "),
        )
        return {label: by_task[label] for label in sorted(by_task)}
