"""The light half by itself: no torch, no tree, and nothing that Windows lacks."""

import os
import subprocess
import sys

import pytest

from safer_bench.dataset.pinned import REVISION
from tests.conftest import ROOT
from tests.test_light import light_modules

LIGHT_HALF = "import sys; sys.modules['torch'] = None\n"
WINDOWS = """
import os, signal, sys
for name in ("fcntl", "resource", "grp", "pwd", "termios"):
    sys.modules[name] = None
for name in ("fork", "killpg", "getuid", "geteuid", "getpgid", "setsid"):
    delattr(os, name)
for name in ("SIGKILL", "SIGALRM", "SIGHUP"):
    delattr(signal, name)
"""
IN_TURN = """
from safer_bench.cli import main
for words in sys.argv[1:]:
    sys.argv = ["safer-bench", *words.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
assert "torch" not in sys.modules
"""
COMMAND = "from safer_bench.cli import main; main()"


def run(code, *words, folder=ROOT):
    """Run Python code in a process of its own; words are its arguments."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


MISSING = (
    "without torch, built-in networks and criteria are those of a dataset tree: no truth here: neither in "
    f"./data_cards/safer-bench nor, of safer-bench/safer-bench {REVISION}, in the Hugging Face cache. Fetch it: safer-bench pull; "
    'or name the folder of a tree. Or install the torch half, which knows them all: pip install "safer-bench[measure]"\n'
)


@pytest.mark.parametrize("kind", ["networks", "criteria"])
def test_list_without_torch_and_tree_says_what_is_missing_and_how_to_get_it(tmp_path, kind):
    """It once printed nothing, and was content with that."""
    found = run(LIGHT_HALF + COMMAND, "list", kind, folder=tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (2, "", f"Error: {MISSING}")


def test_info_without_torch_and_tree_says_that_the_name_may_well_be_there(tmp_path):
    found = run(LIGHT_HALF + COMMAND, "info", "resnet20", folder=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("Error: no entry is called 'resnet20'.")
    assert found.stderr.endswith(f"But {MISSING}")


def test_what_needs_no_tree_is_listed_and_known_without_one(tmp_path):
    listed = run(LIGHT_HALF + COMMAND, "list", "perturbations", folder=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "quantize" in listed.stdout.split()
    assert run(LIGHT_HALF + COMMAND, "info", "quantize", folder=tmp_path).returncode == 0


def test_with_a_tree_the_names_are_the_trees():
    found = run(LIGHT_HALF + COMMAND, "list", "networks")
    assert (found.returncode, found.stderr) == (0, "")
    assert "resnet20" in found.stdout.split()


def test_the_light_half_imports_and_runs_without_what_windows_lacks(small_tree, small_scores, tmp_path):
    imports = f"{WINDOWS}\nimport importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    found = run(imports, *light_modules(ROOT / "safer_bench"))
    assert (found.returncode, found.stderr) == (0, "")
    board = tmp_path / "board"
    commands = [
        ("check", small_scores, "--truth", small_tree.path),
        ("evaluate", small_scores, "--truth", small_tree.path, "--out", board),
        ("compare", "snip", "l2_norm", "--truth", small_tree.path),
        ("verify", small_tree.path, "--rows", 0),
    ]
    found = run(WINDOWS + IN_TURN, *(" ".join(map(str, words)) for words in commands))
    assert (found.returncode, found.stderr) == (0, ""), found.stdout
    assert (board / "leaderboard.html").is_file()
