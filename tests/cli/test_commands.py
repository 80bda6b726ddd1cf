"""The command line as its users meet it: the way through, and one clear message for everything that is wrong."""

import re
import shlex
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from typer.main import get_command

import safer_bench.measurement.engine
from safer_bench import zoo
from safer_bench.cli import app
from safer_bench.dataset.tree import load_tree
from safer_bench.perturbations import parse_perturbation, perturbations
from tests.conftest import COMMITTED, ROOT

COMMANDS = get_command(app).commands
MEASURE = ("measure", "--network", "digits_mlp", "--perturbation", "magnitude_prune:0.9,0.97", "--examples", 50)


def test_the_way_through(cli, tmp_path):
    run, tree, mine, board = (tmp_path / name for name in ("run", "tree", "mine", "board"))
    measured = cli(*MEASURE, "--out", run)
    assert (measured.code, measured.out.splitlines()[-1]) == (
        0,
        f"20 probes in {run}. Next: safer-bench pack {run} --out TREE",
    )
    scored = cli("score", "snip", "l2_norm", "--network", "digits_mlp", "--out", mine)
    assert (scored.code, scored.out) == (0, f"{mine}: 2 criteria on 1 networks. Next: safer-bench check {mine}\n")
    packed = cli("pack", run, "--out", tree)
    assert (packed.code, packed.out) == (0, f"{tree}: 20 measurements, revision {load_tree(tree).revision}\n")
    checked = cli("check", mine, "--truth", tree)
    assert (checked.code, checked.out) == (0, f"{mine}: snip, l2_norm: 20 scores of 1 networks in order\n")
    evaluated = cli("evaluate", mine, "--truth", tree, "--out", board)
    assert evaluated.code == 0
    assert re.search(r"^snip +-?\d\.\d\d +-?\d\.\d\d$", evaluated.out, re.MULTILINE)
    assert evaluated.out.endswith(f"Leaderboard: {board / 'leaderboard.html'}\n")
    verified = cli("verify", tree, "--rows", 5)
    assert (verified.code, verified.out.splitlines()[-1]) == (0, "5 of 5 rows equal")


def test_results_of_budgets_are_shown_or_missed_aloud(cli, small_tree, small_scores, tmp_path):
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board", "--budget", tmp_path)
    assert (found.code, found.err) == (
        2,
        f"Error: {tmp_path}: no budget_results-*.parquet; `safer-bench budget --task TASK --out {tmp_path}` writes one\n",
    )
    (tmp_path / "budget_results-prune.parquet").write_bytes(b"PAR1")
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board", "--budget", tmp_path)
    assert found.code == 2
    assert f"{tmp_path / 'budget_results-prune.parquet'}: cannot be read" in found.err
    folder = ROOT / "docs" / "budgets"
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "b", "--budget", folder)
    assert (found.code, found.err) == (
        2,
        f"Error: {folder / 'budget_results-protect-int8_bit_flip.parquet'}: of truth {load_tree(COMMITTED).revision}, not {small_tree.revision}; "
        "repeat the budget command that wrote it\n",
    )


def test_two_criteria_are_compared_as_table_and_plot(cli, small_tree, tmp_path):
    found = cli("compare", "snip", "l2_norm", "--truth", small_tree.path, "--out", tmp_path / "compare.png")
    assert found.code == 0
    assert re.search(r"^digits, test: spearman of snip and l2_norm, mean over families$", found.out, re.MULTILINE)
    pattern = r"^gaussian_noise +1 +1 +(-?\d\.\d\d) +(-?\d\.\d\d) +([+-]\d\.\d\d) +-$"
    first, second, difference = map(float, re.search(pattern, found.out, re.MULTILINE).groups())
    assert difference == pytest.approx(first - second, abs=0.011)
    assert "No interval where there are fewer than 6 families: such a difference ranks nothing.\n" in found.out
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


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


def test_info_of_a_network_names_its_layers(cli):
    assert re.search(r"^layer layer1.0.conv1 +16x16x3x3$", cli("info", "resnet20").out, re.MULTILINE)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(cli, name):
    found = cli(name, "--help")
    assert found.code == 0
    assert f"Example: safer-bench {name}" in found.out


