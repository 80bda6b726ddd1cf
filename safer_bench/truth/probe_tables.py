"""Run folders -> the tables of probes, and of what follows from them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from itertools import repeat
from multiprocessing import get_context

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.processes import safe_path, start_worker
from safer_bench.tables import schema
from safer_bench.truth.merge import PROBE_KEY, merged_probes, parts_by_network
from safer_bench.truth.parts import Parts
from safer_bench.truth.run_folder import RunFolder
from safer_bench.truth.summarise import summarise

SMALL_BYTES = 32 << 20  # of parts: to start processes takes longer than to pack them
KEYS = {"networks": ["network"], "layers": ["network", "layer"], "perturbations": ["perturbation"]}


def probe_tables(folders: Sequence[RunFolder], tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the tables of probes and of what follows from them, made network by network; large ones by all processors.

    Raises:
        BadInput: a run is not finished, runs contradict each other, probes are missing, or a process died.
    """
    parts = parts_by_network(folders)
    known = {name: tables[name] for name in KEYS}
    by_table: dict[str, list[pa.Table]] = {}
    with ExitStack() as stack:
        run: Callable[..., Iterable[dict[str, pa.Table]]] = map
        if (
            sum(path.stat().st_size for of_one in parts.values() for each in of_one for path in each.paths.values())
            > SMALL_BYTES
        ):
            stack.enter_context(safe_path())
            spawned = get_context("spawn")  # a fork would inherit Arrow's locked threads
            run = stack.enter_context(ProcessPoolExecutor(mp_context=spawned, initializer=start_worker)).map
        try:
            for made in run(_of_network, parts, parts.values(), repeat(known)):
                by_name = made.pop("by_name")
                made |= {name: _columns(by_name, name) for name in ("losses", "outcomes")}
                for name, table in made.items():
                    by_table.setdefault(name, []).append(table)
        except BrokenProcessPool as error:
            raise BadInput(
                "a process that packs died (killed? out of memory?); pack on fewer processors: taskset"
            ) from error
    return {name: schema.in_order(pa.concat_tables(parts)) for name, parts in by_table.items()}


def summarised_again(tree: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return ``layer_sensitivity`` and ``cells`` as they follow from a tree's probes today, network by network.

    Args:
        tree: the tables ``layer_drops``, ``outcomes``, ``networks``, ``layers`` and ``perturbations``.
    """
    made: dict[str, list[pa.Table]] = {"layer_sensitivity": [], "cells": []}
    for name in tree["networks"]["network"].to_pylist():
        drops, flips = (_by_probe(tree[table].filter(pc.field("network") == name)) for table in ("layer_drops", "outcomes"))
        probes = drops.append_column(flips.schema.field("flips"), flips["flips"])
        for table, found in zip(made, summarise(probes, *(tree[each] for each in KEYS)), strict=True):
            made[table].append(found)
    return {table: schema.in_order(pa.concat_tables([schema.build(table, []), *parts])) for table, parts in made.items()}


def _by_probe(table: pa.Table) -> pa.Table:
    return table.sort_by([(column, "ascending") for column in PROBE_KEY])


def _of_network(name: str, parts: Sequence[Parts], tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the tables of one network; ``by_name`` holds the columns of both tables that do not know a layer's index."""
    probes = merged_probes(name, parts, tables)
    sensitivity, cells = summarise(probes, tables["networks"], tables["layers"], tables["perturbations"])
    wanted = {*schema.TABLES["losses"].names, *schema.TABLES["outcomes"].names}
    by_name = schema.in_order(probes.select([name for name in probes.schema.names if name in wanted]))
    return {
        "layer_sensitivity": sensitivity,
        "cells": cells,
        "layer_drops": _columns(_encoded(probes), "layer_drops"),
        "by_name": _encoded(by_name),
    }


def _columns(probes: pa.Table, name: str) -> pa.Table:
    """Return the columns of a table, not copied; repeated strings stay encoded."""
    wanted = schema.TABLES[name]
    fields = [field.with_type(probes.schema.field(field.name).type) for field in wanted]
    return pa.Table.from_arrays([probes[field.name] for field in fields], schema=pa.schema(fields, wanted.metadata))


def _encoded(table: pa.Table) -> pa.Table:
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and field.name != "weight_digest":
            table = table.set_column(i, field.name, table.column(i).dictionary_encode())
    return table
