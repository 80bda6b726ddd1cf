"""Score tables: made from a mapping, checked against the layers they must name; no I/O."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.registry import TRACKS, suggestion
from safer_bench.tables import schema
from safer_bench.tables.coding import coded
from safer_bench.tables.facts import TruthFacts
from safer_bench.tables.text import odd_character

Key = tuple[Any, ...]  # (network, layer[, perturbation[, level]])
PLACE = ("criterion", "track", "network", "layer", "perturbation", "level")
NAMES = pa.schema([("network", pa.string()), ("layer", pa.string())])
OWN = "the tree's own scores"
TOLERANCE, FLOOR = 1e-3, 1e-6  # of a score, and of the largest of its network: the last digits are the machine's


def from_mapping(name: str, scores: Mapping[Key, float], facts: TruthFacts) -> pa.Table:
    """Return a ``scores`` table of one criterion from ``{(network, layer[, perturbation[, level]]): score}``.

    The track follows from the length of the keys; the facts are those of the truth.

    Raises:
        BadInput: a name that is no text, keys of mixed or wrong length, or rows that ``check`` refuses.
    """
    odd = odd_character(name.replace("\n", "\t"))
    if odd:
        raise BadInput(f"scores {name!r}: the name holds the control character {odd}; expected text")
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
    check(rows, facts, f"scores {name!r}")
    return complete(rows, facts)


def _plain(value: Any) -> Any:
    """Return numpy's scalars as plain numbers."""
    return value.item() if hasattr(value, "item") else value


def complete(rows: Iterable[Mapping[str, Any]], facts: TruthFacts) -> pa.Table:
    """Return checked rows as a ``scores`` table, with dataset and split of each network filled in."""
    filled = [{**row, "dataset": facts.datasets[row["network"]], "split": facts.splits[row["network"]]} for row in rows]
    return schema.build("scores", filled)


def complete_table(table: pa.Table, facts: TruthFacts, name: str = "scores") -> pa.Table:
    """Return a checked table with dataset and split of each network filled in, as table ``scores`` or another one."""
    known, schema_of = list(facts.layers), schema.TABLES[name]
    number = pc.index_in(table["network"], pa.array(known, pa.string()))
    filled = {
        "dataset": pa.array([facts.datasets[network] for network in known], pa.string()).take(number),
        "split": pa.array([facts.splits[network] for network in known], pa.string()).take(number),
    }
    columns = [filled[field.name] if field.name in filled else table[field.name] for field in schema_of]
    return schema.in_order(pa.table(columns, schema=schema_of))


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
    kept: dict[Key, tuple[dict[str, Any], str]] = {}
    largest: dict[tuple[str, str], float] = {}
    for where, rows in sources:
        for row in rows:
            first, first_where = kept.setdefault(tuple(row[name] for name in PLACE), (row, where))
            of = (row["criterion"], row["network"])
            largest[of] = max(largest.get(of, 0.0), abs(first["score"]))
            if not alike(first["score"], row["score"], largest[of]):
                raise BadInput(
                    f"criterion {row['criterion']!r} scores {row['layer']!r} of {row['network']!r} {first['score']:g} in "
                    f"{first_where} and {row['score']:g} in {where}; if these are two criteria, rename the "
                    "function of one and score it again; if it is one, score it by as many --calibration-sets in both"
                )
    return [row for row, _ in kept.values()]


def check_table(table: pa.Table, facts: TruthFacts, where: str) -> None:
    """Refuse a ``scores`` table as ``check`` refuses rows; fast where there is nothing to refuse.

    Raises:
        BadInput: see ``check``.
    """
    if not _is_in_order(table, facts):
        batches = table.to_batches(max_chunksize=10_000)  # rows take ten times the room
        check((row for batch in batches for row in batch.to_pylist()), facts, where)


def _is_in_order(table: pa.Table, facts: TruthFacts) -> bool:
    """Tell, by columns, whether every row passes all that ``check`` asks; False where only rows can tell."""
    if table["score"].null_count or not pc.all(pc.is_finite(table["score"])).as_py():
        return table.num_rows == 0
    keys = ["track", "criterion", "network", "perturbation", "level"]
    pairs = [(network, layer) for network, layers in facts.layers.items() for layer in layers]
    names = pa.table({"network": [network for network, _ in pairs], "layer": [layer for _, layer in pairs]}, schema=NAMES)
    if table.join(names, ["network", "layer"], join_type="left anti").num_rows:
        return False
    values, codes = {}, {}  # numbers are grouped in a tenth of the time of names
    for name in [*keys, "layer"]:
        values[name], codes[name] = coded(table[name])
    numbers = pa.table(codes)
    if numbers.group_by([*keys[1:], "layer"]).aggregate([([], "count_all")]).num_rows != table.num_rows:
        return False
    counted = numbers.group_by(keys).aggregate([([], "count_all")]).to_pylist()
    cells = [{**row, **{name: values[name][row[name]] for name in keys}} for row in counted]
    return all(_is_whole(row, facts) for row in cells) and all(
        scored == set(facts.levels[perturbation])
        for (_, _, perturbation), scored in _levels_scored(itemgetter(*keys[1:])(row) for row in cells).items()
    )