def network_file(tmp_path, body):
    path = tmp_path / "net.py"
    path.write_text(f"import torch\nimport safer_bench as sb\ndef build():\n    {body}\n")
    return f"{path}:build"


OWN = """model = torch.nn.Linear(4, 3).eval()
    generator = torch.Generator().manual_seed(0)
    return sb.Network(model, torch.randn(30, 4, generator=generator), torch.arange(30) % 3, name="mine")"""


def test_a_users_own_network_is_measured(cli, tmp_path):
    found = cli(
        "measure", "--network", network_file(tmp_path, OWN), "--perturbation", "sign_flip:0.5", "--out", tmp_path / "run"
    )
    assert found.code == 0
    row = pq.read_table(next((tmp_path / "run" / "parts").rglob("*.parquet"))).to_pylist()[0]
    assert (row["network"], row["dataset"], row["split"], row["layer"]) == ("mine", "own", "test", "weight")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "network"), "kind 'network'; expected one of networks, perturbations, criteria, metrics. Did you mean 'networks'?"),
        (("info", "quantise"), "no entry is called 'quantise'. Did you mean 'quantize'? All of them: safer-bench list networks|perturbations|criteria|metrics"),
        (("measure", "--network", "resnet21", "--out", "{tmp}/r"), "no network is called 'resnet21'. Did you mean 'resnet32' or 'resnet20' or 'resnext20'? All of them: safer-bench list networks"),
        (("measure", "--network", "digits_mlp", "--perturbation", "noise", "--out", "{tmp}/r"), "no perturbation is called 'noise'. Did you mean 'gaussian_noise'? All of them: safer-bench list perturbations"),
        (("measure", "--network", "digits_mlp", "--perturbation", "quantize:x", "--out", "{tmp}/r"), "perturbation 'quantize:x': could not convert string to float: 'x'; expected NAME:LEVEL,LEVEL,..."),
        (("measure", "--network", "digits_mlp", "--examples", "601", "--out", "{tmp}/r"), "601 examples a probe; network 'digits_mlp' has 600 evaluation examples"),
        (("measure", "--network", "absent.py:build", "--out", "{tmp}/r"), "absent.py:build: there is no file 'absent.py'; expected FILE.py:FUNC"),
        (("measure", "--network", "digits_mlp", "--perturbation", "random_zero:2", "--out", "{tmp}/r"), "perturbation 'random_zero': level 2; expected a number from 0 to 1"),
        (("measure", "--network", "digits_mlp", "--perturbation", "quantize:2.5", "--out", "{tmp}/r"), "perturbation 'quantize': level 2.5; expected a whole number from 2 to 16"),
        (("measure", "--network", "digits_mlp", "--perturbation", "quantize", "--first-draw", "1", "--out", "{tmp}/r"), "nothing to measure: further draws of deterministic perturbations would repeat the first"),
        (("measure", "--network", "digits_mlp", "--perturbation", "gradient_corruption_l2", "--draws", "21", "--out", "{tmp}/r"), "gradient perturbations have 20 different draws, one for each part of the probe examples"),
        (("pack", "{tmp}", "--out", "{tmp}/t"), "{tmp}: no run folder (it has no run.json); make one: safer-bench measure"),
        (("verify", "{tmp}"), "{tmp}: no dataset tree (it has no manifest.json). Name the folder of one, or make one: safer-bench demo"),
        (("check", "{tmp}/absent", "--truth", "{tree}"), "{tmp}/absent: no such folder; expected submissions/ or submissions/NAME"),
        (("evaluate", "{tmp}/absent", "--truth", "{tree}", "--out", "{tmp}/b"), "{tmp}/absent: no such folder; expected submissions/ or submissions/NAME"),
        (("score", "snipe", "--out", "{tmp}/s", "--network", "digits_mlp"), "no criterion is called 'snipe'. Did you mean 'snip'? All of them: safer-bench list criteria"),
        (("compare", "snip", "snob", "--truth", "{tree}"), "no criterion is called 'snob'. Did you mean 'snip'? All of them: safer-bench list criteria"),
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


