"""A run measures one network: what answers otherwise, or is made by other files, is found wherever parts come together."""

import json
import pickle
import shutil

import pytest
import torch
from torch import nn

from safer_bench.dataset.pack import pack
from safer_bench.errors import BadInput
from safer_bench.measurement.design import Shard, make_protocol
from safer_bench.measurement.identity import Identity, clean_answers
from safer_bench.measurement.pilot import make_plan
from safer_bench.measurement.run import measure_into
from safer_bench.measurement.work import Worker, job_of
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.truth.request import other_answers
from safer_bench.truth.run_folder import RunFolder, Unit
from tests.made_up.networks import tiny_network
from tests.made_up.run_folders import as_before

NET = """import torch, safer_bench as sb
import acts
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(6, 5), torch.nn.Linear(5, 3)
    def forward(self, x):
        return self.b(acts.act(self.a(x)))
def build():
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(40, 6, generator=g)
    labels = net.b(torch.relu(net.a(x))).argmax(1)
    return sb.Network(net, x, labels, name="mine")
"""
SHRINK = """import safer_bench as sb
@sb.perturbation(levels=(0.5, 0.1), scale="linear", unit="share", source="mine")
def shrink(weight, level, rng):
    from factors import factor
    return weight * level * factor
"""


@pytest.fixture
def own(tmp_path):
    """A network and a perturbation in files, each with one beside it; returns (spec, protocol) makers."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    (folder / "acts.py").write_text("import torch\ndef act(x): return torch.relu(x)\n")
    (folder / "shrink.py").write_text(SHRINK)
    (folder / "factors.py").write_text("factor = 1.0\n")
    return folder


def run(own, out, **more):
    protocol = make_protocol([f"{own / 'shrink.py'}:shrink", "sign_flip:0.5"], draws=2, n_examples=20)
    measure_into(out, [load_network(f"{own / 'net.py'}:build")], protocol, **more)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.parquet")}


def tanh(own):
    (own / "acts.py").write_text("import torch\ndef act(x): return torch.tanh(x)\n")


def test_a_file_that_a_network_or_a_perturbation_imports_is_part_of_the_request(own, tmp_path):
    run(own, tmp_path / "run")
    before = content(tmp_path / "run")
    request = RunFolder(tmp_path / "run").request()
    assert set(request["files"]["networks"]["mine"]) == {"net.py", "acts.py"}
    assert set(request["files"]["perturbations"]["shrink"]) == {"shrink.py", "factors.py"}
    assert request["files"]["perturbations"]["sign_flip"] == {}
    for file, text, needed_by in (
        ("acts.py", "import torch\ndef act(x): return torch.tanh(x)\n", "network 'mine'"),
        ("factors.py", "factor = 2.0\n", "perturbation 'shrink'"),
    ):
        was = (own / file).read_text()
        (own / file).write_text(text)
        with pytest.raises(
            BadInput, match=rf"run: {file}, which {needed_by} needs, is another file now \(SHA-256 .*; restore it as"
        ):
            run(own, tmp_path / "run")
        (own / file).write_text(was)
    run(own, tmp_path / "run")
    assert content(tmp_path / "run") == before


def test_a_network_that_answers_otherwise_by_equal_weights_is_refused_on_resume(tmp_path):
    """It comes from no file: what it answers is all that tells."""

    def network(act):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 8), act, nn.Linear(8, 3)).eval()
        return Network(model, torch.randn(40, 6), torch.arange(40) % 3, name="mine")

    protocol = make_protocol(["sign_flip:0.5"], 2, 20)
    measure_into(tmp_path, [network(nn.ReLU())], protocol)
    with pytest.raises(
        BadInput, match=r"network 'mine' answers otherwise now, by equal weights and inputs \(logit 0 of example 0 is "
    ):
        measure_into(tmp_path, [network(nn.Tanh())], protocol)
    measure_into(tmp_path, [network(nn.ReLU())], protocol)


def test_a_folder_of_before_goes_on_and_there_outcomes_tell_another_network(own, tmp_path):
    run(own, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "old")
    as_before(tmp_path / "old")
    missing = next((tmp_path / "old" / "parts" / "mine").glob("000020-0001.*"))
    missing.unlink()
    text = (own / "acts.py").read_text()
    tanh(own)
    with pytest.raises(
        BadInput, match=r"old: network 'mine' answers otherwise now, .* \(others of its examples are right\): .*; restore"
    ):
        run(own, tmp_path / "old")
    (own / "acts.py").write_text(text)
    kept = (tmp_path / "old" / "run.json").read_bytes()
    run(own, tmp_path / "old")
    assert sorted(content(tmp_path / "old").values()) == sorted(content(tmp_path / "whole").values())
    assert (tmp_path / "old" / "run.json").read_bytes() == kept
    for name in ("whole", "old"):
        pack([tmp_path / name], [], tmp_path / f"{name}-tree")
    assert content(tmp_path / "old-tree") == content(tmp_path / "whole-tree")


def test_a_worker_that_builds_another_network_is_told_apart(own):
    network = load_network(f"{own / 'net.py'}:build")
    job = job_of([network], make_protocol(["sign_flip:0.5"], 1), fast=False)
    (own / "acts.py").write_text("import torch\ndef act(x): return torch.tanh(x)  # otherwise\n")
    with pytest.raises(BadInput, match=r"network 'mine': .*net.py:build is made by another acts.py in another process; "):
        Worker(job).measure(Unit("mine", 0, 60, 0))
    known = Identity.of(network)
    other = Identity(known.weights, known.inputs, {**known.clean, "outcomes": "0" * 64}, known.files)
    assert known.difference(other) == "answers otherwise"
    assert known.difference(Identity.of(network)) is None


def test_a_worker_whose_perturbation_was_edited_after_the_run_began_is_told_apart(own):
    """Workers are spawned, and may be spawned again hours later."""
    job = job_of([tiny_network()], make_protocol([f"{own / 'shrink.py'}:shrink", "sign_flip:0.5"], 1), fast=False)
    Worker(pickle.loads(pickle.dumps(job)))
    for file in ("factors.py", "shrink.py"):
        was = (own / file).read_text()
        (own / file).write_text(was + "# otherwise\n")
        with pytest.raises(
            BadInput, match=rf"^perturbation 'shrink' is made by another {file} in another process; edit no "
        ):
            Worker(pickle.loads(pickle.dumps(job)))
        (own / file).write_text(was)


@pytest.mark.parametrize("kept", [1, 3])
def test_a_perturbation_that_does_otherwise_by_equal_files_is_refused_on_resume(tmp_path, kept):
    """What it reads is no part of the request; the digests of a part that is there tell."""
    (tmp_path / "shrink.py").write_text(
        "import pathlib\nimport safer_bench as sb\n"
        "@sb.perturbation(levels=(0.5, 0.1), scale='linear', unit='share', source='mine')\n"
        "def shrink(weight, level, rng):\n"
        "    return weight * level * float(pathlib.Path(__file__).with_name('factor.txt').read_text())\n"
    )
    factor, out = tmp_path / "factor.txt", tmp_path / "run"
    again = lambda: measure_into(out, [tiny_network()], make_protocol([f"{tmp_path / 'shrink.py'}:shrink"], 2, 10))  # noqa: E731
    factor.write_text("1")
    again()
    before = content(out)
    for path in sorted((out / "parts").rglob("*.parquet"))[kept:]:
        path.unlink()
    factor.write_text("2")
    with pytest.raises(BadInput, match=r"run: perturbation 'shrink' gives other weights now, by equal files \(network "):
        again()
    factor.write_text("1")
    again()
    assert content(out) == before


def test_shards_of_two_networks_are_refused_by_pack(own, tmp_path):
    run(own, tmp_path / "1", shard=Shard(1, 2))
    (own / "net.py").write_text(NET.replace("return self.b(", "return 1.01 * self.b("))
    run(own, tmp_path / "2", shard=Shard(2, 2))
    with pytest.raises(
        BadInput, match=r"2 and .*1 contradict each other: network 'mine' answers otherwise now, .*; measure both by the"
    ):
        pack([tmp_path / "1", tmp_path / "2"], [], tmp_path / "tree")


def test_a_shard_of_before_is_one_of_the_same_run_and_files_of_those_that_tell_are_compared(own, tmp_path):
    run(own, tmp_path / "whole")
    for number in (1, 2, 3):
        run(own, tmp_path / str(number), shard=Shard(number, 3))
    folders = [tmp_path / str(number) for number in (1, 2, 3)]
    as_before(folders[1])
    pack(folders, [], tmp_path / "tree")
    pack([tmp_path / "whole"], [], tmp_path / "whole-tree")
    assert content(tmp_path / "tree") == content(tmp_path / "whole-tree")
    as_before(
        folders[2],
        keep=True,
        change=lambda facts: facts["request"]["files"]["networks"]["mine"].update({"acts.py": "0" * 64}),
    )
    with pytest.raises(
        BadInput, match=r"3 and .*1, shards of one run, contradict each other: acts.py, which network 'mine' "
    ):
        pack(folders, [], tmp_path / "refused")


def test_runs_of_two_versions_of_a_perturbation_are_refused_by_pack(own, tmp_path):
    run(own, tmp_path / "1")
    (own / "factors.py").write_text("factor = 2.0\n")
    run(own, tmp_path / "2")
    with pytest.raises(
        BadInput, match=r"contradict each other: factors.py, which perturbation 'shrink' needs, is another file now"
    ):
        pack([tmp_path / "1", tmp_path / "2"], [], tmp_path / "tree")


def test_a_shard_with_other_last_digits_is_the_same_run(tmp_path):
    protocol = make_protocol(["sign_flip:0.5"], 2, 15)
    for number in (1, 2):
        measure_into(tmp_path / str(number), [tiny_network()], protocol, shard=Shard(number, 2))
    path = tmp_path / "2" / "run.json"
    as_before(tmp_path / "2", keep=True, change=lambda facts: facts["request"]["clean"]["tiny"]["logits"][0].__setitem__(
        0, facts["request"]["clean"]["tiny"]["logits"][0][0] * (1 + 1e-6)))  # fmt: skip
    assert path.read_bytes() != (tmp_path / "1" / "run.json").read_bytes()
    pack([tmp_path / "1", tmp_path / "2"], [], tmp_path / "tree")
    measure_into(tmp_path / "2", [tiny_network()], protocol, shard=Shard(2, 2))


def test_a_plan_made_by_other_code_is_refused(own, tmp_path):
    network, wanted = load_network(f"{own / 'net.py'}:build"), make_protocol(["quantize:2,4"])
    plan = make_plan(tmp_path / "plan", [network], wanted, 0.9, 8)
    assert plan.protocol(wanted, [network]).draws == {"mine": {"quantize": [1, 1]}}
    tanh(own)
    with pytest.raises(BadInput, match=r"the plan was made for other code: network 'mine' answers otherwise"):
        plan.protocol(wanted, [load_network(f"{own / 'net.py'}:build")])


def test_clean_answers_are_compared_by_a_tolerance_of_the_largest():
    torch.manual_seed(0)
    model = nn.Linear(4, 12).eval()
    network = Network(model, torch.randn(100, 4), torch.arange(100) % 12, name="wide")
    record = clean_answers(network)
    assert [len(row) for row in record["logits"]] == [8, 8, 8]
    assert record["examples"] == 64
    with torch.no_grad():
        expected = model.double()(network.inputs[:3].double())[:, :8]
    assert torch.allclose(torch.tensor(record["logits"], dtype=torch.float64), expected, rtol=1e-5)
    largest = max(abs(value) for row in record["logits"] for value in row)
    for change, found in ((0.9e-4, None), (1.2e-4, "logit 3 of example 1 is ")):
        other = json.loads(json.dumps(record))
        other["logits"][1][3] += change * largest
        told = other_answers({"wide": record}, {"wide": other})
        assert told is None if found is None else found in told
    masked = {**record, "logits": [["-inf", "nan", 1.0]]}
    assert other_answers({"wide": masked}, {"wide": json.loads(json.dumps(masked))}) is None
    assert "logit 0 of example 0 is inf, was -inf" in other_answers(
        {"wide": masked}, {"wide": {**masked, "logits": [["inf", "nan", 1.0]]}}
    )
