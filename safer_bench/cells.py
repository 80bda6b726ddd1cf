"""All probes of one network under one perturbation, as arrays; no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.errors import BadInput

Array = np.ndarray
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """All probes of one network under one perturbation.

    Attributes:
        identity: network, dataset, split and perturbation.
        layers: layer names in order.
        levels: mild to severe.
        scale: ``linear`` or ``log10``.
        deterministic: one draw is enough.
        changes: for each level int8 ``(n_draws, n_layers, n_examples)``, 1 broken, -1 fixed.
        slices: first example of each draw ``(most draws,)``.
        above_chance: clean accuracy minus chance.
    """

    identity: Row
    layers: list[str]
    levels: Array
    scale: str
    deterministic: bool
    changes: list[Array]
    slices: Array
    above_chance: float


def cells_of(probes: pa.Table, networks: pa.Table, perturbations: pa.Table) -> Iterator[Cell]:
    """Yield the probes of each network under each perturbation; the arguments are those of ``summarise``.

    Raises:
        BadInput: see ``summarise``.
    """
    network_rows = {row["network"]: row for row in networks.to_pylist()}
    perturbation_rows = {row["perturbation"]: row for row in perturbations.to_pylist()}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in probes.to_pylist():
        groups.setdefault((row["network"], row["perturbation"]), []).append(row)
    for (network, perturbation), rows in groups.items():
        yield _cell(rows, network_rows[network], perturbation_rows[perturbation])


def _cell(rows: list[Row], network: Row, perturbation: Row) -> Cell:
    layers = sorted({(row["layer_index"], row["layer"]) for row in rows})
    levels = [level for level in perturbation["levels"] if any(row["level"] == level for row in rows)]
    starts = dict(sorted({row["draw"]: row["example_start"] for row in rows}.items()))
    n_examples = rows[0]["n_examples"]
    _check_alike(rows, network)
    n_draws = [
        _n_draws(level, [row for row in rows if row["level"] == level], list(starts), len(layers)) for level in levels
    ]
    clean = _bits(network["clean_outcomes"], network["n_examples"])
    changes = [np.zeros((n, len(layers), n_examples), dtype=np.int8) for n in n_draws]
    places = {layer: i for i, (_, layer) in enumerate(layers)}
    draws = {draw: i for i, draw in enumerate(starts)}
    for row in rows:
        right = clean[row["example_start"] : row["example_start"] + n_examples]
        signed = np.where(right, 1, -1) * _bits(row["flips"], n_examples)
        changes[levels.index(row["level"])][draws[row["draw"]], places[row["layer"]]] = signed
    return Cell(
        identity={key: rows[0][key] for key in ("network", "dataset", "split", "perturbation")},
        layers=[layer for _, layer in layers],
        levels=np.array(levels),
        scale=perturbation["scale"],
        deterministic=perturbation["deterministic"],
        changes=changes,
        slices=np.array(list(starts.values())),
        above_chance=network["clean_correct"] / network["n_examples"] - network["chance_accuracy"],
    )


def _n_draws(level: float, rows: list[Row], draws: list[int], n_layers: int) -> int:
    """Return the number of draws at a level: the first of all, each of every layer.

    Raises:
        BadInput: draws or layers are missing.
    """
    n_draws = len({row["draw"] for row in rows})
    if len(rows) != n_draws * n_layers or {row["draw"] for row in rows} != set(draws[:n_draws]):
        raise BadInput(
            f"{_where(rows[0])}, level {level:g}: {len(rows)} probes; expected the first {n_draws} draws of all {n_layers} "
            "layers"
        )
    return n_draws


def _where(row: Row) -> str:
    return f"network {row['network']!r}, perturbation {row['perturbation']!r}"


def _check_alike(rows: list[Row], network: Row) -> None:
    where = _where(rows[0])
    sizes = sorted({row["n_examples"] for row in rows})
    if len(sizes) > 1:
        raise BadInput(f"{where}: probes of {sizes[0]} and of {sizes[-1]} examples; measure all with the same --examples")
    if network["clean_correct"] <= network["chance_accuracy"] * network["n_examples"]:
        raise BadInput(
            f"{where}: right on {network['clean_correct']} of {network['n_examples']} examples, no better than chance: it "
            "has no accuracy to lose"
        )


def _bits(packed: bytes, n: int) -> Array:
    return np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=n).astype(np.int8)