def test_a_network_file_without_the_named_function_is_named(cli, tmp_path):
    spec = network_file(tmp_path, OWN).replace(":build", ":bulid")
    found = cli("measure", "--network", spec, "--out", tmp_path / "run")
    path = spec.removesuffix(":bulid")
    assert (found.code, found.err) == (2, f"Error: {spec}: '{path}' defines no function 'bulid'. Did you mean 'build'?\n")


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


def test_an_empty_output_folder_is_as_good_as_none(cli, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "tree").mkdir()
    assert cli(*MEASURE, "--out", tmp_path / "run").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
    assert cli("verify", tmp_path / "tree", "--rows", 2).code == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise OSError('disk')", "{spec}: the function raised OSError: disk"),
        ("return 3", "{spec}: returned a int; expected a safer_bench.Network"),
        ("return sb.Network(torch.nn.Linear(2, 2), torch.zeros(1, 2), torch.zeros(1).long())", "{spec}: the function raised BadInput: network 'own': the model itself is in training mode; call model.eval() first"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.zeros(2, 2), torch.tensor([0, 2]))", "{spec}: the function raised BadInput: network 'own': labels from 0 to 2; expected 0 to 1"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.zeros(2, 2).byte(), torch.tensor([0, 1]))", "{spec}: the function raised BadInput: network own, evaluation: images are torch.uint8; expected floating point"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.full((2, 2), torch.nan), torch.tensor([0, 1]))", "{spec}: the function raised BadInput: network own, evaluation: the images hold NaN or infinite values"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.zeros(0, 2), torch.zeros(0).long())", "{spec}: the function raised BadInput: network own, evaluation: 0 images and 0 labels; expected as many, at least one"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.zeros(2, 2), torch.zeros(2))", "{spec}: the function raised BadInput: network own, evaluation: labels are torch.float32 (2,); expected int64 (n,)"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval().half(), torch.zeros(2, 2), torch.tensor([0, 1]))", "{spec}: the function raised BadInput: network 'own': parameter weight is torch.float16; expected float32: call model.float() first"),
    ],
)  # fmt: skip
def test_a_bad_network_file_is_named(cli, tmp_path, body, message):
    spec = network_file(tmp_path, body)
    found = cli("measure", "--network", spec, "--out", tmp_path / "run")
    assert (found.code, found.err) == (2, f"Error: {message.replace('{spec}', spec)}\n")
    assert not (tmp_path / "run").exists()


def test_a_network_file_that_does_not_import_is_named(cli, tmp_path):
    path = tmp_path / "net.py"
    path.write_text("import absent_library\n")
    found = cli("measure", "--network", f"{path}:build", "--out", tmp_path / "run")
    message = f"{path}:build: importing '{path}' failed with ModuleNotFoundError: No module named 'absent_library'"
    assert (found.code, found.err) == (2, f"Error: {message}\n")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_named(cli, tmp_path):
    for device in ("cuda:99", "nonsense", "meta"):
        spec = network_file(tmp_path, OWN.replace("Linear(4, 3)", f"Linear(4, 3, device='{device}')"))
        found = cli("measure", "--network", spec, "--out", tmp_path / "run")
        assert found.code == 2
        assert found.err.startswith(f"Error: {spec}: the function raised ")
        assert re.search("nvidia|cuda|nonsense|meta", found.err.removeprefix(f"Error: {spec}").lower())
        assert found.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_perturbation_that_raises_is_named_and_writes_no_part(cli, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import safer_bench as sb\n"
        "@sb.perturbation(levels=(0.1, 0.5), scale='linear', unit='share', source='mine')\n"
        "def breaks(weight, level, rng):\n"
        "    return weight / 0 if level > 0.2 else weight[0]\n"
    )
    spec, run = network_file(tmp_path, OWN), tmp_path / "run"
    found = cli("measure", "--network", spec, "--perturbation", f"{path}:breaks", "--out", run)
    assert (found.code, found.err) == (2, "Error: perturbation 'breaks' returned float64 (4,); expected float64 (3, 4)\n")
    assert not list(run.glob("parts/*/*"))


