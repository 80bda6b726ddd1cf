"""What commands print with: plain lines to standard output, progress to standard error."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from safer_bench.tables.grouping import grouped
from safer_bench.tables.text import visible

if TYPE_CHECKING:
    from safer_bench.evaluation.aggregates import Aggregate
    from safer_bench.evaluation.board import Board, BoardRow

INTERRUPTED = 130
RECENT = 1800.0  # seconds over which the time left is estimated


@contextmanager
def progress() -> Iterator[Callable[[str, float, float], None]]:
    """Show a bar and the time left on standard error; the yielded function takes (step, work done, work in all)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=14),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shown = Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=RECENT)
    with shown as bar:
        task = bar.add_task("starting", total=None)
        yield lambda step, done, total: bar.update(task, description=f"{step:<34.34}", completed=done, total=total)


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Turn Ctrl-C within the block into a message that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. What is finished is kept; repeat the command to resume: {command}", err=True)
        raise typer.Exit(INTERRUPTED) from None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned text: the first column to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    >>> duration(0.4), duration(75), duration(7300), duration(200000)
    ('1 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    whole = max(1, round(seconds))
    for unit, part, size_of, size_of_part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size_of:
            return f"{whole // size_of} {unit} {whole % size_of // size_of_part} {part}"
    return f"{whole} s"


def size(n_bytes: float) -> str:
    """Return a number of bytes in the unit that suits it.

    >>> size(900), size(2_340_000), size(5e9)
    ('1 kB', '2 MB', '5.0 GB')
    """
    if n_bytes >= 1e9:
        return f"{n_bytes / 1e9:.1f} GB"
    return f"{n_bytes / 1e6:.0f} MB" if n_bytes >= 1e6 else f"{max(1, round(n_bytes / 1e3))} kB"


def board_text(board: "Board") -> str:
    """Return a board as text, with its note."""
    header = ["criterion", "mean", *(("95 % interval", "ranks") if board.has_intervals else ()), *board.families]
    ranked, reported = ([_cells(row, board) for row in board.rows if row.reported is apart] for apart in (False, True))
    parts = [table(header, ranked)]
    if reported:
        parts.append("Reported by their authors: not computed again from code, and not ranked")
        parts.append(table(header, reported))
    starred = "\n* undefined (constant) somewhere, counted as 0" if any(row.n_undefined for row in board.rows) else ""
    size = "" if board.headline else ", fewer than ten layers"
    title = f"{board.dataset}, {board.split}{size}: Spearman correlation with the true area\n{board.note}"
    return "\n\n".join([title, *parts]) + starred


def aggregates_text(rows: "Sequence[Aggregate]") -> str:
    """Return means over networks as text, a table for each board."""
    parts = []
    for of_board in grouped(rows, key=lambda row: row.board).values():
        first = of_board[0]
        size = "" if first.layers == "10 or more" else ", fewer than ten layers"
        title = (
            f"{first.dataset}, {first.split}{size}: Spearman correlation with the true area, mean of {first.networks} "
            f"networks of {first.families} famil{'ies' if first.families > 1 else 'y'}"
        )
        header = ["criterion", "submission", "track", "mean", "95 % interval"]
        cells = [
            [row.criterion, row.submission or "-", row.track, f"{row.mean:.2f}", _ends(row.low, row.high)]
            for row in of_board
        ]
        parts.append(f"{title}\n\n{table(header, cells)}")
    return "\n\n".join(parts)


def _ends(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def _cells(row: "BoardRow", board: "Board") -> list[str]:
    """Return a row of a board as text."""
    return [
        visible(row.criterion),
        "not ranked" if row.value is None else f"{row.value:.2f}" + "*" * bool(row.n_undefined),
        *(_uncertainty(row) if board.has_intervals else ()),
        *(f"{row.by_network[name]:.2f}" if name in row.by_network else "-" for name in board.families),
    ]


def _uncertainty(row: "BoardRow") -> tuple[str, str]:
    """Return a row's interval and ranks as text."""
    interval = "-" if row.interval is None else f"{row.interval[0]:.2f} to {row.interval[1]:.2f}"
    return interval, "-" if row.ranks is None else f"{row.ranks[0]} to {row.ranks[1]}"
