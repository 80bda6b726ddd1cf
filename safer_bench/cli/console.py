"""What commands print with: results to standard output, as text or JSON; progress and notes to standard error."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

INTERRUPTED = 130
RECENT = 1800.0  # seconds over which the time left is estimated
EVERY, SHARE = 5.0, 0.05  # where no terminal is, a line of progress: seconds, later this share of the time gone by
BEAT = 1.0  # seconds after which it is looked whether a line is due, whatever is reported meanwhile
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
_quiet = ContextVar("quiet", default=False)


def set_quiet(*, quiet: bool) -> None:
    """Leave out progress and notes from here on, or show them."""
    _quiet.set(quiet)


def note(text: str) -> None:
    """Say on standard error what is neither a result nor wrong, unless all is to be quiet."""
    if not _quiet.get():
        typer.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON: paths as text, numbers that are not finite as null."""
    typer.echo(json.dumps(_plain(value), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


@contextmanager
def progress() -> Iterator[Callable[[str, float, float], None]]:
    """Show on standard error how far it is; the yielded function takes (step, work done, work in all; 0: not known).

    A terminal gets a bar with the time left, anything else now and then a line, also while a step takes long.
    """
    if _quiet.get():
        yield lambda *_: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        with _lines() as report:
            yield report


@contextmanager
def _bar() -> Iterator[Callable[[str, float, float], None]]:
    from rich.console import Console  # here, as the help can do without
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=14),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shown = Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=RECENT,
        redirect_stdout=False,  # else what is printed meanwhile, JSON even, would go to standard error, wrapped
    )
    with shown as bar:
        task = bar.add_task("starting", total=None)
        yield lambda step, done, total: bar.update(task, description=f"{step:<34.34}", completed=done, total=total or None)


@contextmanager
def _lines() -> Iterator[Callable[[str, float, float], None]]:
    """Yield a report; what was reported last is printed each few seconds, in a long run each few minutes."""
    started = told = time.monotonic()
    last, turn, over = "", threading.Lock(), threading.Event()

    def tell() -> None:
        nonlocal told
        now = time.monotonic()
        if last and now - told >= max(EVERY, SHARE * (now - started)):
            told = now
            typer.echo(f"{duration(now - started)}: {last}", err=True)

    def report(step: str, done: float, total: float) -> None:
        nonlocal last
        with turn:
            last = f"{step}, {done / total:.0%}" if total else step
            tell()

    def beat() -> None:
        while not over.wait(BEAT):
            with turn:
                tell()

    beats = threading.Thread(target=beat, daemon=True)
    beats.start()
    try:
        yield report
    finally:
        over.set()
        beats.join()


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
