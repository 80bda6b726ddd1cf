"""Where the drops of a plan come from: a tree, a run folder, or a measurement made for it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.budget.images import FEWEST, has_budget_part
from safer_bench.budget.plans.menu import Menu
from safer_bench.dataset.tree import MANIFEST, load_tree
from safer_bench.errors import BadInput, MissingData
from safer_bench.measurement.design import Protocol, make_protocol
from safer_bench.measurement.progress import OnProgress
from safer_bench.measurement.run import measure_into
from safer_bench.networks.network import Network
from safer_bench.tables.text import number_of
from safer_bench.truth.probe_tables import KEYS, probe_tables
from safer_bench.truth.run_folder import RunFolder

DRAWS = 8  # of bit errors, for a plan alone
LOSS = 0.1  # of accuracy, that a loss of 1 counts for: it tells layers apart whose drops are lost in noise
Truth = Mapping[str, pa.Table]
Drops = dict[tuple[str, float], float]


def truth_at(path: Path) -> Truth:
    """Return the tables of a tree or of a finished run folder.

    Raises:
        BadInput: it is neither, damaged or not finished.
    """
    if (path / MANIFEST).exists():
        return load_tree(path)
    run = RunFolder(path)
    if not (path / "run.json").exists():
        within = f"; name {path / 'run'}" if (path / "run" / "run.json").exists() else ""
        raise MissingData(f"{path}: neither a run folder (no run.json) nor a dataset tree (no {MANIFEST}){within}")
    tables = {name: run.table(name) for name in KEYS}
    return tables | probe_tables([run], tables)


def measured_here(network: Network, menu: Menu, folder: Path, report: OnProgress = lambda *_: None) -> Truth:
    """Measure the drops that a plan needs into a run folder, which resumes, and return its tables.

    Args:
        network: whose plan it is.
        menu: what its layers may get.
        folder: of the run.
        report: called after each unit.

    Raises:
        BadInput: too few examples to do both.
    """
    measure_into(folder, [network], protocol_for(network, menu), report)
    return truth_at(folder)


def protocol_for(network: Network, menu: Menu) -> Protocol:
    """Return what is measured for a plan alone: the levels of its menu, on ``measured_examples``.

    Raises:
        BadInput: too few examples to measure and to judge.
    """
    n_examples = measured_examples(network, menu)
    draws = DRAWS if menu.task == "protect" else None
    return make_protocol([menu.spec(spared=True)], draws, n_examples // DRAWS, deterministic_examples=n_examples)


def measured_examples(network: Network, menu: Menu) -> int:
    """Return how many evaluation examples are measured for a plan alone: the first ones, so that the others can judge.

    Half of them, or all where the network's dataset has examples that judge alone. Bit errors see as many in each draw.

    Raises:
        BadInput: too few to measure and to judge.
    """
    n = len(network.labels)
    if not has_budget_part(network):
        if n < 2 * FEWEST:
            raise BadInput(
                f"network {network.name!r}: {n} evaluation examples, beside those for calibration; "
                f"expected {2 * FEWEST} or more: half of them judge"
            )
        n //= 2
    return n // DRAWS * DRAWS if menu.task == "protect" else n


def drops_of(network: str, perturbation: str, truth: Truth) -> tuple[Drops, Drops]:
    """Return the accuracy that each layer loses alone at each level, and what that counts for: with ``LOSS`` times the loss.

    Counts of a few hundred examples tell mild levels poorly; the loss is less noisy there and small beside the counts where
    these tell something.
    """
    here = (pc.field("network") == network) & (pc.field("perturbation") == perturbation)
    levels = truth["layer_sensitivity"].filter(here & (pc.field("summary") == "level"))
    rows = levels.select(["layer", "level", "value"]).to_pylist()
    keys = ["layer", "level"]
    losses = truth["losses"].filter(here).group_by(keys).aggregate([("loss_increase", "mean")]).to_pylist()
    increase = {(row["layer"], row["level"]): row["loss_increase_mean"] for row in losses}
    drops = {(row["layer"], row["level"]): row["value"] for row in rows}
    return drops, {key: drop + LOSS * float(np.nan_to_num(increase[key])) for key, drop in drops.items()}


def told_protocol(network: str, perturbation: str, truth: Truth) -> str:
    """Return in words by how many draws and examples the drops were measured."""
    here = (pc.field("network") == network) & (pc.field("perturbation") == perturbation)
    rows = truth["layer_drops"].filter(here).select(["draw", "n_examples"])
    draws, examples = pc.count_distinct(rows["draw"]).as_py(), pc.max(rows["n_examples"]).as_py()
    return f"{number_of(draws, 'draw')} of {number_of(examples, 'example')}"
