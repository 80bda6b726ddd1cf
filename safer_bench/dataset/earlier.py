"""What a new tree takes over from an earlier one: the networks that no run measured anew, and their scores."""

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.tree import Tree
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.truth.probe_tables import summarised_again

SUMMARIES = ("layer_sensitivity", "cells")  # computed anew: a column that is new there need not be in the earlier tree
SCORED = ("scores", "costs", "criteria")
Tables = Mapping[str, pa.Table]


def networks_kept(base: Tree, measured: Tables, facts: Mapping[str, int]) -> dict[str, pa.Table]:
    """Return an earlier tree's tables, but for summaries, without the rows of the networks that were measured anew.

    The scores of such a network are kept where its weights and the levels are the same.

    Args:
        base: the earlier tree.
        measured: tables of the new runs; none where there are none.
        facts: protocol and seed of the new runs.

    Raises:
        BadInput: the tree is of another protocol or seed, has a network of the runs under further perturbations or by
            further draws, networks of the same dataset on more examples, or the networks that are kept under a perturbation
            that is another one there, such as by its levels.
    """
    for name, value in facts.items():
        if base.manifest[name] != value:
            raise BadInput(f"{base.path} has {name} {base.manifest[name]}, the runs have {name} {value}; pack them apart")
    anew = measured["networks"]["network"].to_pylist() if measured else []
    others = _scored_otherwise(base, measured) if measured else []
    tables = {name: base[name] for name in base if name not in SUMMARIES}
    kept = {name: _without_networks(table, others if name in SCORED else anew) for name, table in tables.items()}
    used = pc.is_in(kept["perturbations"]["perturbation"], pc.unique(kept["layer_drops"]["perturbation"]))
    kept["perturbations"] = kept["perturbations"].filter(used)
    if measured:
        _check_nothing_is_lost(base, tables["layer_drops"], measured["layer_drops"])
        _check_as_many_examples(base, tables["layer_drops"], measured["layer_drops"])
        _check_same_perturbations(base, kept["perturbations"], measured["perturbations"])
    return kept


def _without_networks(table: pa.Table, networks: list[str]) -> pa.Table:
    if "network" not in table.schema.names:
        return table
    return table.filter(pc.invert(pc.is_in(table["network"], pa.array(networks, pa.string()))))


def _scored_otherwise(base: Tree, measured: Tables) -> list[str]:
    """Return the networks that were measured anew and whose earlier scores are of other weights or levels."""
    weights, levels = ("networks", "network", "weights_sha256"), ("perturbations", "perturbation", "levels")
    before, now = _column(base, *levels), _column(measured, *levels)
    moved = any(before[name] != now[name] for name in before.keys() & now.keys())
    known = _column(base, *weights)
    return [name for name, digest in _column(measured, *weights).items() if moved or known.get(name) != digest]


def _column(tables: Tables, table: str, key: str, column: str) -> dict[str, object]:
    return dict(zip(tables[table][key].to_pylist(), tables[table][column].to_pylist(), strict=True))


def check_scores_are_there(base: Tree, scores: Tables) -> None:
    """Refuse to lose what an earlier tree scored.

    Args:
        base: the earlier tree.
        scores: of the new tree.

    Raises:
        BadInput: a criterion of the earlier tree no longer scores one of its networks.
    """
    if "scores" not in base:
        return
    of_networks = ("criterion", "network")
    lost = sorted(set(_pairs(base["scores"], *of_networks)) - set(_pairs(scores["scores"], *of_networks)))
    if lost:
        criterion, network = lost[0]
        more = f", and {len(lost) - 1} more," if lost[1:] else ""
        raise BadInput(
            f"{base.path}: what {criterion!r} scored {network!r}{more} would be lost, as the network was measured anew with "
            "other weights or levels; score it anew and name the folder by --scores"
        )


def _check_nothing_is_lost(base: Tree, before: pa.Table, now: pa.Table) -> None:
    levels = ("network", "perturbation", "level")
    fewer = set(_pairs(before, *levels, "draw")) - set(_pairs(now, *levels, "draw"))
    measured_levels = set(_pairs(now, *levels))
    for network, perturbation, level, draw in sorted(fewer, key=str):
        if (network, perturbation, level) in measured_levels:
            raise BadInput(
                f"{base.path} has draw {draw} of network {network!r} under {perturbation!r}, which the runs have not; "
                "measure it anew by as many draws, or leave its runs out"
            )
    measured = set(_pairs(now, "network", "perturbation"))
    networks = {network for network, _ in measured}
    for network, perturbation in sorted(set(_pairs(before, "network", "perturbation")) - measured):
        if network in networks:
            raise BadInput(
                f"{base.path} has network {network!r} under {perturbation!r} too, which the runs have not; measure it anew "
                "under all perturbations, or leave its runs out"
            )


def _check_as_many_examples(base: Tree, before: pa.Table, now: pa.Table) -> None:
    """Refuse networks on fewer examples a draw than those of the same dataset in the tree."""
    least: dict[tuple[str, str], int] = {}
    for (dataset, perturbation, _), n in _examples(before).items():
        least[dataset, perturbation] = min(n, least.get((dataset, perturbation), n))
    for (dataset, perturbation, network), n in sorted(_examples(now).items()):
        if n < least.get((dataset, perturbation), 0):
            raise BadInput(
                f"{base.path} has networks of {dataset!r} under {perturbation!r} on {least[dataset, perturbation]} examples "
                f"a draw, the runs have {network!r} on {n}; measure it on as many, or leave its runs out"
            )


