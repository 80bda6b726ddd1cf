"""A newcomer's tour, every step a process of its own: load, look, score, check, evaluate, publish, load back, verify."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from safer_bench.dataset.tree import load_tree
from tests.conftest import ROOT
from tests.made_up.documents import blocks
from tests.made_up.fake_hub import running
from tests.made_up.repos import TOKEN

pytestmark = pytest.mark.long
COMMAND = "from safer_bench.cli import main; main()"


def test_a_newcomers_tour(little_tree, tmp_path):
    shutil.copytree(little_tree, tmp_path / "data_cards" / "safer-bench")
    (tmp_path / "my_criterion.py").write_text(next(text for text in blocks("python") if "def largest_weight" in text))
    load = blocks("python")[-1]
    n_rows = load_tree(little_tree)["layer_drops"].num_rows
    with running() as hub:
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        environment |= {"HF_HOME": str(tmp_path / "home"), "HF_DATASETS_CACHE": str(tmp_path / "cache")}
        environment |= {"PYTHONPATH": str(ROOT)}

        def run(code, *words):
            ran = subprocess.run(
                [sys.executable, "-c", code, *words],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                env=os.environ | environment,
            )
            assert ran.returncode == 0, ran.stderr
            assert TOKEN not in ran.stdout + ran.stderr
            return ran.stdout

        run(load)
        assert "snip" in run(COMMAND, "list", "criteria").split()
        mine, tree = "submissions/largest_weight", "data_cards/safer-bench"
        assert "on 2 networks" in run(COMMAND, "score", "my_criterion.py:largest_weight", "--out", mine)
        assert run(COMMAND, "check", mine).startswith(f"{mine}: largest_weight: ")
        board = run(COMMAND, "evaluate", "submissions", "--out", "board")
        assert re.search(r"^largest_weight \(reported\) +blind +-?\d\.\d\d", board, re.MULTILINE)
        assert (tmp_path / "board" / "leaderboard.html").is_file()
        publish = ("publish", tree, "--repo-id", "me/truth", "--tag", "v0.1.0")
        assert run(COMMAND, *publish, "--dry-run").endswith("tag v0.1.0\nNothing was changed.\n")
        assert run(COMMAND, *publish).endswith(", tag v0.1.0\n")
        assert "discussions/1" in run(COMMAND, "submit", mine, "--repo-id", "me/truth")
        pulled = run(COMMAND, "pull", "--repo-id", "me/truth", "--revision", "v0.1.0").split(": ")[0]
        count = "import sys, datasets; print(sum(datasets.load_dataset(sys.argv[1], 'layer_drops').num_rows.values()))"
        assert run(count, "me/truth") == f"{n_rows}\n"
        ours = "import sys, safer_bench as sb; print(sb.load_truth(sys.argv[1]).num_rows, 'torch' in sys.modules)"
        assert run(ours, pulled) == f"{n_rows} False\n"
        assert run(COMMAND, "verify", pulled, "--rows", "3").endswith("3 of 3 rows equal\n")