def test_a_run_ends_with_its_most_fragile_layers_and_their_plot(cli, tmp_path):
    run = tmp_path / "run"
    words = ("--perturbation", "gaussian_noise:1,4", "--perturbation", "quantize:3,2", "--draws", 2, "--examples", 50)
    lines = cli("measure", "--network", "digits_mlp", *words, "--out", run).out.splitlines()
    assert lines[2:4] == ["digits_mlp", next(line for line in lines if line.startswith("layer "))]
    assert lines[3].split() == ["layer", "weights", "mean", "gaussian_noise", "quantize"]
    assert re.fullmatch(r"hidden\.\d\.0 +10\.9% +0\.\d{3} ± \d\.\d{3} +0\.\d{3} ± \d\.\d{3} +0\.\d{3} ± 0\.\d{3}", lines[5])
    assert any(line.startswith("Protect first: hidden.") for line in lines)
    assert {path.name for path in run.glob("fragile-*")} == {"fragile-digits_mlp.png", "fragile-digits_mlp.svg"}


def test_a_dry_run_measures_nothing_and_says_what_a_run_costs(cli, tmp_path):
    found = cli(*MEASURE, "--network", "digits_cnn", "--dry-run", "--out", tmp_path / "run")
    lines = found.out.splitlines()
    assert found.code == 0
    assert lines[0].split() == ["network", "probes", "time", "disk", "memory"]
    assert [line.split()[:2] for line in lines[2:4]] == [["digits_mlp", "20"], ["digits_cnn", lines[3].split()[1]]]
    assert lines[4].split()[:2] == ["all", str(20 + int(lines[3].split()[1]))]
    assert re.fullmatch(r"Time by draws a level: 1: [^,:]+(, (2|4|8|16|32): [^,:]+){5}", lines[5])
    assert lines[6] == "1 worker on this machine; nothing was measured."
    assert not (tmp_path / "run").exists()


def test_draws_follow_a_reliability_and_a_plan_can_be_taken_elsewhere(cli, tmp_path):
    words = ("measure", "--network", "digits_mlp", "--perturbation", "sign_flip:0.03,0.1", "--examples", 30)
    made = cli(*words, "--reliability", 0.9, "--max-draws", 8, "--plan-only", "--out", tmp_path / "a")
    assert made.code == 0
    assert made.out.splitlines()[0] == "digits_mlp: draws of each level, mild to severe"
    assert re.search(r"^sign_flip +\d \d +0\.\d\d$", made.out, re.MULTILINE)
    assert not (tmp_path / "a" / "run.json").exists()
    ended = cli(*words, "--reliability", 0.9, "--max-draws", 8, "--out", tmp_path / "a")
    shards = [
        cli(*words, "--plan", tmp_path / "a" / "plan.json", "--shard", f"{i}/2", "--out", tmp_path / f"s{i}") for i in (1, 2)
    ]
    assert [ran.code for ran in (ended, *shards)] == [0, 0, 0]
    for runs, tree in (([tmp_path / "a"], "whole"), ([tmp_path / "s1", tmp_path / "s2"], "merged")):
        assert cli("pack", *runs, "--out", tmp_path / tree).code == 0
    assert load_tree(tmp_path / "whole").revision == load_tree(tmp_path / "merged").revision


@pytest.mark.parametrize("more", [("--draws", 2), ("--first-draw", 4), ("--plan", "plan.json")])
def test_ways_to_say_how_many_draws_exclude_each_other(cli, tmp_path, more):
    found = cli(*MEASURE, "--reliability", 0.9, *more, "--out", tmp_path / "run")
    message = "--draws, --first-draw, --reliability and --plan each say how many draws; give one of them"
    assert (found.code, found.err) == (2, f"Error: {message}\n")
    assert not (tmp_path / "run").exists()


