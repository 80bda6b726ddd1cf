"""Results -> pages: one self-contained HTML file, Markdown and CSV."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from safer_bench.evaluation.leaderboard.listing import listing
from safer_bench.evaluation.leaderboard.page import Extras, Page, headline_first, make_page, script_json, title_of
from safer_bench.links import LINKS
from safer_bench.tables import files
from safer_bench.tables.coding import coded
from safer_bench.tables.text import plain
from safer_bench.tables.together import write_together

HERE = Path(__file__).parent
SCRIPTS = (  # in this order they are one script
    *("page.js", "choices.js", "tracks.js", "table.js", "rows.js", "download.js"),
    *("plots.js", "marks.js", "cost.js", "panels.js", "budget.js", "address.js", "start.js"),
)
STYLES = ("page.css", "tables.css", "plots.css", "print.css")
# the order of results.parquet: rows of one cell beside each other take 38 % less than rows of one criterion
BY_CELL = ("dataset", "split", "network", "perturbation", "summary", "level", "metric", "track", "criterion")


def write_leaderboard(
    out: Path,
    results: pa.Table,
    truth: Mapping[str, pa.Table],
    *,
    scores: pa.Table | None = None,
    costs: pa.Table | None = None,
    marks: Mapping[str, str] | None = None,
    budget: pa.Table | None = None,
) -> Path:
    """Write results.parquet and the leaderboard as HTML, Markdown and CSV: all of them, or none.

    Args:
        out: folder, created where it is not there.
        results: what ``evaluate`` returns.
        truth: the tables that it was evaluated against.
        scores: of schema ``scores``, what was evaluated; by default the truth's own.
        costs: of schema ``costs``; by default the truth's own.
        marks: ``{criterion: "recomputed" or "reported"}``, shown beside its name.
        budget: measured accuracy at budgets, with the columns ``page.BUDGET_COLUMNS``.

    Returns:
        Path of the HTML page.

    Raises:
        BadInput: the folder cannot be written to, an unknown mark, or a budget table without its columns.
    """
    extras = Extras(
        truth.get("scores") if scores is None else scores,
        truth.get("costs") if costs is None else costs,
        marks or {},
        budget,
    )
    return write_page(out, results, make_page(results, truth, extras))


def write_page(out: Path, results: pa.Table, page: Page) -> Path:
    """Write results.parquet and a page as HTML, Markdown and CSV, as ``write_leaderboard``.

    Args:
        out: folder, created where it is not there.
        results: what ``evaluate`` returns.
        page: made of them.
    """
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(listing(page), sink)
    made = {
        "results.parquet": files.parquet_bytes(results.combine_chunks(), _order(results)),
        "leaderboard.md": render_markdown(page).encode(),
        "leaderboard.csv": sink.getvalue().to_pybytes(),
        "leaderboard.html": render_html(page).encode(),
    }
    write_together(out, made)
    return out / "leaderboard.html"


def _order(results: pa.Table) -> np.ndarray:
    """Return the order of rows by cell, nulls last."""
    keys = np.zeros(results.num_rows, dtype=np.int64)
    for name in BY_CELL:
        values, codes = coded(results[name])
        keys = keys * len(values) + codes
    return np.argsort(keys, kind="stable")


def render_markdown(page: Page) -> str:
    """Return the boards as Markdown tables."""
    environment = _environment(html=False)
    return environment.get_template("leaderboard.md.j2").render(
        overviews=page.overviews, boards=page.boards, revision=page.data["revision"]
    )


def render_html(page: Page) -> str:
    """Return a page that loads nothing from anywhere: style, script and data are inside."""
    script, style = ("\n".join((HERE / name).read_text(encoding="utf-8") for name in names) for names in (SCRIPTS, STYLES))
    return (
        _environment(html=True)
        .get_template("leaderboard.html.j2")
        .render(
            overviews=page.overviews,
            boards=headline_first(page.boards),
            revision=page.data["revision"],
            has_scores="scores" in page.data,
            has_budget="budget" in page.data,
            links=LINKS,
            style=Markup(style),  # noqa: S704  our own files
            script=Markup(script),  # noqa: S704  our own files
            data=Markup(script_json(page.data)),  # noqa: S704  escaped by script_json
        )
    )


def _environment(*, html: bool) -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        autoescape=html,  # noqa: S701  Markdown is escaped by the filter `plain`
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": _number, "interval": _interval, "title_of": title_of, "plain": plain, "breakable": _breakable}
    return made


def _number(value: float | None) -> str:
    """Return a number with two decimals and no negative zero, or a dash."""
    return "-" if value is None else f"{round(value, 2) + 0.0:.2f}"


def _interval(ends: tuple[float, float] | None) -> str:
    """Return the ends of an interval, or a dash."""
    return "-" if ends is None else f"{_number(ends[0])} to {_number(ends[1])}"


def _breakable(name: str) -> Markup:
    """Return a name that may break after underscores and dots, but not before the number that it ends with."""
    return Markup(re.sub(r"([_.])(?!\d+$)", r"\1<wbr>", str(escape(name))))  # noqa: S704  escaped before
