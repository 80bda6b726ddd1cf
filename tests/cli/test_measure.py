"""The command that measures networks: a user's own, what goes wrong in them, and what a run leaves."""

import re
import shlex
import sys

import pyarrow.parquet as pq
import pytest

import safer_bench.measurement.engine
from safer_bench.dataset.tree import load_tree
from tests.conftest import ROOT
from tests.made_up.commands import MEASURE, OWN, network_file


def test_a_users_own_network_is_measured(cli, tmp_path):
    found = cli(
        "measure", "--network", network_file(tmp_path, OWN), "--perturbation", "sign_flip:0.5", "--out", tmp_path / "run"
    )
    assert found.code == 0
    row = pq.read_table(next((tmp_path / "run" / "parts").rglob("*.parquet"))).to_pylist()[0]
    assert (row["network"], row["dataset"], row["split"], row["layer"]) == ("mine", "own", "test", "weight")


RECURRENT = """
    class Recurrent(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = torch.nn.LSTM(2, 4, batch_first=True), torch.nn.Linear(4, 3)
            self.place, self.spare = torch.nn.Parameter(torch.zeros(1, 2)), torch.nn.Linear(3, 3)
        def forward(self, x):
            return self.head(self.rnn(x + self.place)[0][:, -1])
    torch.manual_seed(0)
    return sb.Network(Recurrent().eval(), torch.randn(9, 3, 2), torch.arange(9) % 3, name="mine")"""


def test_a_recurrent_network_is_measured_whole_and_what_is_not_measured_is_said_once(cli, tmp_path):
    spec = network_file(tmp_path, RECURRENT.strip())
    found = cli("measure", "--network", spec, "--perturbation", "quantize:2", "--out", tmp_path / "run")
    assert found.code == 0
    table = pq.read_table(next((tmp_path / "run").glob("layers*.parquet"))).to_pylist()
    assert [row["layer"] for row in table] == ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "head"]
    assert found.err.count("not measured") == 1
    assert (
        "mine: not measured: place (meets the examples entry by entry only (added, joined or scaled)), spare (never read)\n"
    ) in found.err


def test_a_network_that_has_no_accuracy_to_lose_is_said_at_once_and_has_no_areas(cli, tmp_path):
    spec, run = network_file(tmp_path, RECURRENT.strip()), tmp_path / "run"
    found = cli(
        "measure",
        "--network",
        spec,
        "--network",
        "digits_mlp",
        "--perturbation",
        "quantize:2",
        "--examples",
        9,
        "--out",
        run,
    )
    said = "right in 3 of 9 answers, no better than always answering the largest class: it has no accuracy to lose"
    assert found.code == 0
    assert f"network 'mine': {said}: drops are measured, areas and what follows from them are not\n" in found.err
    assert "digits_mlp': right" not in found.err
    assert "Share of the accuracy above chance" not in found.out
    assert cli("pack", run, "--out", tmp_path / "tree").err.endswith(f"{said}\n")


def test_a_network_file_without_the_named_function_is_named(cli, tmp_path):
    spec = network_file(tmp_path, OWN).replace(":build", ":bulid")
    found = cli("measure", "--network", spec, "--out", tmp_path / "run")
    path = spec.removesuffix(":bulid")
    assert (found.code, found.err) == (2, f"Error: {spec}: '{path}' defines no function 'bulid'. Did you mean 'build'?\n")


