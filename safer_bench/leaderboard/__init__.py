"""Results -> pages: one self-contained HTML file, Markdown and CSV."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from safer_bench import files, schema
from safer_bench.board import Board, Difference, boards

Boards = Mapping[str, tuple[Board, ...]]  # by metric
FILES = ("results.parquet", "leaderboard.html", "leaderboard.md", "leaderboard.csv")


def write_leaderboard(out: Path, results: pa.Table, truth: Mapping[str, pa.Table]) -> Path:
    """Write results.parquet and the leaderboard as HTML, Markdown and CSV.

    Args:
        out: folder, created where it is not there.
        results: what ``evaluate`` returns.
        truth: the tables that it was evaluated against.

    Returns:
        Path of the HTML page.

    Raises:
        BadInput: the folder cannot be written to.
    """
    files.make_folder(out)
    found = {metric: boards(results, truth, metric) for metric in schema.METRICS}
    files.write_bytes(out / "results.parquet", files.parquet_bytes(results))
    files.write_text(out / "leaderboard.md", render_markdown(found, truth))
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(results, sink)
    files.write_bytes(out / "leaderboard.csv", sink.getvalue().to_pybytes())
    files.write_text(out / "leaderboard.html", render_html(found, truth))
    return out / "leaderboard.html"


def render_markdown(found: Boards, truth: Mapping[str, pa.Table]) -> str:
    """Return the boards as Markdown tables."""
    return _environment(html=False).get_template("leaderboard.md.j2").render(_context(found, truth))


def render_html(found: Boards, truth: Mapping[str, pa.Table]) -> str:
    """Return the boards and the true drops as one HTML page that loads nothing from anywhere."""
    return _environment(html=True).get_template("leaderboard.html.j2").render(_context(found, truth))


def _environment(*, html: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=html,  # noqa: S701  names in submissions are a stranger's; Markdown has no escaping
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _context(found: Boards, truth: Mapping[str, pa.Table]) -> dict[str, Any]:
    return {
        "boards": found["spearman"],
        "means": _means(found),
        "metrics": schema.METRICS,
        "number": _number,
        "interval": _interval,
        "revision": getattr(truth, "revision", ""),
        "heat_maps": heat_maps(truth),
        "perturbations": [row["perturbation"] for row in truth["perturbations"].to_pylist()],
        "reliability": {
            (row["network"], row["perturbation"]): row["reliability"]
            for row in truth["cells"].to_pylist()
            if row["summary"] == "area"
        },
    }


def _means(found: Boards) -> dict[tuple[str, str, bool, str, str], dict[str, float | None]]:
    """Return each criterion's mean by metric: ``{(dataset, split, headline, criterion, track): {metric: mean}}``."""
    means: dict[tuple[str, str, bool, str, str], dict[str, float | None]] = {}
    for metric, all_boards in found.items():
        for board in all_boards:
            for row in board.rows:
                key = (board.dataset, board.split, board.headline, row.criterion, row.track)
                means.setdefault(key, {})[metric] = row.value
    return means


def _number(value: float | None) -> str:
    """Return a number with two decimals and no negative zero, or a dash."""
    return "-" if value is None else f"{round(value, 2) + 0.0:.2f}"


def _interval(ends: tuple[float, float] | Difference | None) -> str:
    """Return the ends of an interval, or a dash."""
    if ends is None:
        return "-"
    low, high = (ends.low, ends.high) if isinstance(ends, Difference) else ends
    return f"{_number(low)} to {_number(high)}"


def heat_maps(truth: Mapping[str, pa.Table]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the true areas as ``{network: {layer: {perturbation: value}}}``, layers in order of first use."""
    maps: dict[str, dict[str, dict[str, float]]] = {}
    for row in sorted(truth["layers"].to_pylist(), key=lambda row: (row["dataset"], row["network"], row["layer_index"])):
        maps.setdefault(row["network"], {})[row["layer"]] = {}
    for row in truth["layer_sensitivity"].to_pylist():
        if row["summary"] == "area":
            maps[row["network"]][row["layer"]][row["perturbation"]] = row["value"]
    return maps
