"""The command that plans what each layer gets."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.cli.choices import PlanTask
from safer_bench.cli.console import Json, duration, note, print_json, progress, size, table
from safer_bench.cli.options import NETWORK_HELP, NetworkOptions, with_network_options
from safer_bench.errors import BadInput, needs_torch
from safer_bench.tables.text import number_of

if TYPE_CHECKING:
    from safer_bench.budget.plans.cost import LevelFound
    from safer_bench.budget.plans.make import Score, Wanted
    from safer_bench.budget.plans.menu import Menu
    from safer_bench.budget.plans.plan import Interval, Plan, Point
    from safer_bench.networks.network import Network

RUN = "run"  # folder of what is measured for a plan alone
Budget = Annotated[
    float | None, typer.Option(help="Mean bits, share of the weights pruned, or share of the weights protected.")
]
MaxDrop = Annotated[float | None, typer.Option(help="Instead: points of accuracy that may be lost, with 95 % confidence.")]
Cost = Annotated[
    float | None,
    typer.Option(
        help="Points that are lost, about, with all layers changed alike: finds the bit-error rate of protect, in place of "
        "--level, and the budget of the others."
    ),
]
Level = Annotated[
    list[float] | None, typer.Option(help="Bits or shares to choose from; of protect the bit-error rate. Repeat for more.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Plan nothing; say how many measurements and answers, how long, how much memory.")
]


@with_network_options
def plan(
    task: Annotated[PlanTask, typer.Option(help="Bits, sparsity, or protection from bit errors.")],
    network: Annotated[str, typer.Option(help=f"{NETWORK_HELP}.")],
    out: Annotated[Path, typer.Option(help="Folder of plan.json and plan.png.")],
    run: Annotated[
        Path | None,
        typer.Argument(help="Run folder or dataset tree with the drops; measured into OUT/run where none is named."),
    ] = None,
    by: Annotated[str, typer.Option(help="truth: measured drops; or a criterion, by the rank rules of budget.")] = "truth",
    budget: Budget = None,
    max_drop: MaxDrop = None,
    cost: Cost = None,
    perturbation: Annotated[
        str | None,
        typer.Option(
            help="quantize: quantize_per_channel (default) or quantize; protect: int8_bit_flip (default) or float32_bit_flip"
        ),
    ] = None,
    level: Level = None,
    draws: Annotated[int, typer.Option(min=2, help="Draws of bit errors, where the plan is measured.")] = 10,
    dry_run: DryRun = False,
    as_json: Json = False,
    *,
    network_options: NetworkOptions,
) -> None:
    """Plan what each layer gets (bits, sparsity, protection), and measure what that leaves.

    Example: safer-bench plan --task quantize --network digits_resnet --budget 4 --out plans
    """
    with needs_torch():
        from safer_bench.measurement.answers.tuning import tune_allocator
    from safer_bench.tables.files import check_writable

    tune_allocator()
    wanted = _wanted(task, perturbation, level or [], budget, (max_drop, cost), by, draws, has_run=run is not None)
    check_writable(out)
    (item,) = network_options.load([network])
    if dry_run:
        _tell_forecast(item, wanted, run, as_json=as_json)
    else:
        _tell(_made(item, wanted, run, out, as_json=as_json), out, as_json=as_json)


def _wanted(
    task: str,
    perturbation: str | None,
    levels: list[float],
    budget: float | None,
    points: tuple[float | None, float | None],
    by: str,
    draws: int,
    *,
    has_run: bool,
) -> "Wanted":
    """Return what is wanted; ``points``: of ``--max-drop`` and ``--cost``.

    Raises:
        BadInput: options that say different things, or of which the task has none.
    """
    from safer_bench.budget.plans.make import TRUTH, Wanted
    from safer_bench.budget.plans.menu import make_menu

    max_drop, cost = (None if each is None else each / 100.0 for each in points)
    if task == "protect" and cost is not None and (levels or has_run):
        raise BadInput(
            "--cost finds a bit-error rate at which drops are then measured: leave out --level and the run that is measured"
        )
    menu = make_menu(task, perturbation, levels)
    wanted = Wanted(menu, budget, max_drop, by, None if by == TRUTH else _score(by), draws, cost)
    wanted.check()
    return wanted


def _made(network: "Network", wanted: "Wanted", run: Path | None, out: Path, *, as_json: bool) -> "Plan":
    """Return the plan: find the level of ``--cost``, measure the drops where none are named, and plan by them."""
    from safer_bench.budget.plans.choosers import choosing_network
    from safer_bench.budget.plans.cost import level_that_costs
    from safer_bench.budget.plans.make import make_plan
    from safer_bench.budget.plans.truths import measured_here, truth_at

    truth, by_scores = truth_at(run) if run else None, wanted.score is not None
    if truth is not None and not by_scores:
        wanted = wanted.measured(network, truth)
    with progress() as report:
        tell = lambda step: report(step, 0, 0)  # noqa: E731
        if wanted.cost is not None:
            chooses = choosing_network(network, wanted.menu, truth, by_scores=by_scores)
            found = level_that_costs(chooses, wanted.menu, wanted.cost, wanted.draws_each, tell)
            typer.echo(_found(wanted.menu.task, found), err=as_json)
            wanted = wanted.at(found)
        if truth is None and not by_scores:
            truth = measured_here(network, wanted.menu, out / RUN, report)
        return make_plan(network, wanted, truth, tell)


def _found(task: str, found: "LevelFound") -> str:
    at = f"Bit-error rate {found.level:g}: unprotected" if task == "protect" else f"Budget {found.level:g}: all layers alike"
    lost, low, high = (_points(end) for end in (found.lost.mean, found.lost.low, found.lost.high))
    beyond = f" {found.beyond}" if found.beyond else ""
    return f"{at}, {lost} points lost ({low} to {high}) on {found.n_examples} examples that judge nothing.{beyond}"


def _tell_forecast(network: "Network", wanted: "Wanted", run: Path | None, *, as_json: bool) -> None:
    """Print what a plan will take."""
    from safer_bench.budget.plans.forecast import forecast_plan
    from safer_bench.budget.plans.truths import truth_at

    truth = truth_at(run) if run else None
    if truth is not None and wanted.score is None:
        wanted = wanted.measured(network, truth)
    note("Measures a sample first: about a minute at most, beside what tracing takes.")
    found = forecast_plan(network, wanted, truth)
    if as_json:
        print_json(
            asdict(found) | {"whole": asdict(found.whole), "scores_on_top": None if wanted.score is None else wanted.by}
        )
        return
    rows = [
        [step.name, f"{step.n_measurements:,}", f"{step.n_answers:,}", duration(step.seconds)]
        for step in [*found.steps, found.whole]
    ]
    typer.echo(table(["step", "measurements", "answers", "time"], rows))
    scoring = "" if wanted.score is None else f" The scores of {wanted.by} come on top."
    typer.echo(f"Memory: {size(found.memory_bytes)}. With nothing else at work; nothing was planned.{scoring}")


def _score(by: str) -> "Score":
    from safer_bench.criteria.loading import parse_criterion
    from safer_bench.scoring.score import score

    entry = parse_criterion(by)

    def scores(network: "Network", menu: "Menu") -> Mapping[str, float]:
        return score(entry, network, perturbation=menu.spec() if entry.aware else None)

    return scores


def _tell(made: "Plan", out: Path, *, as_json: bool) -> None:
    """Write the plan and its picture, and print it; where it does not keep to what was asked, the status is 1."""
    from safer_bench.budget.plans.advice import advice
    from safer_bench.budget.plans.picture import plan_png
    from safer_bench.budget.plans.plan import write_text
    from safer_bench.tables.together import write_together

    text = write_text(made)
    write_together(out, {"plan.json": text.encode(), "plan.png": plan_png(made)})
    if as_json:
        print_json(json.loads(text))
    else:
        _show(made)
        typer.echo(f"Plan: {out / 'plan.json'}")
    if said := advice(made):
        typer.echo(said, err=True)
    if made.met is False:
        raise typer.Exit(1)


def _show(made: "Plan") -> None:
    """Print what each layer gets, what that leaves, and what uniform allocations leave."""
    from safer_bench.budget.plans.advice import uniform_that_is_better

    _tell_layers(made)
    measured = made.measured
    typer.echo(f"Unchanged: {100 * measured.unchanged.value:.1f} % of {measured.n_examples} examples that {made.judges}.")
    for label, point in [("Plan", measured.plan), *(("Uniform", point) for point in measured.uniform)]:
        typer.echo(f"{label}: {_about(point, made.task)}")
    if measured.gain is not None:
        typer.echo(f"Plan minus uniform at equal spending: {_difference(measured.gain)}")
    if made.met:
        allowed = 100 * (made.max_drop or 0.0)
        typer.echo(f"Met: at most {_points(measured.plan.drop.high)} of {allowed:g} points are lost, with 95 % confidence.")
        if (last := measured.curve[-1]) != measured.plan:
            typer.echo(f"Stopped at {last.budget:g}, where up to {_points(last.drop.high)} may be lost.")
    if better := uniform_that_is_better(made):
        typer.echo(better)
    if made.task == "quantize":
        typer.echo("Activations stay in float32: weights alone were quantized.")


def _tell_layers(made: "Plan") -> None:
    """Print what each layer gets, and what it loses alone at each choice that was measured."""
    gets = {"quantize": "bits", "prune": "sparsity", "protect": "protected"}[made.task]
    choices = [choice for choice in made.layers[0].alone if (made.task, choice) != ("protect", "1")]
    heads = ["unprotected" if made.task == "protect" else f"at {choice}" for choice in choices]
    if made.task == "protect":
        draws = number_of(made.measured.draws, "draw")
        typer.echo(f"Bit errors: {made.perturbation} at rate {made.level:g}; {draws} judge, others than those that chose.")
    if choices:
        typer.echo("What layers get, and the points of accuracy that each loses alone:")
    rows = [
        [layer.name, _amount(made, layer.amount), *(_points(layer.alone[choice]) for choice in choices)]
        for layer in made.layers
    ]
    typer.echo(table(["layer", gets, *heads], rows))


def _amount(made: "Plan", amount: float) -> str:
    return ("no", "yes")[int(amount)] if made.task == "protect" else f"{amount:g}"


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _difference(gain: "Interval") -> str:
    if gain.low is None or gain.high is None:
        return f"{_points(gain.value)} points"
    verdict = "surely better" if gain.low > 0 else "surely worse" if gain.high < 0 else "not surely different"
    return f"{_points(gain.value)} points ({_points(gain.low)} to {_points(gain.high)}), {verdict}"


def _about(point: "Point", task: str) -> str:
    share = f"{100 * point.spent:.3g} % of the weights"
    spent = {"quantize": f"{point.spent:.3g} mean bits", "prune": f"{share} pruned", "protect": f"{share} protected"}[task]
    lost, low, high = (_points(end) for end in (point.drop.value, point.drop.low, point.drop.high))
    return f"{spent}, {100 * point.accuracy.value:.1f} %; {lost} points lost ({low} to {high})"
