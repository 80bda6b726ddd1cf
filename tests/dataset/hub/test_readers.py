"""Other people's readers, by their addresses on the Hub: what docs/data.md shows gives the rows that were published."""

import os
import subprocess
import sys

from safer_bench.dataset.pinned import REVISION
from safer_bench.dataset.tree import load_tree
from tests.conftest import ROOT
from tests.made_up.documents import blocks

COUNTS = """
both = {"network", "perturbation", "reliability"} <= set(cells.columns) and set(cells.columns) == set(also.columns)
print(len(cells), len(also), resolved["perturbation"].nunique(), both)
"""


def test_what_the_page_reads_from_the_hub_are_the_published_rows(published, little_tree, tmp_path):
    """In a process of its own: the address of the Hub is taken when huggingface_hub is imported."""
    (code,) = [block for block in blocks("python", (ROOT / "docs" / "data.md").read_text()) if "hf://" in block]
    environment = {"HF_ENDPOINT": published.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    environment["HF_HOME"] = str(tmp_path)
    words = [sys.executable, "-c", code.replace(f"@{REVISION}", f"@{published_tag(published)}") + COUNTS]
    ran = subprocess.run(words, capture_output=True, text=True, env=os.environ | environment, timeout=120)
    assert ran.returncode == 0, ran.stderr
    cells = load_tree(little_tree)["cells"]
    test = cells.filter([split == "test" for split in cells["split"].to_pylist()])
    perturbations = len(set(test["perturbation"].to_pylist()))
    assert 0 < test.num_rows < cells.num_rows
    assert ran.stdout == f"{test.num_rows} {test.num_rows} {perturbations} True\n"


def published_tag(hub):
    (tag,) = hub.repo("safer-bench/safer-bench").tags
    return tag
