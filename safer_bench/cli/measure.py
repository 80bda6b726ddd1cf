"""The command that measures networks."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from safer_bench.cli.choices import ExecutorName
from safer_bench.cli.console import Json, duration, note, print_json, progress, resumable, size, table
from safer_bench.cli.options import NETWORK_HELP, DrawOptions, NetworkOptions, with_network_options
from safer_bench.errors import BadInput, needs_torch
from safer_bench.tables.text import number_of

if TYPE_CHECKING:
    from safer_bench.measurement.design import Protocol
    from safer_bench.measurement.forecast import Forecast
    from safer_bench.measurement.pilot import DrawPlan
    from safer_bench.measurement.progress import OnProgress
    from safer_bench.networks.network import Network
    from safer_bench.truth.fragile import AreaEstimates, Fragility


class How(TypedDict):
    """By which processes ``measure_into`` and ``make_plan`` measure, and whether by bfloat16 first."""

    fast: bool
    workers: int
    executor: str


@with_network_options
def measure(
    network: Annotated[list[str], typer.Option(help=f"{NETWORK_HELP}; repeat for more.")],
    out: Annotated[Path, typer.Option(help="Run folder; the same command resumes an unfinished one.")],
    perturbation: Annotated[
        list[str] | None, typer.Option(help="Perturbation: NAME[:LEVEL,...]; repeat for more; by default all built-in ones.")
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(help="Draws of each random perturbation at each level; by default 32, of gradient ones all 20."),
    ] = None,
    first_draw: Annotated[
        int, typer.Option(help="Number of the first draw: continues an earlier run by further draws.")
    ] = 0,
    reliability: Annotated[
        float | None,
        typer.Option(help="Instead of --draws: as many as this reliability of the area takes, by a pilot."),
    ] = None,
    max_draws: Annotated[
        int | None,
        typer.Option(help="Most draws of a level with --reliability; even; by default 32, of gradient ones 16."),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="With --reliability: pilot and plan, nothing more.")
    ] = False,
    plan: Annotated[Path | None, typer.Option(help="Instead of --draws: the draws.json of an earlier pilot.")] = None,
    examples: Annotated[
        int | None,
        typer.Option(help="Examples a probe sees, at most; by default 60 a random draw (draws differ in them), else all."),
    ] = None,
    deterministic_examples: Annotated[
        int | None, typer.Option(help="Examples for deterministic perturbations alone, which have one draw.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of all draws.")] = 0,
    fast: Annotated[
        bool, typer.Option(help="Try bfloat16 first, where it is faster. Integers stay the same; the gain is told at once.")
    ] = False,
    *,
    network_options: NetworkOptions,
    workers: Annotated[int, typer.Option(help="Processes that measure.")] = 1,
    executor: Annotated[
        ExecutorName, typer.Option(help="What runs them: processes, or Ray (the cluster at RAY_ADDRESS, or a local one).")
    ] = "process",
    shard: Annotated[str | None, typer.Option(help="i/n: the i-th of n shares, each with its own run folder.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure nothing; say how many probes, how long, how much disk and memory.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure the accuracy that networks lose when one layer is perturbed; resumes by itself.

    Example: safer-bench measure --network digits_mlp --perturbation int8_bit_flip --out runs/mlp
    """
    options = DrawOptions(draws, first_draw, reliability, max_draws, plan_only, plan)
    options.check()  # before torch, which takes its time
    with needs_torch():
        from safer_bench.measurement.answers.tuning import tune_allocator
        from safer_bench.measurement.design import Shard, examples_asked, make_protocol
        from safer_bench.measurement.executors.execute import check_executor
        from safer_bench.measurement.run import measure_into
    tune_allocator()
    share = None if shard is None else Shard.parse(shard)
    check_executor(executor, workers)
    how: How = {"fast": fast, "workers": workers, "executor": executor}
    seen = examples_asked(examples, deterministic_examples)
    protocol = make_protocol(perturbation or [], draws, seen[0], seed, first_draw, seen[1])
    networks = network_options.load(network)
    with resumable(shlex.join(["safer-bench", *sys.argv[1:]])), progress() as report:
        if options.planned:
            protocol = _planned(networks, protocol, out, options, report, dry_run=dry_run, how=how, as_json=as_json)
        if dry_run:
            _forecast(networks, protocol, fast=fast, workers=workers, as_json=as_json)
            return
        if plan_only and as_json:
            print_json(json.loads((out / "draws.json").read_text(encoding="utf-8")))
            return
        if plan_only:
            typer.echo(f"Next: the same with --plan {out / 'draws.json'} instead, in a new folder")
            return
        total = measure_into(out, networks, protocol, report, shard=share, tell=note, **how)
    _tell(networks, out, total, is_share=share is not None, as_json=as_json)


def _tell(networks: "list[Network]", out: Path, total: int, *, is_share: bool, as_json: bool) -> None:
    """Print what a run left out, what it found and what is next."""
    for item in networks:
        if item.left_out:
            left_out = ", ".join(f"{name} ({reason})" for name, reason in item.left_out.items())
            typer.echo(f"{item.name}: not measured: {left_out}", err=True)
    found = [] if is_share else _fragile(out)
    if as_json:
        print_json({"out": out, "probes": total, "networks": list(map(_fragility_json, found))})
        return
    _show_fragile(found, out)
    typer.echo(
        f"{number_of(total, 'probe')} in {out}. Next: safer-bench pack {out}{' and all other shards' * is_share} --out TREE"
    )


