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
    assert f"Plan: {plan['measured']['plan']['spent']:.3g} mean bits, " in found.out
    assert (tmp_path / "a" / "plan.png").read_bytes().startswith(b"\x89PNG")
    again = cli("plan", tmp_path / "a" / "run", *words, "--budget", 4, "--out", tmp_path / "b", "--json")
    assert again.code == 0
    assert json.loads((tmp_path / "b" / "plan.json").read_text()) == plan == json.loads(again.out)


def test_scores_plan_without_measuring_drops(cli, spec, tmp_path):
    words = ("--task", "prune", "--network", spec, "--by", "l2_norm", "--budget", 0.5)
    found = cli("plan", *words, "--out", tmp_path / "out")
    assert found.code == 0
    assert not (tmp_path / "out" / "run").exists()
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["source"]["by"] == "l2_norm"
    assert "of 240 examples" in found.out


def test_where_no_point_keeps_to_the_drop_the_answer_is_no(cli, spec, tmp_path):
    words = ("--task", "quantize", "--network", spec, "--level", 3)
    found = cli("plan", *words, "--max-drop", 0.5, "--out", tmp_path / "out")
    assert found.code == 1
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["met"] is False
    told = re.search(
        r"Not met: .* --max-drop 0.5 .* 8 bits for every layer, may lose \S+ points. --max-drop (\S+) would", found.err
    )
    again = cli("plan", *words, "--max-drop", told[1], "--out", tmp_path / "again")
    assert (again.code, json.loads((tmp_path / "again" / "plan.json").read_text())["met"]) == (0, True)


def test_a_rate_is_found_before_anything_is_measured_and_the_plan_protects_from_it(cli, spec, tmp_path):
    words = ("--task", "protect", "--network", spec, "--cost", 20, "--budget", 0.4, "--draws", 4)
    found = cli("plan", *words, "--out", tmp_path / "a")
    assert found.code == 0
    told = re.search(
        r"Bit-error rate (\S+): unprotected, (\S+) points lost \(.*\) on 120 examples that judge nothing.", found.out
    )
    plan = json.loads((tmp_path / "a" / "plan.json").read_text())
    assert plan["level"] == float(told[1])
    assert 15 < float(told[2]) < 25
    cost = plan.pop("cost")
    assert (cost["level"], f"{100 * cost['lost']['value']:.2f}", cost["n_examples"]) == (float(told[1]), told[2], 120)
    assert cost["lost"]["low"] < cost["lost"]["value"] < cost["lost"]["high"]
    assert plan["measured"]["uniform"][-1]["spent"] == 0.0
    again = cli("plan", *words[:4], "--level", told[1], "--budget", 0.4, "--draws", 4, "--out", tmp_path / "a")
    assert again.code == 0, "the run of the rate that was found is gone on with"
    given = json.loads((tmp_path / "a" / "plan.json").read_text())
    assert given.pop("cost") is None, "the level was given"
    assert given == plan


def test_a_share_is_found_in_place_of_the_budget_by_examples_that_judge_nothing(cli, spec, tmp_path):
    words = ("--task", "prune", "--network", spec, "--by", "l2_norm", "--cost", 20)
    found = cli("plan", *words, "--out", tmp_path / "out")
    assert found.code == 0
    told = re.search(r"Budget (\S+): all layers alike, \S+ points lost \(.*\) on 30 examples that judge nothing.", found.out)
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert plan["measured"]["plan"]["budget"] == float(told[1])
    assert "of 240 examples" in found.out


def test_a_dry_run_says_what_the_plan_takes_and_plans_nothing(cli, spec, tmp_path):
    words = ("--task", "quantize", "--network", spec, "--level", 4, "--budget", 6, "--out", tmp_path / "out")
    found = cli("plan", *words, "--dry-run")
    assert found.code == 0
    cells = [re.split(r"  +", line) for line in found.out.splitlines()]
    assert [row[:3] for row in cells[:6] if not row[0].startswith("--")] == [
        ["step", "measurements", "answers"],
        ["drops of single layers", "4", "480"],
        ["correction, 4 rounds at most", "14", "1,680"],
        ["judgement", "3", "360"],
        ["all", "21", "2,520"],
    ]
    assert re.fullmatch(r"Memory: .*B\. With nothing else at work; nothing was planned\.", found.out.splitlines()[-1])
    whole = json.loads(cli("plan", *words, "--dry-run", "--json").out)["whole"]
    assert (whole["n_measurements"], whole["n_answers"]) == (21, 2520)
    assert not list((tmp_path / "out").glob("*"))


