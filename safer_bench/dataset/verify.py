"""Is a dataset tree what it says? Manifest, schema, sums, and which rows to measure again."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from safer_bench import files
from safer_bench.dataset.tree import MANIFEST, Tree, content_hash
from safer_bench.errors import BadInput
from safer_bench.perturbations.stream import Stream

Row = dict[str, Any]
STRATA = (0.001, 0.05, 0.3)  # rows are drawn evenly from drops below, between and above


def problems(tree: Tree) -> Iterator[str]:
    """Yield what is wrong with a tree's files and rows; nothing where all is well."""
    there = {str(path.relative_to(tree.path)) for path in tree.path.rglob("*") if path.is_file()}
    known = {*tree.manifest["files"], MANIFEST}
    yield from (f"{name}: not in the manifest" for name in sorted(there - known))
    yield from (f"{name}: missing" for name in sorted(known - there))
    for name, digest in tree.manifest["files"].items():
        if name in there and files.sha256_of((tree.path / name).read_bytes()) != digest:
            yield f"{name}: differs from the manifest"
    for name in tree:
        yield from _table_problems(tree, name)


def _table_problems(tree: Tree, name: str) -> Iterator[str]:
    try:
        table = tree[name]
    except BadInput as error:
        yield str(error)
        return
    if content_hash(table) != tree.manifest["contents"][name]:
        yield f"{name}: its rows differ from the manifest's content hash"
    if name == "layer_drops":
        yield from (f"layer_drops: {row_name(row)}: sums do not fit" for row in table.to_pylist() if not consistent(row))


def row_name(row: Row) -> str:
    """Return what identifies a row, for messages."""
    return f"{row['network']} {row['layer']} {row['perturbation']} {row['level']:g} draw {row['draw']}"


def consistent(row: Row) -> bool:
    """Tell whether the counts of a row of ``layer_drops`` can be those of one probe."""
    broken, fixed, right, n = row["broken"], row["fixed"], row["correct_clean"], row["n_examples"]
    return (
        0 <= broken <= right <= n
        and 0 <= fixed <= n - right
        and broken + fixed <= row["predictions_changed"] <= n
        and row["accuracy_drop"] == (broken - fixed) / n
    )


def choose_rows(table: pa.Table, n: int, seed: int = 0, dataset: str | None = None) -> list[Row]:
    """Return n random rows of ``layer_drops``, drawn evenly from strata of drop: probes that do nothing prove little.

    Raises:
        BadInput: ``dataset`` is given and the truth has no row of it.
    """
    rows = [row for row in table.to_pylist() if dataset in (None, row["dataset"])]
    if not rows:
        known = ", ".join(sorted(set(table["dataset"].to_pylist())))
        raise BadInput(f"the truth has no dataset {dataset!r}; it has {known}")
    strata: list[list[Row]] = [[] for _ in range(len(STRATA) + 1)]
    for i in Stream("verify", seed).permutation(len(rows)):
        strata[sum(abs(rows[i]["accuracy_drop"]) >= limit for limit in STRATA)].append(rows[i])
    chosen: list[Row] = []
    while len(chosen) < min(n, len(rows)):
        for stratum in strata:
            if stratum and len(chosen) < n:
                chosen.append(stratum.pop())
    return chosen
