"""The option --fold: each command that names a network measures, scores and plans the folded one."""

import json

import pytest

from safer_bench.dataset.tree import load_tree

NETS = """
from tests.made_up.networks import normed_network


def build():
    return normed_network()
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    return f"{tmp_path / 'nets.py'}:build"


def test_a_folded_network_goes_the_whole_way_under_a_name_of_its_own(cli, tmp_path):
    run, scores, tree, out = (tmp_path / name for name in ("run", "scores", "tree", "out"))
    some = ("--perturbation", "quantize:2,4")
    folded = ("--network", "digits_mlp", "--fold")
    measured = cli("measure", *folded, *some, "--deterministic-examples", 40, "--out", run)
    assert measured.code == 0
    assert "digits_mlp_folded: 9 batch norms folded" in measured.err.splitlines()
    assert cli("score", "l2_norm", *folded, "--out", scores).code == 0
    assert cli("pack", run, "--scores", scores, "--out", tree).code == 0
    packed = load_tree(tree)
    assert packed["networks"]["network"].to_pylist() == ["digits_mlp_folded"]
    assert set(packed["scores"]["network"].to_pylist()) == {"digits_mlp_folded"}
    for given in ((), folded):  # the zoo's are found by their names in the tree
        verified = cli("verify", tree, "--rows", 3, *given)
        assert (verified.code, verified.out.splitlines()[-1]) == (0, "3 of 3 rows equal")
    for given in ((), folded):
        spent = cli("budget", "--task", "quantize", "--truth", tree, "--budget", 4, *given, "--out", out)
        assert spent.code == 0, spent.err
        assert "digits_mlp_folded: with " in spent.out
    wrong = cli("budget", "--task", "quantize", "--truth", tree, "--network", "digits_mlp", "--out", out)
    assert (wrong.code, wrong.err) == (
        2,
        "Error: network 'digits_mlp_folded' was measured, and not 'digits_mlp'; give --fold\n",
    )


def test_a_plan_of_a_folded_network_says_what_was_folded(cli, spec, tmp_path):
    words = ("--task", "quantize", "--level", 4, "--budget", 6, "--by", "l2_norm", "--network", spec)
    assert cli("plan", *words, "--fold", "--out", tmp_path / "folded").code == 0
    assert cli("plan", *words, "--out", tmp_path / "trained").code == 0
    plans = {name: json.loads((tmp_path / name / "plan.json").read_text()) for name in ("folded", "trained")}
    assert (plans["folded"]["network"], plans["folded"]["folded"]) == ("mine_folded", {"1": "0"})
    assert (plans["trained"]["network"], plans["trained"]["folded"]) == ("mine", None)
    assert plans["folded"]["weights_sha256"] != plans["trained"]["weights_sha256"]
    assert plans["folded"]["perturbation"] == "quantize_per_channel", "the default"
    exported = cli("plan", "export", tmp_path / "folded", "--to", "onnxruntime")
    assert "Note: fold 1 batch norm first, those that 'folded' names in plan.json" in exported.err


def test_what_cannot_be_folded_is_named_once(cli, tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(
        "import torch\nimport safer_bench as sb\nfrom torch import nn\n"
        "def build():\n"
        "    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()\n"
        "    return sb.Network(model, torch.randn(30, 4), torch.arange(30) % 3, name='mine')\n"
    )
    found = cli("measure", "--network", f"{path}:build", "--fold", "--perturbation", "quantize:2", "--out", tmp_path / "run")
    assert [line for line in found.err.splitlines() if "folded" in line.partition(": ")[2]] == [
        "mine_folded: 1 batch norm folded",
        "mine_folded: not folded (follows no convolution or linear layer): 0",
    ]
