"""Parts: what a run stores at once, and whether one is what its unit, its run's request and the clean answers say.

A part's name holds the SHA-256 of its bytes, not its unit: one that was renamed or copied is told by its rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput, text_of
from safer_bench.tables import files, schema
from safer_bench.tables.columns import SPLITS
from safer_bench.truth.answers import answers_of, begins, of_today
from safer_bench.truth.slices import Slice, slice_of

Row = dict[str, Any]
Condition = tuple[str, float, int]  # perturbation, level, draw
CONDITION = ("perturbation", "level", "draw")
LOSS_CLIP = 16.0  # of each answer
PART = pa.schema(
    [
        *schema.TABLES["layer_drops"],
        schema.TABLES["losses"].field("loss_increase"),
        schema.TABLES["outcomes"].field("flips"),
    ]
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What one part holds: all probes of one layer on one slice of examples."""

    network: str
    example_start: int
    n_examples: int
    layer_index: int

    @property
    def slice(self) -> Slice:
        """First example, number of examples."""
        return self.example_start, self.n_examples

    @property
    def stem(self) -> str:
        """File name without digest and ending."""
        return f"{self.example_start:06d}-{self.n_examples:06d}-{self.layer_index:04d}"

    @property
    def stem_before(self) -> str:
        """The same in folders of before, whose slices were of one size."""
        return f"{self.example_start:06d}-{self.layer_index:04d}"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one network in one run folder, and the request of the run."""

    paths: Mapping[Unit, Path]
    request: Mapping[str, Any]


@dataclass(slots=True)
class Expected:
    """What the parts of one network have to hold.

    Attributes:
        network: its row of the table networks.
        layers: its rows of the table layers, by index.
        conditions: what is measured of each layer, by slice.
        begin: number of each example's first answer, and that of the end of the last ``(n_examples + 1,)``.
        right: which answers of the unperturbed network are right ``(n_answers,)``; None where a shard knows its share alone.
    """

    network: Row
    layers: dict[int, Row]
    conditions: dict[Slice, set[Condition]]
    begin: np.ndarray
    right: np.ndarray | None
    _seen: dict[Slice, list[pa.ChunkedArray]] = field(default_factory=dict)  # conditions as columns, once found right

    def problem_of(self, table: pa.Table, unit: Unit) -> str | None:
        """Return what is wrong with a unit's part, in words; None where nothing is."""
        if [(each.name, each.type) for each in table.schema] != [(each.name, each.type) for each in PART]:
            return "other columns than those of a part"
        if not table.num_rows:
            return "it is empty"
        nulls = [name for name in table.schema.names if table[name].null_count]
        if nulls:
            return f"{nulls[0]} is missing in some row"
        return self._of_other_unit(table, unit) or self._other_conditions(table, unit) or self._wrong_counts(table, unit)

    def _of_other_unit(self, table: pa.Table, unit: Unit) -> str | None:
        layer = self.layers[unit.layer_index]
        wanted = {"network": unit.network, "dataset": self.network["dataset"], "split": self.network["split"]}
        wanted |= {"layer": layer["layer"], "layer_index": unit.layer_index, "example_start": unit.example_start}
        wanted |= {"n_examples": unit.n_examples, "n_answers": self._n_answers(unit)}
        if self.right is not None:
            wanted["correct_clean"] = int(np.count_nonzero(self._right_in(unit)))
        for name, value in wanted.items():
            column = table[name]
            if not pc.all(pc.equal(column, pa.scalar(value, column.type))).as_py():
                found = next(each for each in column.to_pylist() if each != value)
                known = "the clean answers" if name == "correct_clean" else "its place"
                return f"{name} is {found!r:.60}, by {known} it is {value!r}"
        return None

    def _n_answers(self, unit: Unit) -> int:
        return int(self.begin[unit.example_start + unit.n_examples] - self.begin[unit.example_start])

    def _right_in(self, unit: Unit) -> np.ndarray:
        assert self.right is not None  # noqa: S101  of a whole run
        return self.right[self.begin[unit.example_start] : self.begin[unit.example_start + unit.n_examples]]

    def _other_conditions(self, table: pa.Table, unit: Unit) -> str | None:
        columns = [table[name] for name in CONDITION]
        if columns == self._seen.get(unit.slice):
            return None
        wanted = self.conditions[unit.slice]
        found = list(zip(*(column.to_pylist() for column in columns), strict=True))
        if len(set(found)) < len(found):
            return "a probe is there twice"
        for what, rows in (("lacks", wanted - set(found)), ("holds, unasked for,", set(found) - wanted)):
            if rows:
                name, level, draw = min(rows)
                return f"it {what} perturbation {name!r:.60}, level {level:g}, draw {draw}"
        self._seen[unit.slice] = columns
        return None

    def _wrong_counts(self, table: pa.Table, unit: Unit) -> str | None:
        n, numbers = self._n_answers(unit), {name: table[name].to_numpy() for name in PART.names if _is_number(name)}
        n_bytes = (n + 7) // 8
        if not pc.all(pc.equal(pc.binary_length(table["flips"]), n_bytes)).as_py():
            return f"flips are not of {n_bytes} bytes"
        flips = np.frombuffer(b"".join(table["flips"].to_pylist()), dtype=np.uint8).reshape(-1, n_bytes)
        counted, padding = np.bitwise_count(flips).sum(1, dtype=np.int64), np.packbits(np.arange(8 * n_bytes) >= n)
        broken, fixed, changed = (numbers[name].astype(np.int64) for name in ("broken", "fixed", "predictions_changed"))
        right = numbers["correct_clean"]
        fits = {
            "broken": (broken >= 0) & (broken <= right),
            "fixed": (fixed >= 0) & (fixed <= n - right),
            "flips": (counted == broken + fixed) & ~(flips & padding).any(1),
            "predictions_changed": (changed >= broken + fixed) & (changed <= n),
            "changed_entries": (numbers["changed_entries"] >= 0)
            & (numbers["changed_entries"] <= self.layers[unit.layer_index]["parameters"]),
            "accuracy_drop": numbers["accuracy_drop"] == (broken - fixed) / n,
            "loss_increase": np.abs(numbers["loss_increase"]) <= LOSS_CLIP,
        }
        if self.right is not None:
            flipped = flips & np.packbits(self._right_in(unit))
            fits["flips"] &= np.bitwise_count(flipped).sum(1, dtype=np.int64) == broken
        wrong = next((name for name, good in fits.items() if not good.all()), None)
        return None if wrong is None else f"{wrong} contradicts the other counts"


