"""The command from measurements to a dataset tree."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.cli.console import note, progress
from safer_bench.tables.grouping import grouped
from safer_bench.tables.text import number_of

if TYPE_CHECKING:
    from safer_bench.dataset.tree import Tree


def pack(
    out: Annotated[Path, typer.Option(help="Folder of the dataset tree.")],
    runs: Annotated[list[Path] | None, typer.Argument(help="Finished run folders.")] = None,
    scores: Annotated[list[Path] | None, typer.Option(help="Folder written by `score`; repeat for more.")] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="Earlier dataset tree: its networks that no run measured anew are taken over, with scores."),
    ] = None,
    data_version: Annotated[
        str | None, typer.Option(help="X.Y.Z, where the tree is a release: its documents and its tag on the Hub state it.")
    ] = None,
) -> None:
    """Write a dataset tree from run folders and scores, and what it takes over of an earlier tree.

    Example: safer-bench pack runs/mlp --scores runs/scores --out data_cards/mine
    """
    from safer_bench.dataset.pack import pack as write
    from safer_bench.dataset.tree import load_tree

    before: tuple[str | None, str] = (None, "")
    if base is not None:
        earlier = load_tree(base)
        before = (earlier.manifest.get("version"), earlier.revision)
        note(f"Computes anew what follows from the measurements of {base}: a minute or two for a million.")
    with progress() as report:
        report("packing", 0, 0)
        write(runs or [], scores or [], out, data_version, base)
    tree = load_tree(out)
    typer.echo(f"{out}: {number_of(tree['layer_drops'].num_rows, 'measurement')}, revision {tree.revision}")
    for said in (*_version_told(*before, tree), *_unscored(tree)):
        typer.echo(said, err=True)


def _version_told(version: str | None, revision: str, tree: "Tree") -> Iterator[str]:
    """Yield what is odd about the version of a tree beside version and revision of the earlier one."""
    now = tree.manifest.get("version")
    if version and not now:
        yield f"The earlier tree is data version {version}, this one states none: --data-version X.Y.Z does"
    elif version and version == now and tree.revision != revision:
        yield f"Other contents under the same version, {version}: where that one is published, give a later one"


def _unscored(tree: "Tree") -> Iterator[str]:
    """Yield of each criterion that scores some networks alone which it leaves out, and what to do."""
    if "scores" not in tree:
        return
    networks = tree["networks"]["network"].to_pylist()
    pairs = tree["scores"].select(["criterion", "network"]).group_by(["criterion", "network"]).aggregate([])
    of_criterion = grouped(pairs.to_pylist(), key=lambda row: row["criterion"])
    for left_out, names in grouped(of_criterion, key=lambda name: _without(networks, of_criterion[name])).items():
        if left_out:
            more = f" and {len(names) - 1} more" * (len(names) > 1)
            words = " ".join(f"--network {name}" for name in left_out[:2])
            yield (
                f"{names[0]}{more}: no scores of {number_of(len(left_out), 'network')}, so not ranked with them: "
                f"safer-bench score {names[0]} ... {words}{' ...' * (len(left_out) > 2)}"
            )


def _without(networks: Sequence[str], rows: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    scored = {row["network"] for row in rows}
    return tuple(name for name in networks if name not in scored)