def test_an_empty_output_folder_is_as_good_as_none(cli, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "tree").mkdir()
    assert cli(*MEASURE, "--out", tmp_path / "run").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
    assert cli("verify", tmp_path / "tree", "--rows", 2).code == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise OSError('disk')", "{spec}: the function raised OSError: disk (net.py:4, in build)"),
        ("raise SystemExit", "{spec}: the function raised SystemExit (net.py:4, in build)"),
        ("return 3", "{spec}: returned a int; expected sb.Network(model, inputs, labels, name=...)"),
        ("return sb.Network(torch.nn.Linear(2, 2), torch.zeros(1, 2), torch.zeros(1).long())", "{spec}: the function raised BadInput: network 'own': the model itself is in training mode; call model.eval() first"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.zeros(2, 2), torch.tensor([0, 2]))", "{spec}: the function raised BadInput: network 'own': labels from 0 to 2; expected 0 to 1"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.zeros(2, 2).byte(), torch.tensor([0, 1]))", "{spec}: the function raised BadInput: network 'own': running one example raised RuntimeError: mat1 and mat2 must have the same dtype, but got Byte and Float (it was given torch.uint8 (1, 2); integers stay what they are: inputs.float() gives numbers, scaled as in training)"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.full((2, 2), torch.nan), torch.tensor([0, 1]))", "{spec}: the function raised BadInput: network own, evaluation: images hold NaN or infinite values"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.zeros(0, 2), torch.zeros(0).long())", "{spec}: the function raised BadInput: network own, evaluation: 0 images and 0 labels; expected as many, at least one"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval(), torch.zeros(2, 2), torch.zeros(2))", "{spec}: the function raised BadInput: network own, evaluation: labels are torch.float32 (2,); expected int64 (n,) or (n, *positions): labels.long() where they are numbers of classes; regression is not supported, as accuracy of classes is what is measured"),
        ("return sb.Network(torch.nn.Linear(2, 2).eval().half(), torch.zeros(2, 2), torch.tensor([0, 1]))", "{spec}: the function raised BadInput: network 'own': parameter weight is torch.float16; expected float32: call model.float() first, which keeps each number as it is"),
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
    message = f"{path}:build: importing '{path}' failed with ModuleNotFoundError: No module named 'absent_library' (net.py:1, in <module>)"
    assert (found.code, found.err) == (2, f"Error: {message}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def build():\n    pass\ndef _hidden():\n    pass\nasync def other():\n    pass\n@dec\ndef more():\n    pass\n", "build. It defines: build, other, more"),
        ("import torch\n", "FUNC. It defines no function"),
        ("def build(:\n", "FUNC. It defines no function"),
        (None, "FUNC. There is no such file"),
    ],
)  # fmt: skip
def test_a_file_alone_lists_its_functions(cli, tmp_path, text, found):
    path = tmp_path / "net.py"
    if text is not None:
        path.write_text(text)
    for words in (
        ("measure", "--network", path),
        ("score", path, "--network", "digits_mlp"),
        ("score", "snip", "--network", path),
    ):
        ran = cli(*words, "--out", tmp_path / "out")
        told = f"Error: '{path}': a file without a function; expected FILE.py:FUNC, such as {path}:{found}\n"
        assert (ran.code, ran.out, ran.err) == (2, "", told)


def test_a_network_file_may_import_those_beside_it_at_once_and_later(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "beside_at_once.py").write_text("import torch\nmodel = torch.nn.Linear(4, 3).eval()\n")
    (tmp_path / "beside_later.py").write_text("import torch\nimages, labels = torch.randn(30, 4), torch.arange(30) % 3\n")
    spec = network_file(
        tmp_path,
        "import beside_later as later; return sb.Network(beside_at_once.model, later.images, later.labels, name='mine')",
    )
    path = tmp_path / "net.py"
    path.write_text(f"import beside_at_once\n{path.read_text()}")
    found = cli("measure", "--network", spec, "--perturbation", "quantize:2", "--out", tmp_path / "run")
    assert found.code == 0, found.err


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
    assert found.code == 2
    assert found.err.endswith("Error: perturbation 'breaks' returned float64 (4,); expected float64 (3, 4)\n")
    assert not list(run.glob("parts/*/*"))


def test_a_run_ends_with_its_most_fragile_layers_and_their_plot(cli, tmp_path):
    run = tmp_path / "run"
    words = ("--perturbation", "gaussian_noise:1,4", "--perturbation", "quantize:3,2", "--draws", 6, "--examples", 50)
    lines = cli("measure", "--network", "digits_mlp", *words, "--out", run).out.splitlines()
    assert lines[2:4] == ["digits_mlp", next(line for line in lines if line.startswith("layer "))]
    assert lines[3].split() == ["layer", "parameters", "mean", "gaussian_noise", "quantize"]
    assert re.fullmatch(r"hidden\.\d\.0 +10\.6% +0\.\d{3} ± \d\.\d{3} +0\.\d{3} ± \d\.\d{3} +0\.\d{3} ± 0\.\d{3}", lines[5])
    assert any(line.startswith("Most fragile: hidden.") for line in lines)
    assert {path.name for path in run.glob("fragile-*")} == {"fragile-digits_mlp.png", "fragile-digits_mlp.svg"}