def test_a_rate_that_leaves_chance_is_said_with_what_to_do(cli, spec, tmp_path):
    words = ("--task", "protect", "--network", spec, "--level", 0.4, "--budget", 0.4, "--draws", 4)
    found = cli("plan", *words, "--out", tmp_path / "out")
    assert found.code == 0
    assert "Every allocation leaves accuracy at chance, " in found.err
    assert "rate 0.4 is too severe for this network: --cost 20 in place of --level" in found.err
    assert "Bit errors: int8_bit_flip at rate 0.4; 4 draws judge, others than those that chose." in found.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "distil", "--budget", 3), "'distil' is not one of 'quantize', 'prune', 'protect'."),
        (("--task", "quantize"), "a plan for task 'quantize' needs --budget, --max-drop or --cost: one of them"),
        (("--task", "quantize", "--budget", 1), "budget 1 of task 'quantize'; expected mean bits from 2 to 8"),
        (("--task", "prune", "--budget", 0.5, "--by", "snib"), "Did you mean 'snip'?"),
        (
            ("--task", "prune", "--budget", 0.97),
            "budget 0.97 of task 'prune' cannot be met: the choices allow at most 0.95 of the weights, the tightest for every "
            "layer; give another budget, or tighter choices by --level",
        ),
        (
            ("--task", "quantize", "--budget", 2.5, "--level", 4),
            "budget 2.5 of task 'quantize' cannot be met: the choices allow 4 mean bits at least",
        ),
        (
            ("--task", "protect", "--budget", 0.1, "--cost", 20, "--level", 0.01),
            "--cost finds a bit-error rate at which drops are then measured: leave out --level and the run that is measured",
        ),
        (("--task", "protect", "--cost", 20), "a plan for task 'protect' needs --budget or --max-drop: one of them"),
        (("--task", "prune", "--cost", 120), "--cost 120; expected points of accuracy above 0, at most 100"),
    ],
)
def test_bad_input_is_one_message(cli, spec, tmp_path, words, message):
    found = cli("plan", *words, "--network", spec, "--out", tmp_path / "out")
    assert found.code == 2
    assert message in found.err
    assert not (tmp_path / "out").exists()


def test_only_levels_that_a_run_measured_are_planned(cli, spec, tmp_path):
    """A level between them was once found by --cost, and then refused as a budget that nobody gave."""
    words = ("--task", "quantize", "--network", spec)
    assert cli("plan", *words, "--level", 5, "--budget", 6, "--out", tmp_path / "a").code == 0
    found = cli("plan", tmp_path / "a" / "run", *words, "--cost", 90, "--out", tmp_path / "b")
    assert found.code == 2
    assert "5, the severest, costs" in found.err
    for way in ((), ("--dry-run",)):
        found = cli("plan", tmp_path / "a" / "run", *words, "--budget", 4, *way, "--out", tmp_path / "b")
        assert (found.code, found.out) == (2, "")
        assert "budget 4 of task 'quantize' cannot be met: the choices allow 5 mean bits at least" in found.err


def test_what_a_run_did_not_measure_is_told_and_not_shown_as_harmless(cli, spec, tmp_path):
    """Eight bits were once shown as measured to lose nothing, and a run of another perturbation led into a dead end."""
    run, words = tmp_path / "run", ("--task", "quantize", "--network", spec, "--budget", 6, "--out", tmp_path / "out")
    cli("measure", "--network", spec, "--perturbation", "quantize:4,3", "--deterministic-examples", 120, "--out", run)
    found = cli("plan", run, *words)
    assert (found.code, found.err.splitlines()[-1]) == (
        2,
        "Error: network 'small' was not measured under quantize_per_channel; plan by what was, --perturbation quantize, or "
        "measure quantize_per_channel:7,6,5,4,3,2",
    )
    assert cli("plan", run, *words, "--perturbation", "quantize").code == 0
    layers = json.loads((tmp_path / "out" / "plan.json").read_text())["layers"]
    assert {tuple(layer["alone"]) for layer in layers} == {("4", "3")}


def test_drops_of_other_weights_are_refused_before_anything_is_measured(cli, spec, tmp_path):
    words = ("--task", "quantize", "--network", spec, "--level", 3)
    cli("plan", *words, "--budget", 4, "--out", tmp_path / "a")
    (tmp_path / "nets.py").write_text(NETS.replace("torch.manual_seed(7)", "torch.manual_seed(8)"))
    refused = (
        r"Error: network 'small': its weights \(\w{16}\) are not those of the truth \(\w{16}\); name the truth of this "
        r"network, or measure it\n"
    )
    for way in (("--budget", 4), ("--cost", 20), ("--budget", 4, "--dry-run")):
        found = cli("plan", tmp_path / "a" / "run", *words, *way, "--out", tmp_path / "b")
        assert (found.code, found.out.strip()) == (2, "")
        assert re.search(refused, found.err)
    again = cli("plan", *words, "--budget", 4, "--out", tmp_path / "a")
    assert again.code == 2
    assert f"{tmp_path / 'a' / 'run'}: belongs to a run with other weights of network 'small' (" in again.err


def test_a_folder_that_is_neither_run_nor_tree_is_named(cli, spec, tmp_path):
    found = cli("plan", tmp_path, "--task", "quantize", "--network", spec, "--budget", 3, "--out", tmp_path / "out")
    assert found.code == 2
    message = f"{tmp_path}: neither a run folder (no run.json) nor a dataset tree (no manifest.json)"
    assert message in found.err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    found = cli("plan", tmp_path, "--task", "quantize", "--network", spec, "--budget", 3, "--out", tmp_path / "out")
    assert f"{message}; name {tmp_path / 'run'}" in found.err


@pytest.mark.long
def test_the_first_plan_of_the_docs_ends_as_they_show(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "plan.md").read_text()
    words = shlex.split(re.search(r"^safer-bench (plan .*)$", text, re.MULTILINE)[1])
    shown = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1].splitlines()
    lines = cli(*words).out.splitlines()
    assert [line for line in shown if line != "..." and line not in lines] == []
    assert len(shown) > 8
