"""The workflows call what there is, and only by hashes what others could change."""

import re
import shlex

import pytest
import yaml
from typer.main import get_command

from safer_bench.cli import app
from tests.conftest import ROOT

COMMANDS = get_command(app).commands
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TOOLS = {"pip", "twine", "python", "test", "mkdocs"}  # what a workflow installs itself, or any system has


def test_there_are_four():
    assert [path.stem for path in WORKFLOWS] == ["release", "site", "submissions", "tests"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_step_calls_what_there_is(path):
    makefile = (ROOT / "Makefile").read_text()
    lines = [step["run"] for job in jobs(path) for step in job["steps"] if "run" in step]
    for line in lines:
        first, second, *rest = [*shlex.split(line, comments=True), ""]
        if first == "make":
            assert re.search(rf"^{second}:", makefile, re.MULTILINE), second
        elif first == "safer-bench":
            known = {option for parameter in COMMANDS[second].params for option in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= known, second
        elif first == "sudo":
            assert second == "sysctl", "what the sandbox of submitted code needs of Ubuntu"
        else:
            assert first in TOOLS or line == ".ci/run", line


def test_a_release_tries_its_wheel_outside_the_checkout():
    """In the checkout, Python imports the source beside it, whatever the wheel has."""
    steps = [step for job in jobs(WORKFLOWS[0]) for step in job["steps"]]
    after = steps[[step.get("run") for step in steps].index("pip install dist/*.whl") + 1 :]
    tried = [step for step in after if re.search(r"\bpython\b|\bsafer-bench\b", step.get("run", ""))]
    assert [shlex.split(step["run"])[0] for step in tried] == ["test", "safer-bench"]
    assert {step.get("working-directory") for step in tried} == {"${{ runner.temp }}"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_hash_beside_the_version(path):
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for each in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


def test_one_action_has_one_hash():
    used = {tuple(each.split("@")) for path in WORKFLOWS for each in re.findall(r"uses: (\S+)", path.read_text())}
    assert len({action for action, _ in used}) == len(used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_may_write_but_what_publishes(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 120
        assert "permissions" not in job or name == "publish", name


def jobs(path):
    return yaml.safe_load(path.read_text())["jobs"].values()