def test_a_dry_run_measures_nothing_and_says_what_a_run_costs(cli, tmp_path):
    found = cli(*MEASURE, "--network", "digits_cnn", "--dry-run", "--out", tmp_path / "run")
    lines = found.out.splitlines()
    assert found.code == 0
    assert found.err.startswith("Measures a sample first: about 1 min 0 s at most, beside what tracing takes.\n")
    assert lines[0].split() == ["network", "probes", "time", "disk", "memory"]
    assert [line.split()[:2] for line in lines[2:4]] == [["digits_mlp", "20"], ["digits_cnn", lines[3].split()[1]]]
    assert lines[4].split()[:2] == ["all", str(20 + int(lines[3].split()[1]))]
    assert lines[5] == "1 worker on this machine, with nothing else at work; nothing was measured."
    assert not (tmp_path / "run").exists()
    drawn = cli(
        "measure", "--network", "digits_mlp", "--perturbation", "sign_flip:0.1", "--dry-run", "--out", tmp_path / "run"
    )
    assert re.fullmatch(r"Time by draws a level: 1: [^,:]+(, (2|4|8|16|32): [^,:]+){5}", drawn.out.splitlines()[3])


@pytest.mark.long
def test_draws_follow_a_reliability_and_a_plan_can_be_taken_elsewhere(cli, tmp_path):
    words = ("measure", "--network", "digits_mlp", "--perturbation", "sign_flip:0.03,0.1", "--examples", 30)
    made = cli(*words, "--reliability", 0.9, "--max-draws", 8, "--plan-only", "--out", tmp_path / "a")
    assert made.code == 0
    assert made.out.splitlines()[0] == "digits_mlp: draws of each level, mild to severe"
    assert re.search(r"^sign_flip +\d \d +0\.\d\d$", made.out, re.MULTILINE)
    assert not (tmp_path / "a" / "run.json").exists()
    ended = cli(*words, "--reliability", 0.9, "--max-draws", 8, "--out", tmp_path / "a")
    shards = [
        cli(*words, "--plan", tmp_path / "a" / "draws.json", "--shard", f"{i}/2", "--out", tmp_path / f"s{i}")
        for i in (1, 2)
    ]
    assert [ran.code for ran in (ended, *shards)] == [0, 0, 0]
    for runs, tree in (([tmp_path / "a"], "whole"), ([tmp_path / "s1", tmp_path / "s2"], "merged")):
        assert cli("pack", *runs, "--out", tmp_path / tree).code == 0
    assert load_tree(tmp_path / "whole").revision == load_tree(tmp_path / "merged").revision


@pytest.mark.parametrize("more", [("--draws", 2), ("--first-draw", 4), ("--plan", "draws.json")])
def test_ways_to_say_how_many_draws_exclude_each_other(cli, tmp_path, more):
    found = cli(*MEASURE, "--reliability", 0.9, *more, "--out", tmp_path / "run")
    message = "--draws, --first-draw, --reliability and --plan each say how many draws; give one of them"
    assert (found.code, found.err) == (2, f"Error: {message}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", [("--draws", 2), ("--plan", "draws.json"), ()])
def test_a_plan_alone_needs_a_reliability(cli, tmp_path, how):
    found = cli(*MEASURE, "--plan-only", *how, "--out", tmp_path / "run")
    message = "--plan-only: the plan is that of a reliability; give --reliability too, such as --reliability 0.9"
    assert (found.code, found.err) == (2, f"Error: {message}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("reliability", [0, -1, 2])
@pytest.mark.parametrize("more", [(), ("--plan-only",), ("--dry-run",)])
def test_a_reliability_out_of_range_is_named(cli, tmp_path, reliability, more):
    found = cli(*MEASURE, "--reliability", reliability, *more, "--out", tmp_path / "run")
    message = f"reliability {reliability}; expected a number between 0 and 1, such as 0.9"
    assert (found.code, found.err.splitlines()[-1]) == (2, f"Error: {message}")
    assert not (tmp_path / "run").exists()


def test_a_decorated_function_of_a_users_file_is_a_network(cli, tmp_path):
    spec = network_file(tmp_path, OWN)
    path = tmp_path / "net.py"
    path.write_text(path.read_text().replace("def build", "@sb.network(dataset='own', family='own')\ndef build"))
    found = cli("measure", "--network", spec, "--perturbation", "quantize:2", "--out", tmp_path / "run")
    assert found.code == 0
    assert (
        found.out.splitlines()[-1] == f"1 probe in {tmp_path / 'run'}. Next: safer-bench pack {tmp_path / 'run'} --out TREE"
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
    last = f"Interrupted. What is finished is kept; repeat the command to resume: {command}"
    assert (found.code, found.err.strip().splitlines()[-1]) == (130, last)
    assert (tmp_path / "run" / "log.txt").read_text().endswith("interrupted\n")
    assert len(list((tmp_path / "run" / "parts" / "digits_mlp").iterdir())) == 2
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    calls.clear()
    assert cli(*MEASURE, "--out", tmp_path / "run").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
