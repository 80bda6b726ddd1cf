"""The files of a tree beside its tables: the card, its description for machines, and the versions that wrote it."""

from collections.abc import Mapping
from importlib.metadata import version

import pyarrow as pa

from safer_bench.dataset.documents.card import render_card
from safer_bench.dataset.documents.croissant import render_croissant
from safer_bench.dataset.documents.responsible import statements

WRITERS = ("datasets", "huggingface_hub", "Jinja2", "numpy", "pyarrow", "PyYAML", "scipy")  # what the bytes depend on


def render_documents(
    tables: Mapping[str, pa.Table],
    contents: Mapping[str, str],
    digests: Mapping[str, str],
    data_version: str | None = None,
) -> dict[str, str]:
    """Return each document of a tree by its name.

    Args:
        tables: every table.
        contents: content hash of each table.
        digests: SHA-256 of each Parquet file, by its path within the tree.
        data_version: ``X.Y.Z`` of the data, where they are a release.
    """
    said = statements(*(tables["networks"][key].to_pylist() for key in ("dataset", "network")))
    return {
        "README.md": render_card(tables, contents, said, data_version),
        "croissant.json": render_croissant(contents, digests, said, data_version),
        "constraints.txt": _constraints(),
    }


def _constraints() -> str:
    return "# pip install -c: the same bytes from the same measurements\n" + "".join(
        f"{name}=={version(name)}\n" for name in WRITERS
    )
