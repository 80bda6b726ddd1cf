"""Is a dataset tree what it says? Manifest, schema, sums, and which rows to measure again.

Nothing goes row by row but what is to be told or measured again: a truth may have millions of rows.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from itertools import islice, zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.pinned import NOT_OF_THE_TREE
from safer_bench.dataset.tree import MANIFEST, Tree, content_hash
from safer_bench.errors import BadInput
from safer_bench.stream import Stream
from safer_bench.tables import files
from safer_bench.truth.answers import answers_of, begins
from safer_bench.truth.run_folder import PROTOCOL

NEEDED = ("networks", "layers", "perturbations", "layer_drops", "losses", "outcomes", "layer_sensitivity", "cells")
Row = dict[str, Any]
STRATA = (0.001, 0.05, 0.3)  # rows are drawn evenly from drops below, between and above


def problems(tree: Tree) -> Iterator[str]:
    """Yield what is wrong with a tree's files and rows; nothing where all is well."""
    there, known = files.names_below(tree.path), {*tree.manifest["files"], MANIFEST}
    surplus = [name for name in sorted(there - known) if not any(fnmatch(name, pattern) for pattern in NOT_OF_THE_TREE)]
    yield from (f"{name}: not in the manifest" for name in surplus)
    yield from (f"{name}: missing" for name in sorted(known - there))
    yield from _file_problems(tree, there)
    yield from check_contents(tree)
    tables: dict[str, pa.Table] = {}
    for name in tree:
        try:
            tables[name] = tree[name]
        except BadInput as error:
            yield str(error)
    yield from (
        f"{name}: its rows differ from the manifest's content hash"
        for name, table in tables.items()
        if content_hash(table) != tree.manifest["contents"][name]
    )
    yield from _sum_problems(tables)


def _file_problems(tree: Tree, there: set[str]) -> Iterator[str]:
    for name, digest in tree.manifest["files"].items():
        try:
            if name in there and files.sha256_of(tree.read(name)) != digest:
                yield f"{name}: differs from the manifest"
        except BadInput as error:
            yield str(error)


def check_contents(tree: Tree) -> Iterator[str]:
    """Yield what a manifest lacks that every truth has; that its tables are those of its files was seen as it was read."""
    yield from (f"{name}: no such table, which every truth has" for name in NEEDED if name not in tree)
    protocol = tree.manifest["protocol"]
    if protocol != PROTOCOL:
        yield f"{MANIFEST}: measured by protocol {protocol}, expected {PROTOCOL}: its rows cannot be measured again here"


def _sum_problems(tables: Mapping[str, pa.Table]) -> Iterator[str]:
    """Yield which counts do not fit together, in the tables that can be read."""
    drops, outcomes, networks = (tables.get(name) for name in ("layer_drops", "outcomes", "networks"))
    if drops is not None:
        yield from (f"layer_drops: {row_name(row)}: sums do not fit" for row in inconsistent(drops))
    if drops is not None and outcomes is not None:
        yield from _flip_problems(drops, outcomes)
    if networks is not None:
        yield from _clean_problems(networks)
        yield from _answer_problems(networks)
    if drops is not None and networks is not None:
        yield from _slice_problems(drops, networks)


def row_name(row: Row) -> str:
    """Return what identifies a row, for messages."""
    return f"{row['network']} {row['layer']} {row['perturbation']} {row['level']:g} draw {row['draw']}"


def inconsistent(table: pa.Table) -> list[Row]:
    """Return the rows of ``layer_drops`` whose counts cannot be those of one probe."""
    names = ("broken", "fixed", "correct_clean", "n_answers", "predictions_changed", "changed_entries", "accuracy_drop")
    broken, fixed, right, n, changed, entries, drop = (table[name].to_numpy() for name in names)
    possible = (
        ((broken >= 0) & (broken <= right) & (right <= n) & (n > 0) & (table["n_examples"].to_numpy() > 0))
        & ((fixed >= 0) & (fixed <= n - right))
        & ((broken + fixed <= changed) & (changed <= n) & (entries >= 0))
        & (drop == (broken - fixed) / np.maximum(n, 1))
    )
    return list(table.filter(pa.array(~possible)).to_pylist())