def _is_number(name: str) -> bool:
    kind = PART.field(name).type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def expected_of(request: Mapping[str, Any], name: str, tables: Mapping[str, pa.Table], *, whole: bool = True) -> Expected:
    """Return what the parts of a network hold.

    Args:
        request: of the run.
        name: of the network.
        tables: networks, layers and perturbations.
        whole: the table of networks knows all clean answers, not a shard's share alone.

    Raises:
        BadInput: the request and the tables contradict each other.
    """
    rows = {kind: tables[kind].to_pylist() for kind in ("networks", "layers", "perturbations")}
    network = next((row for row in rows["networks"] if row["network"] == name), None)
    layers = {row["layer_index"]: row for row in rows["layers"] if row["network"] == name}
    if network is None or len(layers) != network["n_layers"]:
        raise BadInput(f"network {name!r}: the run's tables lack it or some of its layers; measure again in a new folder")
    kinds = {row["perturbation"]: row for row in rows["perturbations"]}
    total, answers = network["n_examples"], answers_of(network)
    begin = begins(answers)
    bits, n_answers = np.frombuffer(network["clean_outcomes"], dtype=np.uint8), int(begin[-1])
    fitting = len(answers) == total and answers.min(initial=0) >= 0 and 8 * len(bits) >= n_answers == network["n_answers"]
    right = np.unpackbits(bits, count=n_answers).astype(bool) if fitting else np.zeros(0, dtype=bool)
    digests = {key: network[f"{key}_sha256"] for key in ("weights", "inputs")}
    same_levels = all(name in kinds and kinds[name]["levels"] == levels for name, levels in request["perturbations"].items())
    same_place = all((row["dataset"], row["split"]) == (network["dataset"], network["split"]) for row in layers.values())
    same_macs = sum(row["macs"] for row in layers.values()) == network["macs"]
    counted = not whole or np.count_nonzero(right) == network["clean_correct"]
    fits = fitting and same_levels and same_place and same_macs and counted and network["split"] in SPLITS
    if not (total > 0 and digests == request["networks"][name] and fits):
        raise BadInput(f"network {name!r}: the run's tables contradict its request; measure again in a new folder")
    sizes = request["examples"], request.get("deterministic_examples", request["examples"])
    conditions: dict[Slice, set[Condition]] = {}
    for condition in _conditions(request, name, kinds):
        where = slice_of(condition[-1], sizes[kinds[condition[0]]["deterministic"]], total)
        conditions.setdefault(where, set()).add(condition)
    if sorted(map(list, conditions)) != request["slices"][name]:
        raise BadInput(f"network {name!r}: the run's slices contradict its draws; measure again in a new folder")
    return Expected(network, layers, conditions, begin, right if whole else None)


def _conditions(request: Mapping[str, Any], network: str, kinds: Mapping[str, Row]) -> list[Condition]:
    """Return all perturbations, levels and draws that a request asks for."""
    found = []
    for name, levels in request["perturbations"].items():
        first = request["first_draw"] if isinstance(request["first_draw"], int) else request["first_draw"][name]
        for i, level in enumerate(levels):
            given = request["draws"]
            n_draws = given if isinstance(given, int) else given.get(network, {}).get(name, [])[i : i + 1]
            n_draws = n_draws if isinstance(n_draws, int) else sum(n_draws)
            draws = range(first, first + n_draws) if not kinds[name]["deterministic"] else range(1 if first == 0 else 0)
            found += [(name, level, draw) for draw in draws]
    return found


def read_parts(parts: Mapping[Unit, Path], expected: Expected | None) -> pa.Table:
    """Return the parts of one network as one table, each checked.

    Args:
        parts: paths by unit.
        expected: what they have to hold; None where there are no parts.

    Raises:
        BadInput: a part is not that of its unit, of the request, or of the clean answers; the message names it.
    """
    tables = [PART.empty_table()]
    for unit, path in parts.items():
        table = _read(path)
        problem = None if expected is None else expected.problem_of(table, unit)
        if problem is not None:
            raise BadInput(
                f"{path}: is not what this run measured there ({problem}); remove it and repeat the measure command"
            )
        tables.append(table)
    return pa.concat_tables(tables)


def _read(path: Path) -> pa.Table:
    try:
        return of_today(files.read_parquet(path), PART)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(
            f"{path}: is not a part of a run ({text_of(error)[:200]}); remove it and repeat the measure command"
        ) from error


def part_of(rows: Sequence[Row]) -> bytes:
    """Return the rows of one unit as the bytes of its part."""
    return files.parquet_bytes(pa.Table.from_pylist(list(rows), schema=PART))


def is_intact(path: Path) -> bool:
    """Tell whether a part's bytes are those that its name says."""
    return files.sha256_of(path.read_bytes())[:16] == path.name.split(".")[-2]
