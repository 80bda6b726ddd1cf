"""The page of the published tables, made from their schemas: ``python -m docs.tables``."""

from pathlib import Path

import pyarrow as pa

from docs.markdown import table
from safer_bench.tables.columns import TABLES, VERSION

INTRODUCTION = f"""\
# Tables

`make docs` makes this page from the schemas in `safer_bench/tables/columns.py`. They have version {VERSION}.

Everything that is published is a table in this list, stored as Parquet. Each file carries the meaning and the unit of its
columns as metadata. [The truth as data](data.md) says how to read the files.
"""
HEADER = ("column", "type", "unit", "meaning")


def render() -> str:
    """Return the page, Markdown."""
    links = "".join(f"- [`{name}`](#{name}): {_said(schema)}\n" for name, schema in TABLES.items())
    return "\n".join([INTRODUCTION, links, *(_section(name, schema) for name, schema in TABLES.items())])


def _section(name: str, schema: pa.Schema) -> str:
    rows = [(f"`{field.name}`", _kind(field.type), _text(field, b"unit"), _text(field, b"description")) for field in schema]
    said = _said(schema)
    return f"## {name}\n\n{said[0].upper()}{said[1:]}.\n\n{table(HEADER, rows)}"


def _said(schema: pa.Schema) -> str:
    return schema.metadata[b"description"].decode()


def _text(field: pa.Field, key: bytes) -> str:
    return field.metadata.get(key, b"").decode() or "-"


def _kind(kind: pa.DataType) -> str:
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(render(), encoding="utf-8")
