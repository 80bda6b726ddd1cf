"""Score tables: made from a mapping, checked against the layers they must name; no I/O."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.registry import suggestion
from safer_bench.tables import schema
from safer_bench.tables.columns import TRACKS

Key = tuple[Any, ...]  # (network, layer[, perturbation[, level]])
PLACE = ("criterion", "track", "network", "layer", "perturbation", "level")
OWN = "the tree's own scores"
TOLERANCE, FLOOR = 1e-3, 1e-6  # of a score, and of the largest of its network: the last digits are the machine's


def from_mapping(name: str, scores: Mapping[Key, float], truth: Mapping[str, pa.Table]) -> pa.Table:
    """Return a ``scores`` table of one criterion from ``{(network, layer[, perturbation[, level]]): score}``.

    The track follows from the length of the keys; ``truth`` holds the tables ``layers`` and ``perturbations``.

    Raises:
        BadInput: keys of mixed or wrong length, or rows that ``check`` refuses.
    """
    lengths = {len(key) for key in scores}
    if len(lengths) != 1 or not lengths <= {2, 3, 4}:
        raise BadInput(f"scores {name!r}: keys of lengths {sorted(lengths)}; expected (network, layer), with a "
                       "perturbation for aware scores, with a level for level-aware ones")  # fmt: skip
    track = TRACKS[lengths.pop() - 2]
    columns = ("network", "layer", "perturbation", "level")
    rows = [
        {"criterion": name, "track": track, "score": _plain(value)} | dict(zip(columns, key, strict=False))
        for key, value in scores.items()
    ]
    check(rows, truth, f"scores {name!r}")
    return complete(rows, truth["layers"])


def _plain(value: Any) -> Any:
    """Return numpy's scalars as plain numbers."""
    return value.item() if hasattr(value, "item") else value


def complete(rows: Iterable[Mapping[str, Any]], layers: pa.Table) -> pa.Table:
    """Return checked rows as a ``scores`` table, with dataset and split filled in from the ``layers`` table."""
    facts = {row["network"]: row for row in layers.to_pylist()}
    filled = [{**row, "dataset": facts[row["network"]]["dataset"], "split": facts[row["network"]]["split"]} for row in rows]
    return schema.build("scores", filled)


def alike(score: float, again: float, largest: float) -> bool:
    """Tell whether a score of a network, whose largest magnitude is given, came out again but for the last digits."""
    return abs(score - again) <= TOLERANCE * abs(score) + FLOOR * largest


