"""The command line as a whole: its help, its start, what every command takes."""

import re
import subprocess
import sys
from typing import get_args

import pytest

from safer_bench import __version__
from safer_bench.budget.plans.exports.loading import exporters
from safer_bench.budget.plans.menu import PLANNED
from safer_bench.budget.tasks import ADDITIVITY, TASKS
from safer_bench.catalogue import KINDS
from safer_bench.cli import COMMANDS, choices
from safer_bench.cli.shape import ENVIRONMENT
from safer_bench.measurement.executors.execute import EXECUTORS
from safer_bench.tables.columns import SPLITS
from tests.conftest import ROOT


def test_the_help_names_every_command_in_its_group_and_every_environment_variable(cli):
    out = cli("--help").out
    found = re.findall(r"^(\w[\w ]+):\n((?:  .+\n)+)", out, re.MULTILINE)
    groups = {name: re.findall(r"^  (\w+(?: export)?) ", lines, re.MULTILINE) for name, lines in found}
    expected = {panel: [each.__name__.rstrip("_").replace("_", " ") for each in them] for panel, them in COMMANDS.items()}
    assert {panel: groups.get(panel) for panel in expected} == expected
    assert groups["Environment variables"] == [name for name, _ in ENVIRONMENT]


def test_environment_variables_of_our_own_are_all_in_the_help():
    read = {
        name for path in (ROOT / "safer_bench").rglob("*.py") for name in re.findall(r"SAFER_BENCH_\w+", path.read_text())
    }
    assert read == {name for name, _ in ENVIRONMENT if name.startswith("SAFER_BENCH")}
    assert len(read) == 2


def test_a_second_word_that_is_no_command_and_no_folder_is_said_to_be_none(cli):
    found = cli("plan", "apply", "plan.json")
    assert found.code == 2
    assert "No such command 'plan apply', and no file or folder 'apply'; there is plan, plan export." in found.err


def test_a_choice_that_there_is_not_is_told_with_what_comes_near(cli):
    found = cli("list", "perturbation")
    said = "'perturbation' is not one of 'networks', 'perturbations', 'criteria', 'metrics'. Did you mean 'perturbations'?"
    assert (found.code, found.err.splitlines()[-1]) == (2, f"Error: Invalid value for 'kind': {said}")


def test_the_version_is_that_of_the_package(cli):
    found = cli("--version")
    assert (found.code, found.out) == (0, f"safer-bench {__version__}\n")


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (("measure",), "Missing --network and --out."),
        (("budget",), "Missing --task and --out."),
        (("score",), "Missing criteria and --out."),
        (("plan", "--network", "digits_mlp"), "Missing --task and --out."),
        (("plan", "--network", "digits_mlp", "--task", "prune"), "Missing option '--out'."),
    ],
)
def test_everything_that_is_missing_is_named_at_once(cli, words, missing):
    found = cli(*words)
    assert (found.code, found.err.splitlines()[-1]) == (2, f"Error: {missing}")


def test_what_is_given_and_wrong_is_told_before_what_is_missing(cli):
    found = cli("measure", "--draws", "many", "--network", "digits_mlp")
    assert "--draws" in found.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("chosen", "there"),
    [
        (choices.EntryKind, KINDS),
        (choices.BudgetTask, (*TASKS, ADDITIVITY)),
        (choices.PlanTask, PLANNED),
        (choices.Split, SPLITS),
        (choices.ExecutorName, EXECUTORS),
        (choices.Tool, exporters()),
    ],
)
def test_choices_are_those_that_there_are(chosen, there):
    assert sorted(get_args(chosen)) == sorted(there)


def test_names_complete_to_entries_and_metrics(tmp_path):
    assert "spearman" in choices.metric_names()
    assert {"resnet20", "quantize", "snip", "spearman"} <= set(choices.entry_names())


@pytest.mark.parametrize(("words", "expected"), [("safer-bench ev", ["evaluate"]), ("safer-bench list c", ["criteria"])])
def test_a_shell_completes_commands_and_choices(words, expected, tmp_path):
    """As bash asks for it."""
    environment = {"_SAFER_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv[0] = 'safer-bench'; from safer_bench.cli import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert found.stdout.split() == expected, found.stderr


def test_quiet_leaves_out_notes_and_progress_but_no_result(cli, tmp_path):
    words = (
        "measure",
        "--network",
        "digits_mlp",
        "--perturbation",
        "sign_flip:0.5",
        "--draws",
        "2",
        "--examples",
        "30",
        "--dry-run",
    )
    loud, quiet = cli(*words, "--out", tmp_path / "a"), cli(*words, "--out", tmp_path / "b", "-q")
    assert (loud.code, quiet.code) == (0, 0)
    assert loud.err.startswith("Measures a sample first: ")
    assert quiet.err == ""
    assert quiet.out.splitlines()[0].split() == ["network", "probes", "time", "disk", "memory"]


def test_the_help_imports_next_to_nothing():
    """Half a second of processor time once went by before the first word, most of it for rich and numpy."""
    code = (
        "import sys; sys.argv = ['safer-bench', '--help']\nfrom safer_bench.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nprint(len(sys.modules), sorted({'rich', 'numpy', 'pyarrow', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    count, _, heavy = found.stdout.splitlines()[-1].partition(" ")
    assert (heavy, int(count) < 300) == ("[]", True), found.stdout
