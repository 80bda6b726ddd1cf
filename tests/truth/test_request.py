"""run.json and draws.json as input: whatever is done to them, a command says the same as before or refuses in one message."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.pilot import DrawPlan, make_plan
from safer_bench.measurement.run import measure_into
from safer_bench.networks.loading import load_network
from safer_bench.truth.run_folder import RunFolder
from tests.made_up.commands import OWN, network_file
from tests.made_up.mutations import mutations
from tests.made_up.run_folders import as_before

SPECS = ("sign_flip:0.1,0.5", "quantize:2")
WORDS = [word for spec in SPECS for word in ("--perturbation", spec)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run with its plan, of a user's own network."""
    folder = tmp_path_factory.mktemp("made")
    spec = network_file(
        folder, OWN.replace("torch.nn", "torch.manual_seed(0) and torch.nn").replace("torch.arange(30) % 3", "labels")
    )
    path = folder / "net.py"
    path.write_text(path.read_text().replace("    return sb", "    images = torch.randn(30, 4, generator=generator)\n    labels = model(images).argmax(1)\n    return sb").replace("torch.randn(30, 4, generator=generator), labels", "images, labels"))  # fmt: skip
    network, wanted = load_network(spec), make_protocol(SPECS, n_examples=15, deterministic_examples=15)
    plan = make_plan(folder / "run", [network], wanted, 0.9, 8)
    measure_into(folder / "run", [network], plan.protocol(wanted, [network]))
    return spec, folder / "run"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def check_all(cli, spec, run, tmp_path, name, commands, n, seed=0):
    """Run one of two commands with each mutation of a file."""
    whole, path, same, refused = (run / name).read_bytes(), run / name, 0, 0
    parts, trees = content(run), {}
    pristine = {file: (run / file).read_bytes() for file in ("run.json", "draws.json")}
    for key, words in commands(spec, run, tmp_path).items():
        found = cli(*words)
        assert found.code == 0, found.err
        trees[key] = content(tmp_path / "tree") if key == "pack" else parts
    for number, mutation in enumerate(mutations(whole, n, seed)):
        for key, words in list(commands(spec, run, tmp_path).items())[number % 2 :: 2]:
            path.write_bytes(mutation.data)
            shutil.rmtree(tmp_path / "tree", ignore_errors=True)
            found = cli(*words)
            assert found.code in (0, 2), (mutation.name, found)
            assert "Traceback" not in found.err
            assert content(run) == parts, f"{mutation.name}: {key} changed the run"
            if found.code == 2:
                refused += 1
                lines = [line for line in found.err.splitlines() if not line.startswith(" ") and line]
                assert lines[-1].startswith("Error: "), (mutation.name, found.err)
                assert len(found.err) < 2000, mutation.name
                assert not (tmp_path / "tree").exists()
            else:
                same += 1
                assert mutation.neutral, f"{mutation.name}: {key} took it"
                assert (content(tmp_path / "tree") if key == "pack" else content(run)) == trees[key], mutation.name
            for file, data in pristine.items():
                (run / file).write_bytes(data)
    assert refused > 0.8 * (same + refused)


def of_run(spec, run, tmp_path):
    return {
        "measure": ("measure", "--network", spec, *WORDS, "--examples", 15, "--plan", run / "draws.json", "--out", run),
        "pack": ("pack", run, "--out", tmp_path / "tree"),
    }


def of_plan(spec, run, tmp_path):
    words = ("measure", "--network", spec, *WORDS, "--examples", 15)
    return {
        "plan": (*words, "--plan", run / "draws.json", "--out", run),
        "reliability": (*words, "--reliability", 0.9, "--max-draws", 8, "--out", run),
    }


@pytest.mark.parametrize(("name", "commands"), [("run.json", of_run), ("draws.json", of_plan)])
def test_mutations_are_refused_or_change_nothing(cli, made, tmp_path, monkeypatch, name, commands):
    monkeypatch.setattr(sys.modules["safer_bench.cli.measure"], "_show_fragile", lambda *_: None)  # plots take long
    check_all(cli, made[0], shutil.copytree(made[1], tmp_path / "run"), tmp_path, name, commands, 30)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "commands", "n"), [("run.json", of_run, 550), ("draws.json", of_plan, 500)])
