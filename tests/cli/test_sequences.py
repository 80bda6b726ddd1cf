"""An engineer's whole path with a network of several answers an example: measure, pack, verify, score, evaluate, budget."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from safer_bench.dataset.tree import load_tree

FILE = """
import torch

import safer_bench as sb
from tests.made_up.sequences import WORDS, Attention


def masked():
    draw = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    model = Attention().eval()
    ids = torch.randint(0, WORDS, (200, 8), generator=draw)
    mask = (torch.arange(8) < torch.randint(3, 9, (200, 1), generator=draw)).long()
    with torch.no_grad():
        labels = model(ids, mask).logits.argmax(-1).masked_fill(mask == 0, -100)
    part = lambda rows: ({"ids": ids[rows], "mask": mask[rows]}, labels[rows])
    return sb.Network(
        model, *part(slice(160)), name="masked", calibration=part(slice(160, 200)), output=lambda answer: answer.logits, class_axis=-1
    )
"""
NOISE = ("--perturbation", "gaussian_noise:1,3", "--perturbation", "quantize:4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("sequences")
    (made / "nets.py").write_text(FILE)
    return made


def test_the_whole_path(cli, folder):
    network, run, tree = ("--network", f"{folder}/nets.py:masked"), folder / "run", folder / "tree"
    protocol = ("--draws", "4", "--examples", "20", "--deterministic-examples", "80")
    measured = cli("measure", *network, *NOISE, *protocol, "--workers", "1", "--out", run)
    assert measured.code == 0, measured.err
    assert cli("pack", run, "--out", tree).code == 0
    verified = cli("verify", tree, *network, "--rows", "4")
    assert (verified.code, "4 of 4 rows equal" in verified.out) == (0, True), verified.err
    drops = pq.read_table(next((tree / "layer_drops").glob("*.parquet"))).to_pylist()
    of_network = load_tree(tree)["networks"].to_pylist()[0]
    answers = np.array(of_network["answers_of_example"])
    assert (len(answers), of_network["n_answers"]) == (160, answers.sum())
    for row in drops:
        seen = answers[row["example_start"] : row["example_start"] + row["n_examples"]]
        assert row["n_answers"] == seen.sum() > row["n_examples"]
        assert row["accuracy_drop"] == (row["broken"] - row["fixed"]) / row["n_answers"]
    assert cli("score", "snip", "parameters", *network, "--out", folder / "submissions" / "mine").code == 0
    evaluated = cli("evaluate", folder / "submissions", "--truth", tree, "--out", folder / "board")
    assert evaluated.code == 0, evaluated.err
    assert "snip" in evaluated.out
    spent = cli(
        *("budget", "--task", "quantize", "--truth", tree, "--submission", folder / "submissions" / "mine"),
        *(*network, "--budget", "4", "--out", folder / "budget"),
    )
    assert spent.code == 0, spent.err
    rows = pq.read_table(next((folder / "budget").glob("budget_results*.parquet"))).to_pylist()
    assert all(0.0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1.0 for row in rows)
    assert json.loads((tree / "manifest.json").read_text())
    for words in (("prune", "--budget", "0.5"), ("protect", "--budget", "0.5", "--level", "0.03", "--draws", "4")):
        spent = cli(
            "budget", "--truth", tree, *network, "--criterion", "depth", "--out", folder / words[0], "--task", *words
        )
        assert spent.code == 0, spent.err
        check_budget(pq.read_table(next((folder / words[0]).glob("budget_results*.parquet"))).to_pylist())


def check_budget(rows):
    """Of several answers an example: halves and intervals are of examples, and so is their number."""
    told = {row["criterion"]: row for row in rows}
    assert {"depth", "uniform", "best_known"} <= set(told)
    assert {row["n_examples"] for row in rows} == {160}
    depth = told["depth"]
    assert depth["regret"] == pytest.approx(told["best_known"]["accuracy"] - depth["accuracy"], abs=0.03)
    assert depth["verdict"] in ("beats uniform", "harms", "undecided")
    assert 0.0 < depth["spent"] <= 0.51
