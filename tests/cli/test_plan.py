"""The command that plans, end to end on a small network of a user's own file."""

import json
import re
import shlex

import pytest

from tests.conftest import ROOT

NETS = """
import torch
from torch import nn
import safer_bench as sb


def small():
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False)).eval()
    inputs = torch.randn(270, 6, generator=torch.Generator().manual_seed(7))
    labels = model(inputs).argmax(1).detach()
    return sb.Network(model, inputs[:240], labels[:240], name="small", calibration=(inputs[240:], labels[240:]))
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    return f"{tmp_path / 'nets.py'}:small"


def test_a_plan_is_measured_from_nothing_and_again_from_its_run(cli, spec, tmp_path):
    words = ("--task", "quantize", "--network", spec, "--level", 6, "--level", 3)
    found = cli("plan", *words, "--budget", 4, "--out", tmp_path / "a")
    assert found.code == 0
    assert "Unchanged: 100.0 % of 120 examples that chose nothing." in found.out
    assert found.out.splitlines()[-1] == f"Plan: {tmp_path / 'a' / 'plan.json'}"
    plan = json.loads((tmp_path / "a" / "plan.json").read_text())
    assert {layer["name"] for layer in plan["layers"]} == {"0", "2"}
    assert plan["measured"]["plan"]["spent"] <= 4
    assert f"Plan: {plan['measured']['plan']['spent']:.3g} spent, " in found.out
    assert (tmp_path / "a" / "plan.png").read_bytes().startswith(b"\x89PNG")
    again = cli("plan", tmp_path / "a" / "run", *words, "--budget", 4, "--out", tmp_path / "b")
    assert again.code == 0
    assert json.loads((tmp_path / "b" / "plan.json").read_text()) == plan


def test_scores_plan_without_measuring_drops(cli, spec, tmp_path):
    words = ("--task", "prune", "--network", spec, "--by", "l2_norm", "--budget", 0.5)
    found = cli("plan", *words, "--out", tmp_path / "out")
    assert found.code == 0
    assert not (tmp_path / "out" / "run").exists()
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["source"]["by"] == "l2_norm"
    assert "of 240 examples" in found.out


def test_where_no_point_keeps_to_the_drop_the_answer_is_no(cli, spec, tmp_path):
    found = cli("plan", "--task", "quantize", "--network", spec, "--level", 3, "--max-drop", 0.5, "--out", tmp_path / "out")
    assert found.code == 1
    assert "No point keeps to --max-drop with 95 % confidence, not even the most generous one." in found.err
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["met"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "distil", "--budget", 3), "'distil' is not one of 'quantize', 'prune', 'protect'."),
        (("--task", "quantize"), "a plan needs --budget or --max-drop: one of them"),
        (("--task", "quantize", "--budget", 1), "budget 1 of task 'quantize'; expected mean bits from 2 to 8"),
        (("--task", "prune", "--budget", 0.5, "--by", "snib"), "Did you mean 'snip'?"),
    ],
)
def test_bad_input_is_one_message(cli, spec, tmp_path, words, message):
    found = cli("plan", *words, "--network", spec, "--out", tmp_path / "out")
    assert found.code == 2
    assert message in found.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_neither_run_nor_tree_is_named(cli, spec, tmp_path):
    found = cli("plan", tmp_path, "--task", "quantize", "--network", spec, "--budget", 3, "--out", tmp_path / "out")
    assert found.code == 2
    assert f"{tmp_path}: neither a run folder (no run.json) nor a dataset tree (no manifest.json)" in found.err


@pytest.mark.long
def test_the_first_plan_of_the_docs_ends_as_they_show(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "plan.md").read_text()
    words = shlex.split(re.search(r"^safer-bench (plan .*)$", text, re.MULTILINE)[1])
    shown = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1].splitlines()
    lines = cli(*words).out.splitlines()
    assert [line for line in shown if line != "..." and line not in lines] == []
    assert len(shown) > 8
