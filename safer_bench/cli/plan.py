"""The command that plans what each layer gets."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.cli.choices import PlanTask
from safer_bench.cli.console import progress, table
from safer_bench.cli.options import NETWORK_HELP, Calibration, Data, DataSeed, Device, ExamplesFrom, Name, load_networks
from safer_bench.errors import needs_torch
from safer_bench.networks.sources.named import Choice

if TYPE_CHECKING:
    from safer_bench.budget.plans.make import Score
    from safer_bench.budget.plans.menu import Menu
    from safer_bench.budget.plans.plan import Plan, Point
    from safer_bench.networks.network import Network

RUN = "run"  # folder of what is measured for a plan alone


def plan(
    task: Annotated[PlanTask, typer.Option(help="What each layer gets less or more of.")],
    network: Annotated[str, typer.Option(help=f"{NETWORK_HELP}.")],
    out: Annotated[Path, typer.Option(help="Folder of plan.json and plan.png.")],
    run: Annotated[
        Path | None,
        typer.Argument(help="Run folder or dataset tree with the drops; measured into OUT/run where none is named."),
    ] = None,
    by: Annotated[str, typer.Option(help="truth: measured drops; or a criterion, by the rank rules of budget.")] = "truth",
    budget: Annotated[
        float | None, typer.Option(help="Mean bits, share of the weights pruned, or share of the weights protected.")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Instead: points of accuracy that may be lost, with 95 % confidence.")
    ] = None,
    perturbation: Annotated[
        str | None, typer.Option(help="quantize: quantize_per_channel (default) or quantize; protect: int8_bit_flip ...")
    ] = None,
    level: Annotated[
        list[float] | None,
        typer.Option(help="Bits or shares to choose from; of protect the bit-error rate."),
    ] = None,
    draws: Annotated[int, typer.Option(min=2, help="Of bit errors, where the plan is measured.")] = 10,
    data: Data = None,
    examples_from: ExamplesFrom = None,
    calibration: Calibration = None,
    data_seed: DataSeed = None,
    name: Name = None,
    device: Device = None,
) -> None:
    """Plan what each layer gets (bits, sparsity, protection), and measure what that leaves.

    Example: safer-bench plan --task quantize --network digits_resnet --budget 4 --out plans
    """
    with needs_torch():
        from safer_bench.budget.plans.make import TRUTH, Wanted, make_plan
        from safer_bench.budget.plans.menu import make_menu
        from safer_bench.budget.plans.truths import measured_here, truth_at
        from safer_bench.measurement.answers.tuning import tune_allocator
    from safer_bench.tables.files import check_writable

    tune_allocator()
    menu = make_menu(task, perturbation, level or [])
    score = None if by == TRUTH else _score(by)
    wanted = Wanted(menu, budget, None if max_drop is None else max_drop / 100.0, by, score, draws)
    wanted.check()
    check_writable(out)
    (item,) = load_networks([network], Choice(data, examples_from, calibration, data_seed, name), device)
    with progress() as report:
        truth = truth_at(run) if run else None if score else measured_here(item, menu, out / RUN, report)
        made = make_plan(item, wanted, truth, lambda step: report(step, 0, 1))
    _tell(made, out)


def _score(by: str) -> "Score":
    from safer_bench.criteria.loading import parse_criterion
    from safer_bench.scoring.score import score

    entry = parse_criterion(by)

    def scores(network: "Network", menu: "Menu") -> Mapping[str, float]:
        levels = ",".join(f"{level:g}" for level in menu.levels[1:])
        return score(entry, network, perturbation=f"{menu.perturbation}:{levels}" if entry.aware else None)

    return scores


def _tell(made: "Plan", out: Path) -> None:
    from safer_bench.budget.plans.picture import plan_png
    from safer_bench.budget.plans.plan import write_text
    from safer_bench.tables.together import write_together

    write_together(out, {"plan.json": write_text(made).encode(), "plan.png": plan_png(made)})
    rows = [[layer.name, f"{layer.amount:g}", _points(layer.predicted_drop)] for layer in made.layers]
    typer.echo(table(["layer", _gets(made), "alone, points"], rows))
    measured = made.measured
    typer.echo(f"Unchanged: {100 * measured.unchanged.value:.1f} % of {measured.n_examples} examples that {made.judges}.")
    for label, point in [("Plan", measured.plan), *(("Uniform", point) for point in measured.uniform)]:
        typer.echo(f"{label}: {_about(point)}")
    if measured.uniform[-1].drop.value <= 0.0:
        typer.echo("Even the tightest choice everywhere lost nothing: these levels tell no layers apart.", err=True)
    if made.met is False:
        typer.echo("No point keeps to --max-drop with 95 % confidence, not even the most generous one.", err=True)
    typer.echo(f"Plan: {out / 'plan.json'}")
    if made.met is False:
        raise typer.Exit(1)


def _gets(made: "Plan") -> str:
    return {"quantize": "bits", "prune": "sparsity", "protect": "protected"}[made.task]


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _about(point: "Point") -> str:
    lost, low, high = (_points(end) for end in (point.drop.value, point.drop.low, point.drop.high))
    return f"{point.spent:.3g} spent, {100 * point.accuracy.value:.1f} %; {lost} points lost ({low} to {high})"
