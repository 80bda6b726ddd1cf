"""Commands that start from nothing: demo and train."""

from pathlib import Path
from typing import Annotated

import typer

from safer_bench.board import Board
from safer_bench.catalogue import needs_torch
from safer_bench.cli.console import progress, resumable, table


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


def board_text(board: Board) -> str:
    """Return a board as text, with its note."""
    header = ["criterion", "mean", *board.families]
    rows = [
        [
            row.criterion,
            "not ranked" if row.value is None else f"{row.value:.2f}" + "*" * bool(row.n_undefined),
            *(f"{row.by_network[name]:.2f}" if name in row.by_network else "-" for name in board.families),
        ]
        for row in board.rows
    ]
    starred = "\n* undefined (constant) somewhere, counted as 0" if any(row.n_undefined for row in board.rows) else ""
    size = "" if board.headline else ", fewer than ten layers"
    title = f"{board.dataset}, {board.split}{size}: Spearman correlation with the true area\n{board.note}"
    return f"{title}\n\n{table(header, rows)}{starred}"


def train(
    name: Annotated[str, typer.Argument(help="Network of the zoo.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the weights; the network's own place by default.")] = None,
) -> None:
    """Train a network of the zoo by its recipe; an interrupted training goes on after its last epoch.

    Example: safer-bench train resnet20 --out data_cards/safer-bench-zoo
    """
    with needs_torch():
        from safer_bench.measurement.tuning import tune_allocator
        from safer_bench.registry import look_up
        from safer_bench.zoo import zoo_networks
        from safer_bench.zoo.card import write_card
        from safer_bench.zoo.train import train as train_network
        from safer_bench.zoo.weights import PACKAGED, ZOO_TREE
    entry = look_up(zoo_networks(), name, "network")
    tune_allocator()
    folder = out or (PACKAGED if entry.dataset == "digits" else ZOO_TREE)
    with resumable(f"safer-bench train {name}"):
        path = train_network(
            entry,
            folder,
            lambda p: typer.echo(
                f"epoch {p.epoch:3d}  loss {p.loss:.4f}  held-out accuracy {p.accuracy:.4f}  {p.seconds:.0f} s"
            ),
        )
    if entry.dataset != "digits":
        write_card(folder)
    typer.echo(str(path))


COMMANDS = (demo, train)