def test_a_decorated_function_of_a_users_file_is_a_network(cli, tmp_path):
    spec = network_file(tmp_path, OWN)
    path = tmp_path / "net.py"
    path.write_text(path.read_text().replace("def build", "@sb.network(dataset='own', family='own')\ndef build"))
    found = cli("measure", "--network", spec, "--perturbation", "quantize:2", "--out", tmp_path / "run")
    assert found.code == 0
    assert (
        found.out.splitlines()[-1] == f"1 probes in {tmp_path / 'run'}. Next: safer-bench pack {tmp_path / 'run'} --out TREE"
    )


def test_verify_counts_rows_of_a_users_network_as_absent(cli, tmp_path):
    model = OWN.replace(
        "torch.arange(30) % 3", "model(torch.randn(30, 4, generator=torch.Generator().manual_seed(0))).argmax(1)"
    )
    spec = network_file(tmp_path, model)
    assert cli("measure", "--network", spec, "--perturbation", "sign_flip:0.5", "--out", tmp_path / "run").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
    found = cli("verify", tmp_path / "tree")
    assert (found.code, found.out.splitlines()[-1]) == (2, "0 of 0 rows equal")


def test_bad_usage_is_exit_code_2(cli):
    assert cli("measure").code == 2
    assert cli("nonsense").code == 2
    assert cli("measure", "--network", "digits_mlp", "--draws", "many", "--out", "x").code == 2


def test_a_bad_submission_is_exit_code_1(cli, small_tree, small_scores, tmp_path):
    folder = shutil.copytree(small_scores, tmp_path / "mine")
    (folder / "scores.parquet").write_bytes(b"nothing")
    found = cli("check", folder, "--truth", small_tree.path)
    assert found.code == 1
    assert found.err.startswith(f"Refused: {folder / 'scores.parquet'}: cannot be read")
    assert cli("evaluate", folder, "--truth", small_tree.path, "--out", tmp_path / "board").code == 2
    assert not (tmp_path / "board").exists()


def test_a_submission_of_some_networks_is_accepted_and_told(cli, small_tree, tmp_path):
    assert cli("score", "l2_norm", "--network", "digits_mlp", "--out", tmp_path / "part").code == 0
    found = cli("check", tmp_path / "part", "--truth", small_tree.path)
    assert (found.code, found.out.splitlines()[-1]) == (
        0,
        "1 networks of the truth are not scored: shown on their boards, but not ranked",
    )


def test_submissions_are_scored_again_by_their_code_and_noted(cli, small_tree, tmp_path):
    path = tmp_path / "submissions" / "mine"
    (tmp_path / "size.py").write_text(
        "def size(model, batches):\n"
        "    return {name: m.weight.numel() for name, m in model.named_modules() if getattr(m, 'weight', None) is not None\n"
        "            and m.weight.ndim > 1}\n"
    )
    assert cli("score", f"{tmp_path / 'size.py'}:size", "--network", "digits_mlp", "--out", path).code == 0
    found = cli("check", path.parent, "--truth", small_tree.path, "--recompute")
    assert (found.code, found.out.splitlines()[-2:]) == (
        0,
        [
            f"{path}: size: scored again on 1 networks, to the same scores",
            f"Noted in {path.parent / 'recomputed.json'}",
        ],
    )
    found = cli("check", path, "--truth", small_tree.path, "--recompute", "--network", "digits_resnet")
    assert (found.code, found.out.splitlines()[-1]) == (0, f"{path}: nothing scored again: it does not score digits_resnet")
    found = cli("check", path, "--truth", small_tree.path, "--recompute", "--network", "digits_mpl")
    assert found.code == 2
    assert "no network is called 'digits_mpl'. Did you mean 'digits_mlp'?" in found.err
    (path / "size.py").write_text((path / "size.py").read_text().replace("numel()", "numel() + 9"))
    found = cli("check", path, "--truth", small_tree.path, "--recompute")
    assert (found.code, found.err) == (
        1,
        f"Refused: {path}: criterion 'size' on network 'digits_mlp': head: submitted 640, computed again 649\n",
    )


