"""What the Hub and ``load_dataset`` read at the top of a dataset's card: which files make which table, and its columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from safer_bench.dataset.tree import split_files
from safer_bench.tables import schema

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def front_matter(tables: Mapping[str, pa.Table], contents: Mapping[str, str], *, ours: bool) -> str:
    """Return the YAML block of a dataset's card, in the words of huggingface_hub and datasets.

    Args:
        tables: every table of the tree, in the order in which they are to be shown.
        contents: content hash of each table.
        ours: whether the tree is of the package's own data: of others the licence is not known.
    """
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    n_rows = tables["layer_drops"].num_rows
    data = DatasetCardData(
        license="cc-by-4.0" if ours else None,
        pretty_name=f"{'safer-bench: true' if ours else 'True'} layer sensitivities of trained networks",
        language=["en"],
        tags=["robustness", "layer-sensitivity", "pruning", "quantization", "bit-flips", "benchmark"],
        annotations_creators=["machine-generated"],
        source_datasets=["original"],
        task_categories=["tabular-regression"],
        size_categories=[next((label for limit, label in SIZES if n_rows < limit), "1M<n<10M")],
        configs=[_config(name, table, contents[name]) for name, table in tables.items()],
    )
    DatasetInfosDict({name: _info(name) for name in tables}).to_dataset_card_data(data)
    return str(data.to_yaml())


def data_version(content: str) -> str:
    """Return a version that changes with the content: ``load_dataset`` knows no other way to see that rows are new.

    Args:
        content: content hash.

    >>> data_version("00000010ff")
    '1.0.16'
    """
    return f"{schema.VERSION}.0.{int(content[:8], 16)}"


def _config(name: str, table: pa.Table, content: str) -> dict[str, Any]:
    splits = [Path(path).name.partition("-")[0] for path in split_files(name, table)]
    return {
        "config_name": name,
        **({"default": True} if name == "layer_drops" else {}),
        "version": data_version(content),
        "data_files": [{"split": split, "path": f"{name}/{split}-*.parquet"} for split in splits],
    }


def _info(name: str) -> Any:
    """Return the columns, but not the numbers of rows: given these, ``load_dataset`` refuses its own ``filters``."""
    from datasets import DatasetInfo, Features

    return DatasetInfo(config_name=name, features=Features.from_arrow_schema(schema.TABLES[name]))
