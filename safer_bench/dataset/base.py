"""What a new tree takes over from an earlier one: the networks that no run measured anew, and their scores."""

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.tree import Tree
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.truth.merge import merge
from safer_bench.truth.probe_tables import KEYS, summarised_again

SUMMARIES = ("layer_sensitivity", "cells")  # computed anew: a column that is new there need not be in the earlier tree
SCORED = ("scores", "costs", "criteria")
Tables = Mapping[str, pa.Table]


def networks_kept(base: Tree, anew: Iterable[str], facts: Mapping[str, int]) -> dict[str, pa.Table]:
    """Return an earlier tree's tables, but for summaries, without the rows of the networks that were measured anew.

    Args:
        base: the earlier tree.
        anew: names of the networks that were measured anew.
        facts: protocol and seed of the new runs.

    Raises:
        BadInput: the tree is of another protocol or seed.
    """
    for name, value in facts.items():
        if base.manifest[name] != value:
            raise BadInput(f"{base.path}: of {name} {base.manifest[name]}, and the runs of {value}; pack them apart")
    names = pa.array(sorted(anew), pa.string())
    return {
        name: table.filter(pc.invert(pc.is_in(table["network"], names))) if "network" in table.schema.names else table
        for name, table in ((name, base[name]) for name in base if name not in SUMMARIES)
    }


def truth_of_both(measured: Tables, kept: Tables) -> dict[str, pa.Table]:
    """Return the tables of the truth, of runs and of what is kept of an earlier tree; either may be empty.

    What follows from the kept probes is computed anew, so that all of it is by one release's definitions.

    Raises:
        BadInput: a perturbation is another one in the earlier tree, such as by its levels.
    """
    if not kept:
        return dict(measured)
    earlier = {name: table for name, table in kept.items() if name not in SCORED} | summarised_again(kept)
    if not measured:
        return earlier
    facts = {name: merge(name, [measured[name], earlier[name]], key) for name, key in KEYS.items()}
    return {name: _both(table, earlier[name]) for name, table in measured.items()} | facts


def scores_of_both(new: Tables, kept: Tables) -> dict[str, pa.Table]:
    """Return scores, costs and criteria, new and kept; what a criterion scores anew of a network replaces what it scored.

    Raises:
        BadInput: a criterion is described in another way than before.
    """
    if "scores" not in kept:
        return dict(new)
    anew = set(_pairs(new["scores"]))
    rest = {name: _without(kept[name], anew) for name in ("scores", "costs") if name in kept}
    rows = {row["criterion"]: row for row in new["criteria"].to_pylist()}
    for name in sorted(set(rest["scores"]["criterion"].unique().to_pylist())):
        (row,) = kept["criteria"].filter(pc.field("criterion") == name).to_pylist()
        if rows.setdefault(name, row) != row:
            raise BadInput(f"criterion {name!r} is described in another way in the earlier tree; score it on all networks")
    both = {name: _both(new[name], table) for name, table in rest.items()}
    return {**new, **both, "criteria": schema.build("criteria", list(rows.values()))}


def _both(new: pa.Table, old: pa.Table) -> pa.Table:
    return schema.in_order(pa.concat_tables([new, old.cast(new.schema)]))


def _pairs(table: pa.Table) -> Iterable[tuple[str, str]]:
    return zip(table["criterion"].to_pylist(), table["network"].to_pylist(), strict=True)


def _without(table: pa.Table, pairs: set[tuple[str, str]]) -> pa.Table:
    return table.filter(pa.array([pair not in pairs for pair in _pairs(table)], pa.bool_()))
