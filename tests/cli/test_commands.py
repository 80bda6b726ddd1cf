"""The command line as its users meet it: the way through, and one clear message for everything that is wrong."""

import json
import re
from dataclasses import replace

import pytest
from typer.main import get_command

from safer_bench.cli import app
from safer_bench.dataset.tree import load_tree
from safer_bench.networks import loading
from safer_bench.tables.controls import ADDED
from tests.made_up.commands import MEASURE

COMMANDS = get_command(app).commands


def test_the_way_through(cli, tmp_path):
    run, tree, mine, board = (tmp_path / name for name in ("run", "tree", "mine", "board"))
    measured = cli(*MEASURE, "--out", run)
    assert (measured.code, measured.out.splitlines()[-1]) == (
        0,
        f"20 probes in {run}. Next: safer-bench pack {run} --out TREE",
    )
    scored = cli("score", "snip", "l2_norm", "--network", "digits_mlp", "--out", mine)
    known = "safer-bench evaluate shows the truth's own scores of 'l2_norm'; it takes no others"
    own = f"safer-bench pack RUN --scores {mine} --out TREE, for a truth of your own"
    assert (scored.code, scored.out) == (0, f"{mine}: 2 criteria on 1 network. Next: {own}; {known}\n")
    packed = cli("pack", run, "--out", tree)
    assert (packed.code, packed.out) == (0, f"{tree}: 20 measurements, revision {load_tree(tree).revision}\n")
    checked = cli("check", mine, "--truth", tree)
    assert (checked.code, checked.out) == (0, f"{mine}: snip, l2_norm: 20 scores of 1 network in order\n")
    evaluated = cli("evaluate", mine, "--truth", tree, "--out", board)
    assert evaluated.code == 0
    assert re.search(r"^snip \(reported\) +blind +-?\d\.\d\d$", evaluated.out, re.MULTILINE)
    assert evaluated.out.endswith(f"Leaderboard: {board / 'leaderboard.html'}\n")
    verified = cli("verify", tree, "--rows", 5)
    assert (verified.code, verified.out.splitlines()[-1]) == (0, "5 of 5 rows equal")


@pytest.mark.parametrize("kind", ["networks", "perturbations", "criteria", "metrics"])
def test_list_names_entries_and_info_knows_each(cli, kind):
    names = cli("list", kind).out.split()
    assert len(names) >= 6
    for name in names:
        found = cli("info", name)
        assert (found.code, found.out.splitlines()[0].split()) == (0, ["kind", kind]), name


def test_info_of_a_criterion_shows_formula_source_and_cost(cli):
    assert cli("info", "true_fisher").out.splitlines()[3:] == [
        "formula   (1/N) sum_i sum_c p_c norm2(d log p_c / dW)^2",
        "track     blind",
        "needs     gradients",
        "cost      N*(1 + 2*C) forward passes of one example",
        "examples  as many as asked for",
        "source    Kunstner et al. 2019, arXiv 1905.12558; the trace of the diagonal GGN as well (softmax)",
    ]


@pytest.mark.parametrize("name", list(ADDED))
def test_info_knows_the_controls_that_every_board_has(cli, name):
    found = cli("info", name)
    assert (found.code, found.err) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in found.out.splitlines())
    assert (facts["kind"], facts["name"]) == ("added control", name)
    assert facts["what"].endswith(".")
    assert name not in cli("list", "criteria").out.split(), "`score` cannot compute it"


