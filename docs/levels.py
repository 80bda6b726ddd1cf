"""What the levels of the published truth cost, as a table of docs/levels.md: ``python -m docs.levels``."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

from docs.markdown import filled, table
from safer_bench.dataset.tree import DEFAULT, load_tree
from safer_bench.tables.columns import SPLITS

PAGE = Path(__file__).with_suffix(".md")
HEADER = ("perturbation", "levels", "validation", "test")
Shares = dict[tuple[str, float], dict[str, list[float]]]  # (perturbation, level) -> family -> a share a network


def costs(truth: Mapping[str, pa.Table], split: str) -> dict[tuple[str, float], float]:
    """Return what each level costs the median layer, of what it can lose: the median over families of that over networks.

    Args:
        truth: tables ``layer_sensitivity`` and ``networks``.
        split: of the networks.

    Returns:
        ``{(perturbation, level): share}``.
    """
    networks = {row["network"]: row for row in truth["networks"].drop_columns("clean_outcomes").to_pylist()}
    of_level = (pc.field("summary") == "level") & (pc.field("split") == split)
    rows = truth["layer_sensitivity"].filter(of_level).select(["network", "perturbation", "level", "value"]).to_pylist()
    drops: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    for row in rows:
        drops[row["network"], row["perturbation"], row["level"]].append(row["value"])
    shares: Shares = defaultdict(lambda: defaultdict(list))
    for (network, *level), of_layers in drops.items():
        facts = networks[network]
        possible = facts["clean_correct"] / facts["n_answers"] - facts["chance_accuracy"]
        shares[tuple(level)][facts["family"]].append(median(of_layers) / possible)
    return {level: median(map(median, of_families.values())) for level, of_families in shares.items()}


def rows(truth: Mapping[str, pa.Table]) -> Iterable[tuple[str, str, str, str]]:
    """Yield each perturbation with its levels and what they cost, in the order of ``HEADER``."""
    found = {split: costs(truth, split) for split in SPLITS}
    for row in truth["perturbations"].to_pylist():
        cost = [
            ", ".join(_told(found[split].get((row["perturbation"], level))) for level in row["levels"]) for split in SPLITS
        ]
        yield row["perturbation"], ", ".join(f"{level:g}" for level in row["levels"]), *cost


def _told(share: float | None) -> str:
    return "-" if share is None else f"{round(100 * share, 1) + 0.0:.1f} %"


def render(truth: Mapping[str, pa.Table], page: str) -> str:
    """Return the page with the table of a truth."""
    return filled(page, table(HEADER, rows(truth)))


if __name__ == "__main__":
    PAGE.write_text(render(load_tree(PAGE.parent.parent / DEFAULT), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