def _is_whole(row: Mapping[str, Any], facts: TruthFacts) -> bool:
    """Tell whether a criterion's cell, ``count_all`` scores, names what its track asks for and has every layer."""
    n_named = (row["perturbation"] is not None) + (row["level"] is not None)
    return (
        row["track"] in TRACKS
        and TRACKS.index(row["track"]) == n_named
        and row["count_all"] == len(facts.layers[row["network"]])
        and (row["perturbation"] in facts.levels if n_named else True)
    )


def _levels_scored(cells: Iterable[tuple[str, str, str, float | None]]) -> dict[tuple[str, str, str], set[float]]:
    """Return the levels of each (criterion, network, perturbation), from these and a level; None is no level."""
    scored: dict[tuple[str, str, str], set[float]] = {}
    for *cell, level in cells:
        if level is not None:
            scored.setdefault((cell[0], cell[1], cell[2]), set()).add(level)
    return scored


def check(rows: Iterable[Mapping[str, Any]], facts: TruthFacts, where: str) -> None:
    """Refuse scores that are not finite or do not name every layer of their networks exactly once.

    Args:
        rows: with the keys criterion, track, network, layer, score, and for aware tracks perturbation and level.
        facts: of the truth.
        where: what the message begins with; the row's number, counted from 1 without a header, follows.

    Raises:
        BadInput: the first offending row: unknown network, layer, perturbation or level, duplicate, text, NaN or infinite
            score, or a missing layer or level.
    """
    known = {name: dict.fromkeys(layers) for name, layers in facts.layers.items()}  # to look 100,000 up takes no minutes
    seen: dict[Key, int] = {}
    for number, row in enumerate(rows, start=1):
        place = f"{where}, row {number}"
        _check_names(row, known, place)
        _check_value(row["score"], place)
        _check_track(row, place)
        _check_perturbation(row, facts.levels, place)
        key = _key(row)
        if key in seen:
            raise BadInput(f"{place}: layer {row['layer']!r} of {row['network']!r} was scored in row {seen[key]} already")
        seen[key] = number
    _check_complete(seen, known, where)
    _check_levels(seen, facts.levels, where)


def _key(row: Mapping[str, Any]) -> Key:
    return (row["criterion"], row["network"], row.get("perturbation"), row.get("level"), row["layer"])


def _check_names(row: Mapping[str, Any], known: Mapping[str, Mapping[str, None]], place: str) -> None:
    network, layer = row["network"], row["layer"]
    if network not in known:
        raise BadInput(f"{place}: {network!r} is not a network of the truth.{suggestion(str(network), known)}\n"
                       f"The networks: {', '.join(known)}")  # fmt: skip
    if layer not in known[network]:
        raise BadInput(f"{place}: {layer!r} is not a layer of network {network!r}.{suggestion(str(layer), known[network])}\n"
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
    n_named = sum(row.get(key) is not None for key in ("perturbation", "level"))
    if n_named != depth or (depth >= 1 and row.get("perturbation") is None):
        wanted = ("neither perturbation nor level", "a perturbation and no level", "a perturbation and a level")[depth]
        raise BadInput(f"{place}: a {row['track']} score has {wanted}")


def _check_perturbation(row: Mapping[str, Any], levels: Mapping[str, list[float]], place: str) -> None:
    name, level = row.get("perturbation"), row.get("level")
    if name is not None and name not in levels:
        raise BadInput(f"{place}: {name!r} is not a perturbation of the truth.{suggestion(str(name), levels)}\n"
                       f"Those that it has: {', '.join(levels)}. Name these alone; `score`: --perturbation")  # fmt: skip
    if level is not None and level not in levels[str(name)]:
        known_levels = ", ".join(map(str, levels[str(name)]))
        raise BadInput(f"{place}: {level!r} is not a level of {name!r}; its levels: {known_levels}")


def _check_levels(seen: Mapping[Key, int], levels: Mapping[str, list[float]], where: str) -> None:
    """Refuse a level-aware criterion that scores some levels of a perturbation only: it would have no area."""
    for (criterion, network, perturbation), scored in _levels_scored(key[:-1] for key in seen).items():
        missing = sorted(set(levels[perturbation]) - scored)
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
