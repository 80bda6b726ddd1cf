"""Commands that start from nothing: demo and train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.catalogue import needs_torch
from safer_bench.cli.console import progress, resumable, table
from safer_bench.errors import BadInput

if TYPE_CHECKING:
    from safer_bench.board import Board, BoardRow
    from safer_bench.zoo import ZooNetwork


def demo(out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo")) -> None:
    """Run the whole pipeline on four small networks of handwritten digits.

    Example: safer-bench demo --out demo
    """
    with needs_torch():
        from safer_bench.demo import run_demo
        from safer_bench.measurement.tuning import tune_allocator
    tune_allocator()
    with resumable(f"safer-bench demo --out {out}"), progress() as report:
        made = run_demo(out, report)
    for board in made.boards:
        typer.echo(f"\n{board_text(board)}")
    rows = ", ".join(f"{split} {n} rows" for split, n in made.n_rows.items())
    typer.echo(f"\nDataset tree: {made.tree} (load_dataset: {rows})\nLeaderboard:  {made.page}")


def board_text(board: "Board") -> str:
    """Return a board as text, with its note."""
    header = ["criterion", "mean", *(("95 % interval", "ranks") if board.has_intervals else ()), *board.families]
    rows = [
        [
            row.criterion,
            "not ranked" if row.value is None else f"{row.value:.2f}" + "*" * bool(row.n_undefined),
            *(_uncertainty(row) if board.has_intervals else ()),
            *(f"{row.by_network[name]:.2f}" if name in row.by_network else "-" for name in board.families),
        ]
        for row in board.rows
    ]
    starred = "\n* undefined (constant) somewhere, counted as 0" if any(row.n_undefined for row in board.rows) else ""
    size = "" if board.headline else ", fewer than ten layers"
    title = f"{board.dataset}, {board.split}{size}: Spearman correlation with the true area\n{board.note}"
    return f"{title}\n\n{table(header, rows)}{starred}"


def _uncertainty(row: "BoardRow") -> tuple[str, str]:
    """Return a row's interval and ranks as text."""
    interval = "-" if row.interval is None else f"{row.interval[0]:.2f} to {row.interval[1]:.2f}"
    return interval, "-" if row.ranks is None else f"{row.ranks[0]} to {row.ranks[1]}"


def train(
    names: Annotated[list[str] | None, typer.Argument(help="Networks of the zoo.", metavar="[NAME]...")] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Train every network that has no weights of its recipe.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the weights; each network's own place by default.")] = None,
) -> None:
    """Train networks of the zoo by their recipes; an interrupted training goes on after its last epoch.

    Example: safer-bench train resnet20 --out data_cards/safer-bench-zoo
    """
    with needs_torch():
        from safer_bench.measurement.tuning import tune_allocator
        from safer_bench.registry import look_up
        from safer_bench.zoo import untrained_networks, zoo_networks
    if bool(names) == missing:
        raise BadInput("train takes names of networks or --missing, one of the two: safer-bench train resnet20")
    entries = untrained_networks(out) if missing else [look_up(zoo_networks(), name, "network") for name in names or ()]
    tune_allocator()
    with resumable(f"safer-bench train {'--missing' if missing else ' '.join(names or ())}"):
        for entry in entries:
            typer.echo(f"training {entry.name}")
            typer.echo(str(_train_one(entry, out)))


def _train_one(entry: "ZooNetwork", out: Path | None) -> Path:
    from safer_bench.zoo.card import write_card
    from safer_bench.zoo.train import train as train_network
    from safer_bench.zoo.weights import training_folder

    folder = out or training_folder(entry.dataset)
    path = train_network(
        entry,
        folder,
        lambda p: typer.echo(
            f"epoch {p.epoch:3d}  loss {p.loss:.4f}  held-out accuracy {p.accuracy:.4f}  {p.seconds:.0f} s"
        ),
    )
    if entry.dataset != "digits":
        write_card(folder)
    return path


COMMANDS = (demo, train)
