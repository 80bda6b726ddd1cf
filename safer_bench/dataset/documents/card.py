"""The dataset's card, rendered from its tables."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from safer_bench.dataset.documents import responsible
from safer_bench.dataset.documents.front_matter import front_matter
from safer_bench.dataset.documents.probes import after_abstracts, designs, splits
from safer_bench.dataset.documents.responsible import Statements
from safer_bench.dataset.tree import DEFAULT
from safer_bench.tables import schema
from safer_bench.tables.text import code, number_of, plain
from safer_bench.truth.accuracy import accuracy_interval


def render_card(
    tables: Mapping[str, pa.Table], contents: Mapping[str, str], statements: Statements, version: str | None = None
) -> str:
    """Return the README of a dataset tree: front matter for the Hub, how the truth was measured, every column.

    Args:
        tables: every table of the tree.
        contents: content hash of each table.
        statements: what is said of its data.
        version: of the data, where they are a release.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  Markdown, escaped by its filters
    )
    environment.filters |= {"plain": plain, "code": code, "number_of": number_of}
    tables = {name: tables[name] for name in schema.TABLES if name in tables}
    return environment.get_template("card.md.j2").render(
        front_matter=front_matter(tables, contents, statements, version),
        n_rows=tables["layer_drops"].num_rows,
        tables={name: schema.TABLES[name] for name in tables},
        row_counts={name: table.num_rows for name, table in tables.items()},
        describe=schema.described,
        networks=_networks(tables["networks"]),
        designs=designs(tables["layer_drops"], tables["networks"]),
        splits=splits(tables["networks"]),
        abstracts=after_abstracts(tables),
        cells=[row for row in tables["cells"].to_pylist() if row["summary"] == "area"],
        perturbations=_perturbations(tables["perturbations"], tables["layer_sensitivity"]),
        schema_version=schema.VERSION,
        revision=contents["layer_drops"][:16],
        responsible=responsible,
        statements=statements,
        version=version,
        folder=_folder(tables["networks"]["network"].to_pylist()) if statements.ours and version else "TREE",
        split="test" if "test" in tables["networks"]["split"].to_pylist() else "validation",
    )


def _folder(networks: list[str]) -> str:
    """Return the folder of a release: the truth's, or that of the study of seeds."""
    return f"{DEFAULT}-seeds" if all(name.startswith("twin_") for name in networks) else str(DEFAULT)


def _networks(table: pa.Table) -> list[dict[str, Any]]:
    rows = table.to_pylist()
    for row in rows:
        row["low"], row["high"] = accuracy_interval(row)
    return rows


def _perturbations(table: pa.Table, sensitivity: pa.Table) -> list[dict[str, Any]]:
    """Return the rows with what each level costs the median layer: ``{split: percentages, mild to severe}``."""
    drops: dict[tuple[str, str, float], list[float]] = {}
    of_levels = sensitivity.filter(pc.field("summary") == "level").select(["perturbation", "split", "level", "value"])
    for perturbation, split, level, value in zip(*(column.to_pylist() for column in of_levels.columns), strict=True):
        drops.setdefault((perturbation, split, level), []).append(100 * value)
    rows = table.to_pylist()
    for row in rows:
        row["median_drops"] = {
            split: [
                f"{round(median(of_layers), 1) + 0.0:.1f}"
                for level in row["levels"]
                if (of_layers := drops.get((row["perturbation"], split, level)))
            ]
            for split in ("validation", "test")
        }
    return rows
