"""The command that writes a plan for another tool; no tool has to be installed for it."""

import json
import subprocess
import sys

import pytest

from safer_bench.budget.plans.exports.loading import exporter_called
from safer_bench.budget.plans.plan import write_text
from safer_bench.errors import UnknownName
from tests.made_up.networks import tiny_network
from tests.made_up.plans import made_up_plan


def plan_file(tmp_path, amounts=None, **words):
    path = tmp_path / "plan.json"
    path.write_text(write_text(made_up_plan(tiny_network(), amounts or {"conv": 8, "hidden": 5, "head": 3}, **words)))
    return path


def test_a_plan_is_printed_and_what_is_not_in_it_is_told_on_standard_error(cli, tmp_path):
    found = cli("plan", "export", plan_file(tmp_path), "--to", "modelopt")
    assert (found.code, found.err) == (0, "")
    assert json.loads(found.out)["algorithm"] == "max"
    found = cli("plan", "export", plan_file(tmp_path), "--to", "nncf")
    assert found.err.splitlines() == [
        "Note: layer hidden gets 8 bits: nncf does not have 5 for it",
        "Note: layer head gets 4 bits: nncf does not have 3 for it",
        "Note: nncf spends 7.78 mean bits of weights, the plan 5.08",
    ]
    assert [call["mode"] for call in json.loads(found.out)] == ["int4_sym", "int8_sym"]


def test_it_is_written_whole_to_a_file(cli, tmp_path):
    printed = cli("plan", "export", plan_file(tmp_path), "--to", "torchao").out
    out = tmp_path / "for" / "torchao.json"
    found = cli("plan", "export", plan_file(tmp_path), "--to", "torchao", "--out", out)
    assert (found.code, found.out) == (0, f"{out}: for torchao\n")
    assert out.read_text() == printed


def test_bad_input_is_one_message(cli, tmp_path):
    path = plan_file(tmp_path, {"conv": 1, "hidden": 0, "head": 1}, task="protect")
    out = tmp_path / "out.json"
    found = cli("plan", "export", path, "--to", "onnxruntime", "--out", out)
    assert (found.code, found.err.split(":")[1]) == (2, " onnxruntime cannot be told a plan of task 'protect'")
    assert cli("plan", "export", path, "--to", "json").out == path.read_text()
    found = cli("plan", "export", tmp_path / "none.json", "--to", "json")
    assert (found.code, found.err) == (2, f"Error: {tmp_path / 'none.json'}: there is no plan; make one: safer-bench plan\n")
    assert "'tensorrt' is not one of 'json', " in cli("plan", "export", path, "--to", "tensorrt").err
    with pytest.raises(UnknownName, match=r"^no export to 'tensorrt'\. There are: json, "):
        exporter_called("tensorrt")
    path = plan_file(tmp_path)
    path.write_text(path.read_text().replace('"Linear"', '"Mine"').replace('"Conv2d"', '"Mine"'))
    found = cli("plan", "export", path, "--to", "torchao", "--out", out)
    assert (found.code, found.out) == (2, "")
    assert (
        "torchao quantizes no layer of this plan (layer conv: class Mine is not known to the export to torchao)" in found.err
    )
    assert not out.exists()


def test_it_needs_neither_torch_nor_the_tool(tmp_path):
    code = """
import sys
tools = ("torchao", "onnxruntime", "nncf", "modelopt", "llmcompressor")
for name in ("torch", *tools):
    sys.modules[name] = None
from safer_bench.cli import app
for tool in tools:
    app(["plan", "export", sys.argv[1], "--to", tool, "--out", f"{sys.argv[2]}/{tool}"], standalone_mode=False)
"""
    words = [str(plan_file(tmp_path)), str(tmp_path / "out")]
    subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    texts = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert len(texts) == 5
    assert all("hidden" in text for text in texts.values())
