"""Two commits of one version: each gives load_dataset its own rows."""

import json
import os
import subprocess
import sys

import pyarrow.compute as pc

from safer_bench.dataset.documents.render import render_documents
from safer_bench.dataset.hub.publishing import publish
from safer_bench.dataset.release import read_release
from safer_bench.dataset.tree import load_tree, write_tree
from tests.made_up.repos import TOKEN

LOADS = """
import json, os, sys
import datasets
found = [sum(datasets.load_dataset("me/truth", "layers", split="test", revision=at)["macs"]) for at in sys.argv[1:]]
print(json.dumps(found), flush=True)
os._exit(0)
"""


def test_two_commits_of_one_version_give_their_own_rows(hub, copy, tmp_path):
    """In a process of its own: `datasets` takes the address of the Hub when it is imported. The commit is part of its key."""
    tables, commits, expected = dict(load_tree(copy)), [], []
    macs = tables["layers"].schema.get_field_index("macs")
    for more in (0, 1):
        tables["layers"] = tables["layers"].set_column(macs, "macs", pc.add(tables["layers"]["macs"], more))
        write_tree(copy, tables, {"protocol": 1, "seed": 0}, render_documents)
        commits.append(publish(read_release(copy), "me/truth"))
        expected.append(pc.sum(tables["layers"].filter(pc.field("split") == "test")["macs"]).as_py())
    assert expected[0] != expected[1]
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    words = [sys.executable, "-c", LOADS, *commits, commits[0]]
    ran = subprocess.run(words, capture_output=True, text=True, env=os.environ | environment, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [*expected, expected[0]]
