"""The command that runs the whole product on the embedded digits: measure, score, pack, load, evaluate, show."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.cli.board_text import board_text
from safer_bench.cli.console import progress, resumable
from safer_bench.errors import needs_torch
from safer_bench.measurement.progress import OnProgress

if TYPE_CHECKING:
    from safer_bench.evaluation.board import Board

PERTURBATIONS = ("gaussian_noise", "int8_bit_flip", "magnitude_prune", "gradient_corruption_l2")
CRITERIA = (  # the controls and the best known; `score` knows many more
    "constant",
    "corruption_indicator_l2",
    "depth",
    "empirical_fisher",
    "first_last",
    "gradient_norm",
    "l2_norm",
    "macs",
    "mean_magnitude",
    "measured_drop_128",
    "parameters",
    "random",
    "snip",
    "spectral_norm",
)
DRAWS, EXAMPLES = 4, 100


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made: the dataset tree, its rows as ``load_dataset`` counts them by split, the page, and the boards."""

    tree: Path
    n_rows: dict[str, int]
    page: Path
    boards: "tuple[Board, ...]"


def demo(out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo")) -> None:
    """Run the whole pipeline on four small networks of handwritten digits.

    Example: safer-bench demo --out demo
    """
    with needs_torch():
        from safer_bench.measurement.answers.tuning import tune_allocator
    tune_allocator()
    with resumable(f"safer-bench demo --out {out}"), progress() as report:
        made = run_demo(out, report)
    for board in made.boards:
        typer.echo(f"\n{board_text(board)}")
    rows = ", ".join(f"{split} {n} rows" for split, n in made.n_rows.items())
    typer.echo(f"\nDataset tree: {made.tree} (load_dataset: {rows})\nLeaderboard:  {made.page}")


def run_demo(out: Path, report: OnProgress = lambda *_: None) -> Demo:
    """Measure four networks of digits under four perturbations and rank fourteen criteria.

    Args:
        out: folder for the run, the scores, the dataset tree and the board; a second run goes on where one stopped.
        report: called with (step, done, total).

    Raises:
        BadInput: the folder cannot be written to, or belongs to something else.
    """
    from safer_bench.dataset.pack import pack
    from safer_bench.dataset.submissions.gather import gather
    from safer_bench.dataset.tree import load_tree
    from safer_bench.evaluation.boards import boards
    from safer_bench.evaluation.evaluate import evaluate
    from safer_bench.evaluation.leaderboard.write import write_leaderboard
    from safer_bench.measurement.design import make_protocol
    from safer_bench.measurement.run import measure_into
    from safer_bench.networks.loading import load_network, zoo_networks
    from safer_bench.scoring.write import write_scores

    networks = [load_network(entry.name) for entry in zoo_networks().values() if entry.dataset == "digits"]
    protocol = make_protocol(PERTURBATIONS, DRAWS, EXAMPLES, deterministic_examples=EXAMPLES)
    measure_into(out / "run", networks, protocol, lambda what, *progress: report(f"measuring {what}", *progress))
    write_scores(out / "scores", CRITERIA, networks, protocol.perturbations, report)
    report("packing the dataset tree", 0, 1)
    pack([out / "run"], [out / "scores"], out / "tree")
    tree = load_tree(out / "tree")
    results = evaluate(tree, gather(tree, []).scores)
    return Demo(
        out / "tree", _count_rows(out / "tree"), write_leaderboard(out / "board", results, tree), boards(results, tree)
    )


def _count_rows(tree: Path) -> dict[str, int]:
    """Load the tree as its users do; the cache is thrown away, since it would outlive a changed tree."""
    import datasets

    datasets.disable_progress_bars()
    with TemporaryDirectory() as cache:
        found = datasets.load_dataset(str(tree), "layer_drops", cache_dir=cache)
        return {split: rows.num_rows for split, rows in found.items()}
