"""Measures networks into a run folder: durable, resumable, by one process or many, whole or one share of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from safer_bench.errors import BadInput
from safer_bench.measurement import describe
from safer_bench.measurement.design import Design, Protocol, Shard, check_measurable
from safer_bench.measurement.executors.execute import check_executor, execute, workers_by_device
from safer_bench.measurement.fast_choice import first_arithmetic
from safer_bench.measurement.progress import OnProgress
from safer_bench.measurement.resumed import check_same_perturbations
from safer_bench.measurement.run_log import logging_to
from safer_bench.measurement.work import Measured, Worker, job_of
from safer_bench.networks.layers import Layer
from safer_bench.networks.network import Network
from safer_bench.tables import files
from safer_bench.tables.text import number_of
from safer_bench.truth.cells import no_accuracy
from safer_bench.truth.parts import Expected, Unit, expected_of
from safer_bench.truth.run_folder import TABLES, RunFolder


def measure_into(
    folder: Path,
    networks: Sequence[Network],
    protocol: Protocol,
    report: OnProgress = lambda *_: None,
    *,
    fast: bool = False,
    workers: int = 1,
    executor: str = "process",
    shard: Shard | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> int:
    """Measure networks into a run folder; units that it already holds are not measured again.

    Args:
        folder: a new folder, or one of the same request.
        networks: with distinct names; several workers load each as ``load_network`` did, or take it pickled.
        protocol: what to measure of each.
        report: called after each unit; units that are there already come first, together.
        fast: try bfloat16 first; the same integers, sooner where the machine is fast at it.
        workers: processes that measure.
        executor: ``process`` or ``ray``.
        shard: measure this share of the units alone; ``pack`` merges the folders of all.
        tell: called before anything is measured with what there is to know: which worker is on which card, and with
            ``fast``, of each network, which arithmetic comes first and why. The log has it too.

    Returns:
        The number of probes that the folder holds.

    Raises:
        BadInput: the folder belongs to another request, is in use, or cannot be written to; nothing was measured. Or a unit
            could not be measured or written; all before it are kept.
    """
    check_executor(executor, workers)
    names = [network.name for network in networks]
    if len(set(names)) < len(names):
        raise BadInput(f"two networks have one name: {', '.join(names)}; name yours with Network(..., name=...)")
    for network in networks:
        check_measurable(network, protocol)
    designs = {network.name: Design(network, protocol) for network in networks}
    job = job_of(networks, protocol, fast=fast)
    where = workers_by_device(job.devices, workers, executor)
    run, here = RunFolder(folder), Worker(job, networks)
    clean = lambda network: describe.correct(here.engine(network.name), shard)  # noqa: E731
    with ExitStack() as stack:
        stack.enter_context(run.locked())
        run.open(
            describe.request(networks, protocol, designs) | share_of(designs, shard),
            lambda: describe.tables(networks, protocol, clean),
        )
        log = stack.enter_context(logging_to(folder / "log.txt"))
        log.info("%s, %s (%s); %s", number_of(len(networks), "network"), number_of(workers, "worker"), executor, where)
        work = {unit: designs[unit.network].work(unit.slice, _layer(designs, unit)) for unit in run.units()}
        finished, expected = run.parts(), _expected(run)
        check_same_perturbations(run, finished, designs, protocol.seed)
        log.info("%d of %d parts are there and intact", len(finished), len(work))
        total, done = sum(work.values()), sum(work[unit] for unit in finished)
        report("going on" if finished else "starting", done, total)
        waiting = [unit for unit in work if unit not in finished]
        for row in run.table("networks").to_pylist() if shard is None else ():  # a share of the answers tells nothing
            if missing := no_accuracy(row):
                tell(f"network {row['network']!r}: {missing}: drops are measured, areas and what follows from them are not")
        if set(job.devices.values()) != {"cpu"}:
            tell(where)
        for line in _first_arithmetics(here, [designs[name] for name in dict.fromkeys(unit.network for unit in waiting)]):
            log.info("%s", line)
            tell(line)
        started, measuring = time.perf_counter(), 0.0
        for measured in execute(job, waiting, here, workers, executor):
            _check(measured, expected[measured.unit.network])
            run.write(measured.unit, measured.part)
            log.measured(measured, _layer(designs, measured.unit).name)
            measuring += measured.seconds
            done += work[measured.unit]
            report(f"{measured.unit.network} {_layer(designs, measured.unit).name}", done, total)
        seconds = time.perf_counter() - started
        log.info("%d parts in %.2f s; workers were measuring for %.2f s", len(waiting), seconds, measuring)
        return sum(len(designs[unit.network].conditions(unit.slice)) for unit in work)


def _first_arithmetics(here: Worker, designs: Sequence[Design]) -> Iterator[str]:
    """Yield for each network, where ``fast`` is asked for, which arithmetic comes first and why."""
    for design in designs if here.job.fast else ():
        yield f"{design.network.name}: {first_arithmetic(here.engine(design.network.name))}"


def _expected(run: RunFolder) -> dict[str, Expected]:
    """Return what the parts of each network have to hold, by the request and the clean answers that the folder tells."""
    request, tables = run.request(), {name: run.table(name) for name in TABLES}
    return {name: expected_of(request, name, tables, whole="shard" not in request) for name in request["networks"]}


def _check(measured: Measured, expected: Expected) -> None:
    """Refuse what another network than that of the folder measured.

    Raises:
        BadInput: it did.
    """
    problem = expected.problem_of(files.read_parquet(measured.part), measured.unit)
    if problem is not None:
        raise BadInput(
            f"network {measured.unit.network!r}: it answers otherwise than when the run began ({problem}); restore its "
            "code to finish the run, or use a new folder"
        )


def share_of(designs: dict[str, Design], shard: Shard | None) -> dict[str, object]:
    """Return what a request says of a shard: its number, and of each network the first and last (exclusive) of its units.

    A share is a stretch of consecutive units, since least is computed again there, and all have about as much work.
    """
    if shard is None:
        return {}
    total = sum(design.work(*place) for design in designs.values() for place in design.places())
    share, before = {}, 0.0
    for name, design in designs.items():
        mine = []
        for number, place in enumerate(design.places()):
            work = design.work(*place)
            if int((before + work / 2) / total * shard.of) == shard.number - 1:
                mine.append(number)
            before += work
        share[name] = [mine[0], mine[-1] + 1] if mine else [0, 0]
    return {"shard": [shard.number, shard.of], "share": share}


def _layer(designs: dict[str, Design], unit: Unit) -> Layer:
    return designs[unit.network].network.layers[unit.layer_index]
