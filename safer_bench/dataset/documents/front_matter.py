"""What the Hub and ``load_dataset`` read at the top of a dataset's card: which files make which table, and its columns."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from safer_bench.dataset.documents.responsible import Statements
from safer_bench.dataset.tree import split_files
from safer_bench.tables import schema

TAGS = ("robustness", "layer-sensitivity", "pruning", "quantization", "bit-flips", "benchmark")
ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def front_matter(
    tables: Mapping[str, pa.Table], contents: Mapping[str, str], statements: Statements, version: str | None = None
) -> str:
    """Return the YAML block of a dataset's card, in the words of huggingface_hub and datasets.

    Args:
        tables: every table of the tree, in the order in which they are to be shown.
        contents: content hash of each table.
        statements: what is said of its data: of others than the package's own no licence is known.
        version: of the data, where they are a release.
    """
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    n_rows = tables["layer_drops"].num_rows
    data = DatasetCardData(
        license="cc-by-4.0" if statements.ours else None,
        pretty_name=f"{'safer-bench: true' if statements.ours else 'True'} layer sensitivities of trained networks",
        language=["en"],
        tags=[*TAGS, *(f"arxiv:{number}" for number in arxiv_numbers(tables["perturbations"]["source"].to_pylist()))],
        annotations_creators=["machine-generated"],
        source_datasets=["original"],
        task_categories=["tabular-regression"],
        size_categories=[next((label for limit, label in SIZES if n_rows < limit), "1M<n<10M")],
        configs=[_config(name, table, contents[name], version) for name, table in tables.items()],
    )
    DatasetInfosDict({name: _info(name) for name in tables}).to_dataset_card_data(data)
    return str(data.to_yaml())


def arxiv_numbers(sources: Iterable[str]) -> list[str]:
    """Return the arXiv numbers that sources name, each once, in order: the Hub links a tag ``arxiv:`` to its paper.

    >>> arxiv_numbers(["Sun et al. 2021, arXiv 2006.05620, section 3", "Lin 1991", "Han et al. 2015, arXiv 1506.02626"])
    ['1506.02626', '2006.05620']
    """
    return sorted({number for source in sources for number in ARXIV.findall(source)})


def _config(name: str, table: pa.Table, content: str, version: str | None) -> dict[str, Any]:
    """Return one table's entry; its description is the content hash, as ``load_dataset`` keeps a copy for each that it met.

    The key of that copy is the folder's name with all that stands here, versions and descriptions included. Files are not
    in it, so without the hash a tree that was packed anew would give the rows of the former one.
    """
    splits = [Path(path).name.partition("-")[0] for path in split_files(name, table)]
    return {
        "config_name": name,
        **({"default": True} if name == "layer_drops" else {}),
        **({"version": version} if version else {}),
        "description": f"content {content[:16]}",
        "data_files": [{"split": split, "path": f"{name}/{split}-*.parquet"} for split in splits],
    }


def _info(name: str) -> Any:
    """Return the columns, but not the numbers of rows: given these, ``load_dataset`` refuses its own ``filters``."""
    from datasets import DatasetInfo, Features

    return DatasetInfo(config_name=name, features=Features.from_arrow_schema(schema.TABLES[name]))