def test_a_thousand_mutations_are_refused_or_change_nothing(cli, made, tmp_path, monkeypatch, name, commands, n):
    monkeypatch.setattr(sys.modules["safer_bench.cli.measure"], "_show_fragile", lambda *_: None)
    spec, run = made[0], shutil.copytree(made[1], tmp_path / "run")
    check_all(cli, spec, run, tmp_path, name, commands, n, seed=1)


def test_mutations_of_files_of_before_end_in_no_traceback(made, tmp_path):
    """They have no seal: what another seed or number of draws would be taken for, only a resumed run can tell."""
    run = shutil.copytree(made[1], tmp_path / "run")
    as_before(run)
    whole, refused = (run / "run.json").read_bytes(), 0
    for mutation in mutations(whole, 400, seed=2):
        (run / "run.json").write_bytes(mutation.data)
        try:
            RunFolder(run).probes()
        except BadInput:
            refused += 1
    assert refused > 300


def test_edited_files_are_told_apart_from_damaged_ones(made, tmp_path):
    run = shutil.copytree(made[1], tmp_path / "run")
    facts = json.loads((run / "run.json").read_text())
    for change, message in [
        (lambda: facts["request"].update(seed=5), "damaged (edited: its sha256 is not that of its request); restore it, or measure again in a new folder"),
        (lambda: facts.pop("sha256"), "damaged (edited: its sha256 is not that of its request); restore it, or measure again in a new folder"),
        (lambda: facts["request"].update(newer=1), "damaged (request.newer is not a known field (found 1)); measure again in a new folder"),
        (lambda: facts["request"].update(newer=1, seed=True), "damaged (request.seed: found True; expected a whole number); measure again in a new folder"),
    ]:  # fmt: skip
        change()
        (run / "run.json").write_text(json.dumps(facts))
        with pytest.raises(BadInput) as error:
            RunFolder(run).request()
        assert str(error.value) == f"{run / 'run.json'}: {message}"
    plan = json.loads((run / "draws.json").read_text())
    plan["draws"]["mine"]["sign_flip"][0] = 2
    (run / "draws.json").write_text(json.dumps(plan))
    with pytest.raises(
        BadInput, match=r"draws.json: damaged \(edited: its sha256 is not that of its request\); restore it, or remove it"
    ):
        DrawPlan.read(run / "draws.json")
    (run / "draws.json").write_text('{"task": "quantize", "version": 1}')
    with pytest.raises(BadInput) as error:
        DrawPlan.read(run / "draws.json")
    expected = "what layers get, by `safer-bench plan`; expected the draws.json of `measure --plan-only`"
    assert str(error.value) == f"{run / 'draws.json'}: {expected}"


def test_a_plan_of_before_is_read(made, tmp_path):
    plan = json.loads((made[1] / "draws.json").read_text())
    del plan["sha256"], plan["request"]["files"], plan["request"]["clean"]
    (tmp_path / "draws.json").write_text(json.dumps(plan))
    network, wanted = load_network(made[0]), make_protocol(SPECS, n_examples=15, deterministic_examples=15)
    expected = DrawPlan.read(made[1] / "draws.json").protocol(wanted, [network])
    assert DrawPlan.read(tmp_path / "draws.json").protocol(wanted, [network]).draws == expected.draws


@pytest.mark.parametrize("seed", [2**63, -(2**70), True])
def test_a_seed_that_no_file_could_hold_is_refused_before_anything_is_written(tmp_path, made, seed):
    with pytest.raises(BadInput, match="this cannot be measured into a folder: seed: found "):
        measure_into(tmp_path / "run", [load_network(made[0])], make_protocol(["quantize:2"], seed=seed))
    assert not (tmp_path / "run" / "run.json").exists()
