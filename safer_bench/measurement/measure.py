"""``measure``: the rows of one network, with no run folder."""

from collections.abc import Sequence

import pyarrow as pa

from safer_bench.measurement.design import Design, check_measurable, examples_asked, make_protocol
from safer_bench.measurement.executors.execute import execute
from safer_bench.measurement.work import Worker, job_of
from safer_bench.networks.network import Network, require_network
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.tables import files, schema
from safer_bench.truth.run_folder import Unit


def measure(
    network: Network,
    perturbations: str | Perturbation | Sequence[str | Perturbation] = (),
    *,
    draws: int | None = None,
    examples: int | None = None,
    deterministic_examples: int | None = None,
    seed: int = 0,
    fast: bool = False,
    workers: int = 1,
    executor: str = "process",
) -> pa.Table:
    """Measure the accuracy that a network loses when one of its layers is perturbed.

    Args:
        network: a zoo network or your own.
        perturbations: one or several, each ``NAME[:LEVEL,...]``, ``FILE.py:FUNC[:LEVEL,...]`` or an entry (one of your
            own for one worker only); all built-in ones where none is given.
        draws: independent draws of each random perturbation at each level; 32 where None, of gradient perturbations the 20
            that there are. Deterministic perturbations have one.
        examples: evaluation examples that a probe sees, at most; where None, 60 a draw of a random perturbation, and all for
            deterministic ones. Draw d sees slice d, so that draws differ in examples, as long as there are slices.
        deterministic_examples: number for deterministic perturbations alone; that of ``examples`` where None.
        seed: of all random streams.
        fast: try bfloat16 first; the same integers, sooner where the machine is fast at it.
        workers: processes that measure; more than one are spawned, and the network has to be picklable.
        executor: ``process``, or ``ray`` for a Ray cluster.

    Returns:
        A table ``layer_drops``, one row a probe.

    Raises:
        UnknownName: no perturbation or executor has that name.
        BadInput: levels, draws or examples out of range, or a perturbation that failed.
    """
    require_network(network)
    specs = [perturbations] if isinstance(perturbations, str | Perturbation) else perturbations
    random, deterministic = examples_asked(examples, deterministic_examples)
    protocol = make_protocol(specs, draws, random, seed, deterministic_examples=deterministic)
    check_measurable(network, protocol)
    job = job_of([network], protocol, fast=fast)
    units = [Unit(network.name, *where, layer.index) for where, layer in Design(network, protocol).places()]
    finished = execute(job, units, Worker(job, [network]), workers, executor)
    table = pa.concat_tables(files.read_parquet(measured.part) for measured in finished)
    wanted = schema.TABLES["layer_drops"]
    return schema.in_order(table.select(wanted.names).cast(wanted))
