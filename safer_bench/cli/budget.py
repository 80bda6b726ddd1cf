"""The command that spends budgets by scores."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safer_bench.cli.choices import BudgetTask
from safer_bench.cli.console import note, progress
from safer_bench.cli.options import NETWORK_HELP, NetworkOptions, refusal, submissions_below, with_network_options
from safer_bench.errors import BadInput, SaferBenchError, needs_torch

if TYPE_CHECKING:
    import pyarrow as pa

    from safer_bench.budget.spend import Wanted
    from safer_bench.networks.network import Network


@with_network_options
def budget(
    task: Annotated[BudgetTask, typer.Option(help="What the budget is spent on.")],
    out: Annotated[Path, typer.Option(help="Folder of tables, summary and plot.")],
    network: Annotated[list[str] | None, typer.Option(help=f"{NETWORK_HELP}; by default all of the truth.")] = None,
    submission: Annotated[
        list[Path] | None, typer.Option(help="Folder of a submission, or of several; repeat for more.")
    ] = None,
    criterion: Annotated[
        list[str] | None, typer.Option(help="Only these criteria (and the controls); by default all with scores.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Folder of the dataset tree; by default the truth at hand.")] = None,
    budget: Annotated[
        list[float] | None,
        typer.Option(help="Share of the weights pruned, mean bits, or share of the weights protected; repeat for more."),
    ] = None,
    level: Annotated[
        list[float] | None, typer.Option(help="Bit-error rates for protect; by default calibrated ones. Repeat for more.")
    ] = None,
    perturbation: Annotated[
        list[str] | None,
        typer.Option(
            help="protect: int8_bit_flip or float32_bit_flip. quantize: quantize or quantize_per_channel. additivity: "
            "NAME[:LEVEL,...]; repeat for more."
        ),
    ] = None,
    draws: Annotated[int, typer.Option(help="Draws of random perturbations.")] = 10,
    plans: Annotated[
        bool,
        typer.Option(
            "--plans",
            help="prune, quantize: also what `safer-bench plan` chooses by the truth, before and after its joint "
            "correction, and HAWQ-V2's rule.",
        ),
    ] = False,
    *,
    network_options: NetworkOptions,
) -> None:
    """Spend a budget by scores and measure the accuracy that is left.

    Example: safer-bench budget --task protect --network resnet20 --submission submissions/snip --out budgets
    """
    _prepare(network_options.device)
    is_additivity = _is_additivity(task, uses_scores=any((submission, criterion, budget, level, plans)))
    from safer_bench.dataset.tree import load_tree
    from safer_bench.tables.files import check_writable

    check_writable(out)
    if is_additivity:
        named = network or load_tree(truth)["networks"]["network"].to_pylist()
        _compare_drops(named, perturbation or [], draws, out, network_options)
        return
    tree = load_tree(truth)
    wanted = replace(_wanted(task, perturbation or [], criterion or [], budget or [], level or [], draws), plans=plans)
    scores = _scores(tree, submission or [])
    _spend(wanted, tree, _networks(tree, network or [], wanted.perturbation, network_options), scores, out)


def _prepare(device: str | None) -> None:
    """Say once, and not of each network that it leaves out, that torch or a device is missing.

    Raises:
        MissingExtra: torch is not installed.
        BadInput: there is no such device.
    """
    with needs_torch():
        from safer_bench.measurement.answers.tuning import tune_allocator
        from safer_bench.networks.devices import device_named
    tune_allocator()
    device_named(device or "cpu")


def _is_additivity(task: str, *, uses_scores: bool) -> bool:
    """Tell whether the task compares drops, where all others spend a budget by scores.

    Raises:
        BadInput: there is no such task, or it compares drops and was given options of the others.
    """
    from safer_bench.budget.tasks import ADDITIVITY, look_up_task

    if task != ADDITIVITY:
        look_up_task(task)
    elif uses_scores:
        raise BadInput(
            "task 'additivity' compares drops, not scores: --submission, --criterion, --budget, --level and --plans are not "
            "its"
        )
    return task == ADDITIVITY


def _wanted(
    task_name: str, perturbations: list[str], criteria: list[str], budgets: list[float], levels: list[float], draws: int
) -> "Wanted":
    """Return what is to be measured of every network; where an option names none, what the task has by default.

    Raises:
        BadInput: the task has no such perturbation, budget or level, or more than one perturbation was given.
    """
    from safer_bench.budget.spend import Wanted
    from safer_bench.budget.tasks import look_up_perturbation, look_up_task

    task = look_up_task(task_name)
    if len(perturbations) > 1:
        raise BadInput(f"task {task.name!r} takes one perturbation; found {', '.join(perturbations)}")
    perturbation = look_up_perturbation(task, perturbations[0] if perturbations else None)
    shares, rates = task.chosen_budgets(budgets), task.chosen_levels(perturbation, levels)
    return Wanted(task, perturbation, shares, rates, draws, tuple(criteria))


def _scores(tree: Mapping[str, Any], submissions: list[Path]) -> "pa.Table":
    from safer_bench.dataset.submissions.gather import gather

    with refusal():
        return gather(tree, [folder for root in submissions for folder in submissions_below(root)]).scores


def _spend(wanted: "Wanted", tree: Mapping[str, Any], networks: "list[Network]", scores: "pa.Table", out: Path) -> None:
    from safer_bench.budget.report import check_networks_stay, write_outcome
    from safer_bench.budget.spend import spend
    from safer_bench.budget.summary import panels, sentence

    check_networks_stay(out, wanted.task, wanted.perturbation, [network.name for network in networks])
    with progress() as report:
        outcome = spend(wanted, networks, tree, scores, report)
    path = write_outcome(out, wanted.task, outcome)
    for panel in panels(outcome.results, wanted.task):
        typer.echo(sentence(panel, wanted.task))
    for each in outcome.notes:
        note(each)
    typer.echo(f"Summary: {path}")


def _compare_drops(network: list[str], perturbation: list[str], draws: int, out: Path, options: NetworkOptions) -> None:
    from safer_bench.budget.additivity import additivity
    from safer_bench.budget.report import write_additivity

    with progress() as report:
        table = additivity(options.load(network), perturbation, draws, report)
    path = write_additivity(out, table)
    typer.echo(f"{path.read_text(encoding='utf-8')}\nSummary: {path}")


def _networks(tree: Mapping[str, Any], specs: list[str], perturbation: str, options: NetworkOptions) -> "list[Network]":
    """Return the networks; where none is named, those of the truth that have examples left to judge by.

    Raises:
        BadInput: a named network has none, or no network of the truth has.
    """
    from safer_bench.budget.images import budget_network

    if specs or options.given:
        named = options.load(specs)
        for network in named:
            budget_network(network, perturbation, tree)
        return named
    networks = []
    for name in tree["networks"]["network"].to_pylist():
        try:
            (network,) = options.load([name])
            budget_network(network, perturbation, tree)
        except SaferBenchError as error:
            typer.echo(f"Left out: {error}", err=True)
        else:
            networks.append(network)
    if not networks:
        raise BadInput("no network of the truth can be given a budget: see what was left out, and why")
    return networks
