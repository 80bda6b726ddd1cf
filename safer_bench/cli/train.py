"""The command that trains networks of the zoo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.cli.console import resumable
from safer_bench.errors import BadInput, needs_torch

if TYPE_CHECKING:
    from safer_bench.networks.zoo_network import ZooNetwork


def train(
    names: Annotated[list[str] | None, typer.Argument(help="Networks of the zoo.", metavar="[NAME]...")] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Train every network that has no weights of its recipe.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the weights; each network's own place by default.")] = None,
) -> None:
    """Train networks of the zoo by their recipes; an interrupted training resumes after its last epoch.

    Example: safer-bench train resnet20 --out data_cards/safer-bench-zoo
    """
    with needs_torch():
        from safer_bench.measurement.answers.tuning import tune_allocator
        from safer_bench.networks.loading import untrained_networks, zoo_networks
        from safer_bench.registry import look_up
    if bool(names) == missing:
        raise BadInput("train takes names of networks or --missing, one of the two: safer-bench train resnet20")
    entries = untrained_networks(out) if missing else [look_up(zoo_networks(), name, "network") for name in names or ()]
    tune_allocator()
    with resumable(f"safer-bench train {'--missing' if missing else ' '.join(names or ())}"):
        for entry in entries:
            typer.echo(f"training {entry.name}")
            typer.echo(str(_train_one(entry, out)))


def _train_one(entry: "ZooNetwork", out: Path | None) -> Path:
    from safer_bench.networks.training.model_card import write_card
    from safer_bench.networks.training.train import train as train_network
    from safer_bench.networks.weights import training_folder

    folder = out or training_folder(entry.dataset)
    told = lambda p: typer.echo(  # noqa: E731
        f"epoch {p.epoch:3d}  loss {p.loss:.4f}  held-out accuracy {p.accuracy:.4f}  {p.seconds:.0f} s"
    )
    finish = (lambda: None) if entry.dataset == "digits" else (lambda: write_card(folder))
    return train_network(entry, folder, told, finish)