def test_info_of_a_network_names_its_layers(cli):
    recurrent = cli("info", "text_lstm").out
    assert re.search(r"^n_layers +10$", recurrent, re.MULTILINE)
    assert re.search(r"^layer cells.3.weight_hh_l0 +448x112$", recurrent, re.MULTILINE)
    plain, folded = (json.loads(cli("info", name, "--json").out) for name in ("resnet20", "resnet20_folded"))
    assert plain["layer layer1.0.conv1"] == "16x16x3x3"
    assert folded == plain | {"name": "resnet20_folded", "batch_norms": "folded, where they follow a layer"}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(cli, name):
    found = cli(name, "--help")
    assert found.code == 0
    assert f"Example: safer-bench {name}" in found.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("info", "quantise"), "no entry is called 'quantise'. Did you mean 'quantize'? All of them: safer-bench list networks|perturbations|criteria|metrics"),
        (("measure", "--network", "resnet21", "--out", "{tmp}/r"), "no network is called 'resnet21'. Did you mean 'resnet32' or 'resnet20' or 'resnext20'? All of them: safer-bench list networks"),
        (("measure", "--network", "digits_mlp", "--perturbation", "noise", "--out", "{tmp}/r"), "no perturbation is called 'noise'. Did you mean 'gaussian_noise'? All of them: safer-bench list perturbations"),
        (("measure", "--network", "digits_mlp", "--perturbation", "quantize:x", "--out", "{tmp}/r"), "perturbation 'quantize:x': level 'x' is not a number; expected a whole number from 2 to 16, such as quantize:4,3"),
        (("measure", "--network", "digits_mlp", "--examples", "0", "--out", "{tmp}/r"), "0 examples a draw; expected at least one"),
        (("measure", "--network", "absent.py:build", "--out", "{tmp}/r"), "absent.py:build: there is no file 'absent.py'; expected FILE.py:FUNC"),
        (("measure", "--network", "digits_mlp", "--perturbation", "random_zero:2", "--out", "{tmp}/r"), "perturbation 'random_zero': level 2; expected a number from 0 to 1, such as random_zero:0.18,0.51"),
        (("measure", "--network", "digits_mlp", "--perturbation", "quantize:2.5", "--out", "{tmp}/r"), "perturbation 'quantize': level 2.5; expected a whole number from 2 to 16, such as quantize:4,3"),
        (("measure", "--network", "digits_mlp", "--perturbation", "quantize", "--first-draw", "1", "--out", "{tmp}/r"), "nothing to measure: further draws of deterministic perturbations would repeat the first, those of gradient perturbations from 20 on too"),
        (("measure", "--network", "digits_mlp", "--perturbation", "gradient_corruption_l2", "--draws", "21", "--out", "{tmp}/r"), "gradient perturbations have 20 different draws, one for each part of the calibration examples: give 20 at most"),
        (("pack", "{tmp}", "--out", "{tmp}/t"), "{tmp}: is not a run folder (it has no run.json); make one: safer-bench measure"),
        (("verify", "{tmp}"), "{tmp}: is not a dataset tree (it has no manifest.json). Name the folder of one, or make one: safer-bench demo"),
        (("check", "{tmp}", "--truth", "{tree}"), "{tmp}: holds neither a submission nor submissions; expected submissions/NAME with submission.yaml and scores, which `safer-bench score CRITERION --out submissions/NAME` writes"),
        (("budget", "--task", "prune", "--network", "digits_mlp", "--submission", "{tmp}", "--truth", "{tree}", "--out", "{tmp}/b"), "{tmp}: holds neither a submission nor submissions; expected submissions/NAME with submission.yaml and scores, which `safer-bench score CRITERION --out submissions/NAME` writes"),
        (("check", "pyproject.toml", "--truth", "{tree}"), "pyproject.toml: a file; name its folder: ."),
        (("check", "{tmp}/absent", "--truth", "{tree}"), "{tmp}/absent: no such folder; expected submissions/ or submissions/NAME"),
        (("evaluate", "{tmp}/absent", "--truth", "{tree}", "--out", "{tmp}/b"), "{tmp}/absent: no such folder; expected submissions/ or submissions/NAME"),
        (("score", "snipe", "--out", "{tmp}/s", "--network", "digits_mlp"), "no criterion is called 'snipe'. Did you mean 'snip'? All of them: safer-bench list criteria"),
        (("score", "docs/cli:main", "--out", "{tmp}/s", "--network", "digits_mlp"), "'docs/cli:main': a function of a file is FILE.py:FUNC; write docs/cli.py:main"),
        (("compare", "snip", "snob", "--truth", "{tree}"), "no criterion 'snob' is scored here. Did you mean 'snip'? Scored are: constant, depth, first_last, l2_norm, macs, measured_drop_128, parameters, random, replicate, reversed_replicate, size_depth, snip. For scores of another one: safer-bench score NAME --out submissions/NAME, and --submissions submissions"),
        (("compare", "snip", "l2_norm", "--truth", "{tree}", "--out", "{tmp}/plot"), "{tmp}/plot: a plot ends in .png, .svg, .pdf"),
        (("train",), "train takes names of networks or --missing, one of the two: safer-bench train resnet20"),
        (("train", "digits_mlp", "--missing"), "train takes names of networks or --missing, one of the two: safer-bench train resnet20"),
        (("verify", "{tree}", "--dataset", "cifar"), "the truth has no dataset 'cifar'; it has digits"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_exit_code_2(cli, tmp_path, small_tree, words, message):
    fill = lambda text: text.replace("{tmp}", str(tmp_path)).replace("{tree}", str(small_tree.path))  # noqa: E731
    found = cli(*(fill(word) for word in words))
    assert (found.code, found.err) == (2, f"Error: {fill(message)}\n")
    assert not list(tmp_path.iterdir()), "nothing half-written"


@pytest.mark.parametrize(
    "words",
    [
        MEASURE,
        ("score", "l2_norm", "--network", "digits_mlp"),
        ("evaluate", "{scores}", "--truth", "{tree}"),
        ("pack", "{run}"),
    ],
    ids=lambda words: words[0],
)
def test_an_output_folder_that_cannot_be_made_is_named(cli, tmp_path, small_tree, small_scores, small_run, words):
    (tmp_path / "file").write_text("in the way")
    places = {"{tree}": small_tree.path, "{scores}": small_scores, "{run}": small_run}
    found = cli(*(places.get(word, word) for word in words), "--out", tmp_path / "file" / "out")
    assert found.code == 2
    assert found.err.endswith("cannot write there (Not a directory); give another folder with --out\n")


def test_bad_usage_is_exit_code_2(cli):
    assert cli("measure").code == 2
    assert cli("nonsense").code == 2
    assert cli("list", "network").code == 2
    assert cli("measure", "--network", "digits_mlp", "--draws", "many", "--out", "x").code == 2


def test_what_is_missing_is_trained_and_written_once(cli, monkeypatch, tmp_path):
    entry = loading.zoo_networks()["digits_mlp"]
    short = replace(entry, recipe=replace(entry.recipe, epochs=1))
    monkeypatch.setattr(loading, "zoo_networks", lambda: {"digits_mlp": short})
    found = cli("train", "--missing", "--out", tmp_path)
    assert found.code == 0
    first, epoch, last = found.out.splitlines()
    assert (first, epoch[:9], last) == ("training digits_mlp", "epoch   1", str(tmp_path / "digits_mlp.safetensors"))
    assert cli("train", "--missing", "--out", tmp_path).out == ""