def _flip_problems(drops: pa.Table, outcomes: pa.Table) -> Iterator[str]:
    """Yield what ``outcomes`` says otherwise than ``layer_drops``: another probe, or another number of flips."""
    keys = ["network", "perturbation", "level", "layer", "draw"]
    drops, outcomes = (table.sort_by([(key, "ascending") for key in keys]) for table in (drops, outcomes))
    if any(not drops[key].equals(outcomes[key]) for key in keys):
        yield "outcomes: its probes are not those of layer_drops"
        return
    flipped = _bits_set(outcomes["flips"])
    counted = pc.add(drops["broken"], drops["fixed"]).to_numpy()
    for i in np.flatnonzero(flipped != counted):
        row = drops.slice(int(i), 1).to_pylist()[0]
        yield f"outcomes: {row_name(row)}: {flipped[i]} answers flipped, layer_drops says {counted[i]}"


def _answer_problems(networks: pa.Table) -> Iterator[str]:
    """Yield the networks whose numbers of answers do not add up."""
    for row in networks.select(["network", "n_examples", "n_answers", "answers_of_example"]).to_pylist():
        if not _add_up(row):
            yield f"networks: {row['network']}: n_examples, n_answers and answers_of_example contradict each other"


def _add_up(row: Row) -> bool:
    n_examples, n_answers, answers = row["n_examples"], row["n_answers"], row["answers_of_example"]
    if answers is None:
        return n_examples is not None and 0 < n_examples == n_answers
    return None not in answers and min(answers, default=-1) >= 0 and (len(answers), sum(answers)) == (n_examples, n_answers)


def _slice_problems(drops: pa.Table, networks: pa.Table) -> Iterator[str]:
    """Yield the probes whose answers are not those of their examples."""
    places = drops.select(["network", "example_start", "n_examples", "n_answers"])
    begin = {row["network"]: begins(answers_of(row)) for row in networks.to_pylist() if _add_up(row)}
    for row in places.group_by(places.schema.names, use_threads=False).aggregate([]).to_pylist():
        name, start, n = row["network"], row["example_start"], row["n_examples"]
        if name not in begin:
            continue
        where = f"layer_drops: {name}, {n} examples from {start}"
        if not 0 <= start < start + n < len(begin[name]):
            yield f"{where}: the network has {len(begin[name]) - 1}"
        elif (there := int(begin[name][start + n] - begin[name][start])) != row["n_answers"]:
            yield f"{where}: n_answers is {row['n_answers']}, by the table networks they have {there}"


def _clean_problems(networks: pa.Table) -> Iterator[str]:
    """Yield the networks whose right answers are not as many as counted."""
    right = _bits_set(networks["clean_outcomes"])
    for i in np.flatnonzero(right != networks["clean_correct"].to_numpy()):
        name, counted = networks["network"][int(i)], networks["clean_correct"][int(i)]
        yield f"networks: {name}: {right[i]} answers are right, clean_correct says {counted}"


def _bits_set(column: pa.ChunkedArray) -> np.ndarray:
    """Return the number of bits set in each row of a binary column ``(n_rows,)``."""
    return np.concatenate([np.zeros(0, np.int64), *map(_bits_set_in_chunk, column.chunks)])


def _bits_set_in_chunk(chunk: pa.BinaryArray) -> np.ndarray:
    ends = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1].astype(np.int64)
    values = np.frombuffer(chunk.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    total = np.concatenate([[0], np.cumsum(np.bitwise_count(values), dtype=np.int64)])
    return np.asarray(np.diff(total[ends - ends[0]]))


def choose_rows(table: pa.Table, n: int, seed: int = 0, dataset: str | None = None) -> list[Row]:
    """Return n random rows of ``layer_drops``, drawn evenly from strata of drop: probes that do nothing prove little.

    Raises:
        BadInput: ``dataset`` is given and the truth has no row of it.
    """
    rows = table if dataset is None else table.filter(pc.field("dataset") == dataset)
    if not rows.num_rows:
        known = ", ".join(sorted(set(table["dataset"].to_pylist())))
        raise BadInput(f"the truth has no dataset {dataset!r}; it has {known}")
    order = Stream("verify", seed).permutation(rows.num_rows)[::-1]
    stratum = np.digitize(np.abs(rows["accuracy_drop"].to_numpy()), STRATA)[order]
    strata = [order[stratum == i].tolist() for i in range(len(STRATA) + 1)]
    in_turn = (i for turn in zip_longest(*strata) for i in turn if i is not None)
    return list(rows.take(list(islice(in_turn, n))).to_pylist())