def _examples(drops: pa.Table) -> dict[tuple[str, str, str], int]:
    """Return the fewest examples of a draw by dataset, perturbation and network; one layer tells, as all have the same."""
    of_what = ["dataset", "perturbation", "network"]
    first = drops.filter(pc.equal(drops["layer_index"], 0)).unify_dictionaries()
    draws = first.group_by([*of_what, "level", "draw"]).aggregate([("n_examples", "sum")])
    least = draws.group_by(of_what).aggregate([("n_examples_sum", "min")])
    keys = zip(*(least[column].to_pylist() for column in of_what), strict=True)
    return dict(zip(keys, least["n_examples_sum_min"].to_pylist(), strict=True))


def _check_same_perturbations(base: Tree, before: pa.Table, now: pa.Table) -> None:
    rows = {row["perturbation"]: row for row in now.to_pylist()}
    for row in before.to_pylist():
        other = rows.get(row["perturbation"], row)
        column = next((key for key in row if row[key] != other[key]), None)
        if column is not None:
            raise BadInput(
                f"{base.path}: perturbation {row['perturbation']!r}: {column} is {row[column]}, in the runs {other[column]}"
                "; measure all networks by the same, or pack them apart"
            )


def truth_of_both(measured: Tables, kept: Tables) -> dict[str, pa.Table]:
    """Return the tables of the truth, of runs and of what is kept of an earlier tree; either may be empty.

    What follows from the kept probes is computed anew, so that all of it is by one release's definitions.
    """
    if not kept:
        return dict(measured)
    earlier = {name: table for name, table in kept.items() if name not in SCORED} | summarised_again(kept)
    if not measured:
        return earlier
    known = pa.array(measured["perturbations"]["perturbation"].to_pylist(), pa.string())
    further = pc.invert(pc.is_in(earlier["perturbations"]["perturbation"], known))
    earlier["perturbations"] = earlier["perturbations"].filter(further)
    return {name: _both(table, earlier[name]) for name, table in measured.items()}


def scores_of_both(new: Tables, kept: Tables) -> dict[str, pa.Table]:
    """Return scores, costs and criteria, new and kept; what a criterion scores anew of a network replaces what it scored.

    Raises:
        BadInput: a criterion is described in another way than before, scores a network under fewer perturbations, or by
            one set of calibration examples where it was several, or the other way round.
    """
    if "scores" not in kept:
        return dict(new)
    anew = set(_pairs(new["scores"], "criterion", "network"))
    _check_no_score_is_lost(new["scores"], kept["scores"], anew)
    _check_same_sets(new["scores"], kept["scores"])
    rest = {name: _without(kept[name], anew) for name in ("scores", "costs") if name in kept}
    rows = {row["criterion"]: row for row in new["criteria"].to_pylist()}
    for name in sorted(set(rest["scores"]["criterion"].unique().to_pylist())):
        (row,) = kept["criteria"].filter(pc.field("criterion") == name).to_pylist()
        if rows.setdefault(name, row) != row:
            raise BadInput(f"criterion {name!r} is described in another way in the earlier tree; score it on all networks")
    both = {name: _both(new[name], table) for name, table in rest.items()}
    return {**new, **both, "criteria": schema.build("criteria", list(rows.values()))}


def _check_no_score_is_lost(new: pa.Table, kept: pa.Table, anew: set[tuple[str, ...]]) -> None:
    columns = ("criterion", "network", "perturbation")
    lost = [place for place in set(_pairs(kept, *columns)) - set(_pairs(new, *columns)) if place[:2] in anew]
    if lost:
        criterion, network, perturbation = min(lost, key=str)
        raise BadInput(
            f"criterion {criterion!r} scored network {network!r} {_under(perturbation)} in the earlier tree, and not in "
            "the new folder; score it as before, or on all networks"
        )


def _check_same_sets(new: pa.Table, kept: pa.Table) -> None:
    """Refuse scores of one set of calibration examples beside means over several, which alone have a spread."""
    spread = [table.filter(pc.is_valid(table["spread"]))["criterion"].unique().to_pylist() for table in (new, kept)]
    for criterion, network in sorted(set(_pairs(new, "criterion", "network"))):
        now, before = (criterion in those for those in spread)
        if now != before and criterion in kept["criterion"].unique().to_pylist():
            sets = ("one set", "several sets")
            raise BadInput(
                f"criterion {criterion!r} scored network {network!r} by {sets[now]} of calibration examples, and the "
                f"earlier tree's by {sets[before]}; score it again with --calibration-sets as before"
            )


def _under(perturbation: str | None) -> str:
    return "without a perturbation" if perturbation is None else f"under {perturbation!r}"


def _both(new: pa.Table, old: pa.Table) -> pa.Table:
    return schema.in_order(pa.concat_tables([new.cast(old.schema), old]))  # of runs, strings may be dictionaries


def _pairs(table: pa.Table, *columns: str) -> Iterable[tuple[str, ...]]:
    found = table.select(columns).unify_dictionaries().group_by(list(columns)).aggregate([])  # runs have one a network
    return zip(*(found[column].to_pylist() for column in columns), strict=True)


def _without(table: pa.Table, pairs: set[tuple[str, ...]]) -> pa.Table:
    places = zip(table["criterion"].to_pylist(), table["network"].to_pylist(), strict=True)
    return table.filter(pa.array([place not in pairs for place in places], pa.bool_()))