def test_an_interrupted_run_says_how_to_go_on_and_then_does(cli, tmp_path, monkeypatch):
    engine = safer_bench.measurement.engine.Engine
    measure, calls = engine.measure, []

    def stop_in_the_third(self, probes):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(self, probes)

    monkeypatch.setattr(engine, "measure", stop_in_the_third)
    found = cli(*MEASURE, "--out", tmp_path / "run")
    command = shlex.join(map(str, ["safer-bench", *MEASURE, "--out", tmp_path / "run"]))
    last = f"Interrupted. What is finished is kept; repeat the command to go on: {command}"
    assert (found.code, found.err.strip().splitlines()[-1]) == (130, last)
    assert (tmp_path / "run" / "log.txt").read_text().endswith("interrupted\n")
    assert len(list((tmp_path / "run" / "parts" / "digits_mlp").iterdir())) == 2
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    calls.clear()
    assert cli(*MEASURE, "--out", tmp_path / "run").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0


def test_what_is_missing_is_trained_and_written_once(cli, monkeypatch, tmp_path):
    entry = zoo.zoo_networks()["digits_mlp"]
    short = replace(entry, recipe=replace(entry.recipe, epochs=1))
    monkeypatch.setattr(zoo, "zoo_networks", lambda: {"digits_mlp": short})
    found = cli("train", "--missing", "--out", tmp_path)
    assert found.code == 0
    first, epoch, last = found.out.splitlines()
    assert (first, epoch[:9], last) == ("training digits_mlp", "epoch   1", str(tmp_path / "digits_mlp.safetensors"))
    assert cli("train", "--missing", "--out", tmp_path).out == ""


def test_a_criterion_that_fails_is_named_while_the_others_are_scored(cli, tmp_path):
    (tmp_path / "bad.py").write_text("def hopeful(model, batches):\n    return {}\n")
    out = tmp_path / "scores"
    found = cli("score", "l2_norm", f"{tmp_path / 'bad.py'}:hopeful", "--network", "digits_mlp", "--out", out)
    assert (found.code, found.out) == (2, "")
    first, last = found.err.splitlines()
    assert first.startswith(
        "Error: criterion 'hopeful' on network 'digits_mlp': expected one score for each of the 10 layers"
    )
    assert last == f"1 of 2 refused; {out} holds what was not refused"
    assert set(pq.read_table(out / "scores.parquet")["criterion"].to_pylist()) == {"l2_norm"}


def test_scores_are_by_default_of_the_networks_of_the_truth():
    from safer_bench.cli.judging import _default_networks

    assert _default_networks() == sorted(load_tree(COMMITTED)["networks"]["network"].to_pylist())


def test_scores_are_by_default_of_the_perturbations_and_levels_of_the_truth():
    """The package may have more of them than were measured; `check` refuses scores of the others."""
    from safer_bench.cli.judging import _default_perturbations

    expected = {row["perturbation"]: tuple(row["levels"]) for row in load_tree(COMMITTED)["perturbations"].to_pylist()}
    found = [parse_perturbation(spec) for spec in _default_perturbations()]
    assert {entry.name: levels for entry, levels in found} == expected


def test_without_a_truth_scores_are_by_default_of_all_perturbations(monkeypatch, tmp_path):
    from safer_bench.cli.judging import _default_perturbations

    monkeypatch.chdir(tmp_path)
    assert _default_perturbations() == list(perturbations())


def test_verify_tells_a_changed_file_from_a_changed_count(cli, small_tree, tmp_path):
    tree = shutil.copytree(small_tree.path, tmp_path / "tree")
    (tree / "notes.txt").write_text("mine")
    (tree / "README.md").write_text("changed")
    found = cli("verify", tree, "--rows", 0)
    assert (found.code, found.out.splitlines()) == (
        1,
        ["notes.txt: not in the manifest", "README.md: differs from the manifest"],
    )


def test_verify_without_images_counts_aloud_or_fails_where_they_are_named(cli, small_tree, monkeypatch, tmp_path):
    from safer_bench.zoo import weights

    monkeypatch.setattr(weights, "PACKAGED", tmp_path)
    found = cli("verify", small_tree.path, "--rows", 4)
    assert found.code == 2
    assert found.out.splitlines()[-2:] == [
        "4 of 4 rows were not measured again: their images, weights or perturbation are not here",
        "0 of 0 rows equal",
    ]
