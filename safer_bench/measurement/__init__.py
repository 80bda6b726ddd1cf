"""Measures the truth: the accuracy that a network loses when one layer is perturbed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from safer_bench import schema
from safer_bench.errors import BadInput
from safer_bench.measurement import describe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plan import Protocol, check_measurable, make_protocol, n_probes, work_units
from safer_bench.networks import Network
from safer_bench.run_folder import RunFolder, Unit

__all__ = ["Protocol", "make_protocol", "measure", "measure_into", "n_probes"]


def measure(
    network: Network,
    perturbations: Sequence[str] = (),
    *,
    draws: int = 1,
    examples: int | None = None,
    seed: int = 0,
    fast: bool = False,
) -> pa.Table:
    """Measure the accuracy that a network loses when one of its layers is perturbed.

    Args:
        network: a zoo network or your own.
        perturbations: ``NAME[:LEVEL,...]`` each; all built-in ones where none is given.
        draws: independent draws of each random perturbation at each level.
        examples: evaluation examples a probe sees; all where None. Draw d sees slice d, so that draws differ in examples.
        seed: of all random streams.
        fast: try bfloat16 first; the same integers, sooner where the machine is fast at it.

    Returns:
        A table ``layer_drops``, one row a probe.

    Raises:
        UnknownName: no perturbation has that name.
        BadInput: levels, draws or examples out of range, or a perturbation that failed.
    """
    protocol = make_protocol(perturbations, draws, examples, seed)
    check_measurable(network, protocol)
    engine = Engine(network, seed, fast=fast)
    rows = [row for unit in work_units(network, protocol) for row in engine.measure(unit.probes)]
    return schema.in_order(schema.build("layer_drops", rows))


def measure_into(
    folder: Path,
    networks: list[Network],
    protocol: Protocol,
    report: Callable[[int, str], None] = lambda *_: None,
    *,
    fast: bool = False,
) -> None:
    """Measure networks into a run folder; units that it already holds are not measured again.

    Args:
        folder: a new folder, or one of the same request.
        networks: with distinct names.
        protocol: what to measure of each.
        report: called with (number of finished probes, what is measured) after each unit.
        fast: try bfloat16 first; the same integers, sooner where the machine is fast at it.

    Raises:
        BadInput: the folder belongs to another request, is in use, or cannot be written to; nothing was measured.
    """
    names = [network.name for network in networks]
    if len(set(names)) < len(names):
        raise BadInput(f"two networks have one name: {', '.join(names)}; name yours with Network(..., name=...)")
    for network in networks:
        check_measurable(network, protocol)
    engines = {network.name: Engine(network, protocol.seed, fast=fast) for network in networks}
    clean = lambda network: engines[network.name].clean(0, len(network.labels))  # noqa: E731
    run = RunFolder(folder)
    with run.locked():
        run.open(describe.request(networks, protocol), lambda: describe.tables(networks, protocol, clean))
        for network in networks:
            _measure_network(run, engines.pop(network.name), protocol, report)


def _measure_network(run: RunFolder, engine: Engine, protocol: Protocol, report: Callable[[int, str], None]) -> None:
    network = engine.network
    for work in work_units(network, protocol):
        unit = Unit(network.name, work.example_start, work.layer.index)
        if not run.has(unit):
            run.write(unit, list(engine.measure(work.probes)))
        report(len(work.probes), f"{network.name} {work.layer.name}")