def agreed(sources: Iterable[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return the rows of criteria that come from several places, once each; the first place's where both have one.

    Args:
        sources: (where, rows) of each place; scores agree to a thousandth (the last digits are the machine's).

    Raises:
        BadInput: two places give different scores.
    """
    found: dict[Key, tuple[dict[str, Any], str]] = {}
    largest: dict[tuple[str, str], float] = {}
    for where, rows in sources:
        for row in rows:
            first, first_where = found.setdefault(tuple(row[name] for name in PLACE), (row, where))
            of = (row["criterion"], row["network"])
            largest[of] = max(largest.get(of, 0.0), abs(first["score"]))
            if not alike(first["score"], row["score"], largest[of]):
                raise BadInput(
                    f"criterion {row['criterion']!r} scores {row['layer']!r} of {row['network']!r} {first['score']:g} in "
                    f"{first_where} and {row['score']:g} in {where}; if these are two criteria, rename the "
                    "function of one and score it again; if it is one, score it by as many --calibration-sets in both"
                )
    return [row for row, _ in found.values()]


def check_table(table: pa.Table, truth: Mapping[str, pa.Table], where: str) -> None:
    """Refuse a ``scores`` table as ``check`` refuses rows; fast where there is nothing to refuse.

    Raises:
        BadInput: see ``check``.
    """
    if not _is_in_order(table, truth):
        check(table.to_pylist(), truth, where)


def _is_in_order(table: pa.Table, truth: Mapping[str, pa.Table]) -> bool:
    """Tell, by columns, whether every row passes all that ``check`` asks; False where only rows can tell."""
    if table["score"].null_count or not pc.all(pc.is_finite(table["score"])).as_py():
        return table.num_rows == 0
    keys = ["track", "criterion", "network", "perturbation", "level"]
    names = pa.table({"network": truth["layers"]["network"], "layer": truth["layers"]["layer"]})
    if table.join(names, ["network", "layer"], join_type="left anti").num_rows:
        return False
    if table.group_by([*keys[1:], "layer"]).aggregate([([], "count_all")]).num_rows != table.num_rows:
        return False
    n_layers = Counter(names["network"].to_pylist())
    levels = {row["perturbation"]: row["levels"] for row in truth["perturbations"].to_pylist()}
    found: dict[Key, set[float]] = {}
    for row in table.group_by(keys).aggregate([([], "count_all")]).to_pylist():
        given = (row["perturbation"] is not None) + (row["level"] is not None)
        if row["track"] not in TRACKS or TRACKS.index(row["track"]) != given or row["count_all"] != n_layers[row["network"]]:
            return False
        if given and row["perturbation"] not in levels:
            return False
        if given == 2:
            found.setdefault((row["criterion"], row["network"], row["perturbation"]), set()).add(row["level"])
    return all(given == set(levels[key[-1]]) for key, given in found.items())


def check(rows: Sequence[Mapping[str, Any]], truth: Mapping[str, pa.Table], where: str) -> None:
    """Refuse scores that are not finite or do not name every layer of their networks exactly once.

    Args:
        rows: with the keys criterion, track, network, layer, score, and for aware tracks perturbation and level.
        truth: holds the tables ``layers`` and ``perturbations``.
        where: what the message begins with; the row's number, counted from 1 without a header, follows.

    Raises:
        BadInput: the first offending row: unknown network, layer, perturbation or level, duplicate, text, NaN or infinite
            score, or a missing layer or level.
    """
    known: dict[str, dict[str, None]] = {}  # a list would make 100,000 layers a matter of minutes
    for row in truth["layers"].to_pylist():
        known.setdefault(row["network"], {})[row["layer"]] = None
    levels = {row["perturbation"]: row["levels"] for row in truth["perturbations"].to_pylist()}
    seen: dict[Key, int] = {}
    for number, row in enumerate(rows, start=1):
        place = f"{where}, row {number}"
        _check_names(row, known, place)
        _check_value(row["score"], place)
        _check_track(row, place)
        _check_perturbation(row, levels, place)
        key = _key(row)
        if key in seen:
            raise BadInput(f"{place}: layer {row['layer']!r} of {row['network']!r} was scored in row {seen[key]} already")
        seen[key] = number
    _check_complete(seen, known, where)
    _check_levels(seen, levels, where)


def _key(row: Mapping[str, Any]) -> Key:
    return (row["criterion"], row["network"], row.get("perturbation"), row.get("level"), row["layer"])


def _check_names(row: Mapping[str, Any], known: Mapping[str, Mapping[str, None]], place: str) -> None:
    network, layer = row["network"], row["layer"]
    if network not in known:
        raise BadInput(f"{place}: {network!r} is no network of the truth.{suggestion(str(network), known)}\n"
                       f"The networks: {', '.join(known)}")  # fmt: skip
    if layer not in known[network]:
        raise BadInput(f"{place}: {layer!r} is no layer of network {network!r}.{suggestion(str(layer), known[network])}\n"
                       f"The {len(known[network])} layers: safer-bench info {network}")  # fmt: skip


def _check_value(score: Any, place: str) -> None:
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise BadInput(f"{place}: score is {score!r}; expected a number")
    if not math.isfinite(score):
        raise BadInput(f"{place}: score is {score}; expected a finite number")


def _check_track(row: Mapping[str, Any], place: str) -> None:
    if row["track"] not in TRACKS:
        raise BadInput(f"{place}: track {row['track']!r}; expected one of {', '.join(TRACKS)}")
    depth = TRACKS.index(row["track"])
    given = sum(row.get(key) is not None for key in ("perturbation", "level"))
    if given != depth or (depth >= 1 and row.get("perturbation") is None):
        wanted = ("neither perturbation nor level", "a perturbation and no level", "a perturbation and a level")[depth]
        raise BadInput(f"{place}: a {row['track']} score has {wanted}")


def _check_perturbation(row: Mapping[str, Any], levels: Mapping[str, list[float]], place: str) -> None:
    name, level = row.get("perturbation"), row.get("level")
    if name is not None and name not in levels:
        raise BadInput(f"{place}: {name!r} is no perturbation of the truth.{suggestion(str(name), levels)}\n"
                       f"The perturbations: {', '.join(levels)}")  # fmt: skip
    if level is not None and level not in levels[str(name)]:
        raise BadInput(f"{place}: {level!r} is no level of {name!r}; its levels: {', '.join(map(str, levels[str(name)]))}")


def _check_levels(seen: Mapping[Key, int], levels: Mapping[str, list[float]], where: str) -> None:
    """Refuse a level-aware criterion that scores some levels of a perturbation only: it would have no area."""
    given: dict[Key, set[float]] = {}
    for criterion, network, perturbation, level, _ in seen:
        if level is not None:
            given.setdefault((criterion, network, perturbation), set()).add(level)
    for (criterion, network, perturbation), found in given.items():
        missing = sorted(set(levels[perturbation]) - found)
        if missing:
            raise BadInput(
                f"{where}: criterion {criterion!r} does not score level {missing[0]} of {perturbation!r} on {network!r}"
            )


def _check_complete(seen: Mapping[Key, int], known: Mapping[str, Mapping[str, None]], where: str) -> None:
    counts = Counter(key[:-1] for key in seen)
    for (criterion, network, perturbation, level), count in counts.items():
        if count < len(known[network]):
            missing = [n for n in known[network] if (criterion, network, perturbation, level, n) not in seen]
            context = "".join(f", {word}" for word in (perturbation, level) if word is not None)
            raise BadInput(
                f"{where}: criterion {criterion!r} scores {count} of the {len(known[network])} layers of network "
                f"{network!r}{context}; missing: {', '.join(map(repr, missing[:3]))}{' ...' if len(missing) > 3 else ''}"
            )