def _planned(
    networks: "list[Network]",
    wanted: "Protocol",
    out: Path,
    options: DrawOptions,
    report: "OnProgress",
    *,
    dry_run: bool,
    how: How,
    as_json: bool,
) -> "Protocol":
    """Return the protocol of the plan given, or of the pilot's, which is run unless its plan is there."""
    from safer_bench.measurement.pilot import DrawPlan, make_plan, pilot_protocol

    if options.plan:
        return DrawPlan.read(options.plan).protocol(wanted, networks)
    reliability, max_draws = options.reliability or 0.0, options.max_draws
    if dry_run and not (out / "draws.json").is_file():
        typer.echo("The pilot alone; what the run itself takes is known when the pilot is finished:", err=as_json)
        return pilot_protocol(wanted.specs, reliability, max_draws, wanted.n_examples, wanted.seed)
    report_pilot = lambda what, *done: report(f"pilot: {what}", *done)  # noqa: E731
    plan = make_plan(out, networks, wanted, reliability, max_draws, report_pilot, **how)
    if not as_json:
        typer.echo(_plan_text(plan))
    for name, expected in plan.expected.items():
        for perturbation, value in expected.items():
            if value < reliability - 0.005:  # as it is printed
                out_of_reach = f"{reliability:g} is out of reach of {plan.max_draws} draws a level"
                typer.echo(f"{name}, {perturbation}: {out_of_reach}; raise --max-draws, or give severer levels", err=True)
    return plan.protocol(wanted, networks)


def _plan_text(plan: "DrawPlan") -> str:
    lines = []
    for name, by_perturbation in plan.draws.items():
        expected = {key: f"{value:.2f}" for key, value in plan.expected[name].items()}
        cells = [[key, " ".join(map(str, draws)), expected.get(key, "-")] for key, draws in by_perturbation.items()]
        lines += [
            f"{name}: draws of each level, mild to severe",
            table(["perturbation", "draws", "expected reliability"], cells),
            "",
        ]
    return "\n".join(lines)


def _forecast(networks: "list[Network]", protocol: "Protocol", *, fast: bool, workers: int, as_json: bool) -> None:
    """Print what a run will cost."""
    from safer_bench.measurement.design import check_measurable
    from safer_bench.measurement.forecast import SAMPLED_SECONDS, forecast

    longest = duration(SAMPLED_SECONDS * len(networks))
    note(f"Measures a sample first: about {longest} at most, beside what tracing takes.")
    for network in networks:
        check_measurable(network, protocol)
    forecasts = [forecast(network, protocol, fast=fast, workers=workers, tell=note) for network in networks]
    if as_json:
        print_json({"workers": workers, "networks": list(map(asdict, forecasts))})
        return
    typer.echo(table(["network", "probes", "time", "disk", "memory"], _forecast_cells(forecasts)))
    is_random = any(not entry.deterministic for entry, _ in protocol.perturbations)
    if is_random and all(each.seconds_by_draws for each in forecasts):
        by_draws = {
            draws: sum(each.seconds_by_draws[draws] for each in forecasts) for draws in forecasts[0].seconds_by_draws
        }
        times = {draws: duration(seconds) for draws, seconds in by_draws.items()}
        typer.echo(f"Time by draws a level: {', '.join(f'{draws}: {time}' for draws, time in times.items())}")
    typer.echo(f"{number_of(workers, 'worker')} on this machine, with nothing else at work; nothing was measured.")


def _forecast_cells(forecasts: "list[Forecast]") -> list[list[str]]:
    """Return what each network costs as text, and of several what all do: memory is that of the largest."""
    costs = [(each.network, each.n_probes, each.seconds, each.disk_bytes, each.memory_bytes) for each in forecasts]
    if len(costs) > 1:
        _, n_probes, seconds, disk, memory = zip(*costs, strict=True)
        costs.append(("all", sum(n_probes), sum(seconds), sum(disk), max(memory)))
    return [[name, f"{n:,}", duration(seconds), size(disk), size(memory)] for name, n, seconds, disk, memory in costs]


def _fragile(out: Path) -> "list[Fragility]":
    """Return how fragile the layers of each network are, plotted into the run folder; none where there is no area."""
    from safer_bench.tables.together import write_together
    from safer_bench.truth.fragile import fragility, picture
    from safer_bench.truth.run_folder import RunFolder

    try:
        found = fragility(RunFolder(out))
    except BadInput as error:  # all is measured; there only is no area of it
        typer.echo(str(error), err=True)
        return []
    endings = (".png", ".svg")
    write_together(out, {f"fragile-{each.network}{end}": picture(each, end) for each in found for end in endings})
    return found


def _show_fragile(fragilities: "list[Fragility]", out: Path) -> None:
    """Print the most fragile layers of each network."""
    from safer_bench.truth.fragile import advice, cut, header, rows

    if not fragilities:
        return
    typer.echo("Share of the accuracy above chance that is lost (area over levels); 95 % intervals where something changed")
    for each in fragilities:
        typer.echo(f"\n{each.network}\n{table(header(each), rows(each))}\n{cut(each)}{advice(each)}")
    typer.echo(f"\nPlots: {out / 'fragile-*.png'} and .svg")


def _fragility_json(found: "Fragility") -> dict[str, Any]:
    """Return the layers of a network, most fragile first, with areas and half the width of their 95 % intervals."""
    columns = {"mean": found.overall, **found.by_perturbation}
    layers = [
        {"layer": layer, "share_of_parameters": float(found.shares[i])}
        | {"areas": {name: _area(each, i) for name, each in columns.items()}}
        for i, layer in enumerate(found.layers)
    ]
    return {"network": found.network, "protect_first": list(found.layers[: found.to_protect]), "layers": layers}


def _area(estimate: "AreaEstimates", i: int) -> dict[str, float]:
    return {"area": float(estimate.values[i]), "halfwidth": float(estimate.halfwidths[i])}
