"""All probes of one network under one perturbation, as arrays; no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.errors import BadInput
from safer_bench.tables.facts import by_first_use
from safer_bench.truth.answers import answers_of, begins

Array = np.ndarray
Row = dict[str, Any]
MOST_BITS = 2**26  # that are unpacked at once


@dataclass(frozen=True, slots=True)
class Cell:
    """All probes of one network under one perturbation.

    Attributes:
        identity: network, dataset, split and perturbation.
        layers: layer names in order.
        levels: mild to severe.
        scale: ``linear`` or ``log10``.
        deterministic: one draw is enough.
        changes: for each level ``(n_draws, n_layers, n_examples)``: answers of the example that broke, less those that were
            fixed; int8 where each example has one answer, else int32.
        slices: first example of each draw ``(most draws,)``.
        answers: of each draw's examples, int64 ``(most draws, n_examples)``.
        above_chance: clean accuracy minus chance.
    """

    identity: Row
    layers: list[str]
    levels: Array
    scale: str
    deterministic: bool
    changes: list[Array]
    slices: Array
    answers: Array
    above_chance: float


def cells_of(probes: pa.Table, networks: pa.Table, perturbations: pa.Table) -> Iterator[Cell]:
    """Yield the probes of each network under each perturbation; the arguments are those of ``summarise``.

    Raises:
        BadInput: see ``summarise``.
    """
    network_rows = {row["network"]: row for row in networks.to_pylist()}
    perturbation_rows = {row["perturbation"]: row for row in perturbations.to_pylist()}
    probes = probes.combine_chunks()
    for (network, perturbation), rows in _groups(probes, ["network", "perturbation"]):
        yield _cell(probes.take(rows), network_rows[network], perturbation_rows[perturbation])


def size_and_depth(layers: pa.Table) -> dict[str, Array]:
    """Return parameters and position of each layer ``(2, n_layers)`` of each network, layers in order of first use."""
    return {
        name: np.array([(row["parameters"], row["layer_index"]) for row in rows], dtype=float).T
        for name, rows in by_first_use(layers.to_pylist()).items()
    }


def _groups(table: pa.Table, keys: list[str]) -> Iterator[tuple[tuple[str, ...], pa.Array]]:
    """Yield the values of the key columns, and the rows that have them, in order of first appearance."""
    rows = table.select(keys).append_column("row", pa.array(np.arange(table.num_rows)))
    groups = rows.group_by(keys, use_threads=False).aggregate([("row", "list")])
    for *values, members in zip(*(groups[name].combine_chunks() for name in [*keys, "row_list"]), strict=True):
        yield tuple(value.as_py() for value in values), members.values


def _cell(rows: pa.Table, network: Row, perturbation: Row) -> Cell:
    identity = {key: rows[key][0].as_py() for key in ("network", "dataset", "split", "perturbation")}
    layers = dict(sorted(zip(rows["layer_index"].to_pylist(), rows["layer"].to_pylist(), strict=True)))
    draws, first = np.unique(rows["draw"].to_numpy(), return_index=True)
    starts = rows["example_start"].to_numpy()
    n_examples = _n_examples(rows, network, identity)
    draw, layer = (
        np.searchsorted(known, rows[name].to_numpy()) for name, known in (("draw", draws), ("layer_index", list(layers)))
    )
    of_probes, answers = _changes(rows, n_examples, network), answers_of(network)
    levels, changes = [], []
    for level in perturbation["levels"]:
        here = np.flatnonzero(rows["level"].to_numpy() == level)
        if len(here):
            n_draws = _n_draws(level, draw[here], len(layers), identity)
            of_level = np.zeros((n_draws, len(layers), n_examples), dtype=of_probes.dtype)
            of_level[draw[here], layer[here]] = of_probes[here]
            levels.append(level)
            changes.append(of_level)
    return Cell(
        identity=identity,
        layers=list(layers.values()),
        levels=np.array(levels),
        scale=perturbation["scale"],
        deterministic=perturbation["deterministic"],
        changes=changes,
        slices=starts[first],
        answers=np.stack([answers[start : start + n_examples] for start in starts[first]]),
        above_chance=network["clean_correct"] / network["n_answers"] - network["chance_accuracy"],
    )


def _n_draws(level: float, draws: Array, n_layers: int, identity: Row) -> int:
    """Return the number of draws at a level, given the number of each row's: the first of all, each of every layer.

    Raises:
        BadInput: draws or layers are missing.
    """
    n_draws = len(np.unique(draws))
    if len(draws) != n_draws * n_layers or draws.max() != n_draws - 1:
        raise BadInput(
            f"{_where(identity)}, level {level:g}: {len(draws)} probes; expected the first {n_draws} draws of all "
            f"{n_layers} layers"
        )
    return n_draws


def _where(identity: Row) -> str:
    return f"network {identity['network']!r}, perturbation {identity['perturbation']!r}"


def _n_examples(rows: pa.Table, network: Row, identity: Row) -> int:
    """Return the number of examples that each probe saw.

    Raises:
        BadInput: probes differ in it, or the network has no accuracy to lose.
    """
    sizes, where = np.unique(rows["n_examples"].to_numpy()), _where(identity)
    if len(sizes) > 1:
        raise BadInput(f"{where}: probes of {sizes[0]} and of {sizes[-1]} examples; measure all with the same --examples")
    if missing := no_accuracy(network):
        raise BadInput(f"{where}: {missing}")
    return int(sizes[0])


def no_accuracy(network: Row) -> str:
    """Return what to say of a network, a row of the table ``networks``, that has no accuracy to lose; empty of others."""
    if network["clean_correct"] > network["chance_accuracy"] * network["n_answers"]:
        return ""
    return (
        f"right in {network['clean_correct']} of {network['n_answers']} answers, no better than always answering the "
        "largest class: it has no accuracy to lose"
    )


def _changes(rows: pa.Table, n_examples: int, network: Row) -> Array:
    """Return of each probe the answers of each example that broke, less those that were fixed ``(n_rows, n_examples)``."""
    answers = answers_of(network)
    begin = begins(answers)
    signs = 2 * _bits(np.frombuffer(network["clean_outcomes"], dtype=np.uint8), begin[-1]) - 1
    changes = np.zeros((rows.num_rows, n_examples), np.int8 if network["answers_of_example"] is None else np.int32)
    for start, members in _by_value(rows["example_start"].to_numpy()):
        stop = start + n_examples
        of_slice = signs[begin[start] : begin[stop]]
        most = max(1, MOST_BITS // len(of_slice))
        for few in (members[i : i + most] for i in range(0, len(members), most)):
            flips = _flips(rows["flips"].take(pa.array(few)).combine_chunks(), len(of_slice))
            changes[few] = _by_example(flips * of_slice, answers[start:stop])
    return changes


def _by_value(values: Array) -> Iterator[tuple[int, Array]]:
    """Yield each distinct value and which entries have it."""
    distinct, number = np.unique(values, return_inverse=True)
    yield from ((int(value), np.flatnonzero(number == i)) for i, value in enumerate(distinct))


def _by_example(values: Array, answers: Array) -> Array:
    """Return the sums ``(n_rows, n_examples)`` of values of answers ``(n_rows, n_answers)`` over those of each example."""
    if (answers == 1).all():
        return values
    sums, some = np.zeros((len(values), len(answers)), dtype=np.int32), answers > 0
    sums[:, some] = np.add.reduceat(values, begins(answers)[:-1][some], axis=1, dtype=np.int32)
    return sums


def _flips(column: pa.BinaryArray, n: int) -> Array:
    """Return the bits of each row of a binary column of equal lengths: int8 ``(n_rows, n)``."""
    start, stop = (np.frombuffer(column.buffers()[1], dtype=np.int32)[column.offset + i] for i in (0, len(column)))
    packed = np.frombuffer(column.buffers()[2], dtype=np.uint8)[start:stop]
    return _bits(packed.reshape(len(column), -1), n)


def _bits(packed: Array, n: int) -> Array:
    return np.unpackbits(packed, axis=-1, count=n).astype(np.int8)
