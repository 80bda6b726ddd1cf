"""What installed packages offer is found by name, loaded when asked for, recorded, and stops nothing where it is broken."""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256

import pytest
import yaml

from safer_bench import packages
from safer_bench.catalogue import describe, list_entries, not_listed
from safer_bench.criteria.loading import criteria, parse_criterion
from safer_bench.errors import BadInput, UnknownName
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.remeasure import remeasure
from safer_bench.measurement.run import measure_into
from safer_bench.measurement.work import Worker, job_of
from safer_bench.networks.loading import load_network, zoo_networks
from safer_bench.packages import BrokenPackage
from safer_bench.perturbations.loading import parse_perturbation, perturbation_called, perturbations
from safer_bench.registry import error_text
from safer_bench.truth.run_folder import RunFolder, Unit
from tests.conftest import ROOT
from tests.made_up.distributions import distribution, whole_distribution


@pytest.fixture(autouse=True)
def as_before():
    """Leave no module of a test behind."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("made_up_"):
            del sys.modules[name]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that offers a criterion, a perturbation and a network."""
    monkeypatch.syspath_prepend(str(whole_distribution(tmp_path / "site", "made_up_whole")))
    return tmp_path / "site" / "made_up_whole"


def offering(tmp_path, monkeypatch, points, package="made_up_odd", **modules):
    monkeypatch.syspath_prepend(str(distribution(tmp_path / f"site_{package}", package, points, **modules)))


def digests(package, version="1.0"):
    files = sorted(package.glob("*.py"))
    return {f"made_up_whole {version}/made_up_whole/{path.name}": sha256(path.read_bytes()).hexdigest() for path in files}


def test_offers_are_listed_after_built_in_entries_and_nothing_of_the_package_is_imported(installed, cli):
    for kind, name, built_in in (
        ("criteria", "whole_sum", criteria()),
        ("perturbations", "shrunk", perturbations()),
        ("networks", "ours", zoo_networks()),
    ):
        assert list_entries(kind) == [*built_in, name]
        listed = cli("list", kind)
        assert (listed.code, listed.out.split()[-1], listed.err) == (0, name, "")
    assert not [name for name in sys.modules if name.startswith("made_up_whole")]


def test_info_tells_the_package_and_imports_that_entry_alone(installed):
    found = describe("shrunk")
    assert (found["kind"], found["what"], found["package"]) == ("perturbations", "Smaller by a factor.", "made_up_whole 1.0")
    assert "made_up_whole.code" not in sys.modules
    assert describe("whole_sum")["what"] == "The sum of the absolute weights."
    network = describe("ours")
    assert (network["n_layers"], network["layer hidden"], network["loads"]) == (3, "8x48", "made_up_whole.code:ours")


def test_built_in_entries_stay_what_they_are_by_default(installed):
    assert "shrunk" not in perturbations()
    assert "shrunk" not in [entry.name for entry, _ in make_protocol([]).perturbations]


def test_measured_by_name_and_recorded_by_distribution_version_and_files(installed, cli, tmp_path):
    words = ("measure", "--network", "ours", "--perturbation", "shrunk:0.5", "--perturbation", "sign_flip:0.3", "--draws", 2)
    assert cli(*words, "--out", tmp_path / "run").code == 0
    request = json.loads((tmp_path / "run" / "run.json").read_text())["request"]
    assert request["files"] == {
        "networks": {"ours": digests(installed)},
        "perturbations": {"shrunk": digests(installed), "sign_flip": {}},
    }
    assert request["sources"] == {"shrunk": sha256((installed / "noise.py").read_bytes()).hexdigest()}
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
    verified = cli("verify", tmp_path / "tree", "--rows", 9)
    assert (verified.code, verified.out.splitlines()[-1]) == (0, "9 of 9 rows equal")


def test_a_run_does_not_go_on_by_other_files_of_the_package_or_another_version(installed, tmp_path, monkeypatch, cli):
    words = ("measure", "--network", "digits_mlp", "--perturbation", "shrunk", "--deterministic-examples", 9)
    words += ("--out", tmp_path / "run")
    assert cli(*words).code == 0
    (installed / "parts.py").write_text("half = 0.25\n")
    packages.digests_at.cache_clear()
    found = cli(*words)
    now, was = (sha256(f"half = {value}\n".encode()).hexdigest()[:16] for value in ("0.25", "0.5"))
    assert (found.code, found.err) == (
        2,
        f"Error: {tmp_path / 'run'}: made_up_whole 1.0/made_up_whole/parts.py, which perturbation 'shrunk' needs, is another "
        f"file now (SHA-256 {now}, was {was}); restore it as it was to finish the run, or use a new folder\n",
    )
    shutil.rmtree(installed.parent)
    monkeypatch.syspath_prepend(str(whole_distribution(tmp_path / "newer", "made_up_whole", "1.1")))
    for name in [name for name in sys.modules if name.startswith("made_up_whole")]:
        monkeypatch.delitem(sys.modules, name)
    assert "made_up_whole 1.0/made_up_whole/__init__.py, which perturbation 'shrunk' needs" in cli(*words).err


def test_scored_by_name_and_recorded_on_the_card(installed, cli, tmp_path):
    out = tmp_path / "mine"
    assert cli("score", "whole_sum", "l2_norm", "--network", "ours", "--out", out).code == 0
    card = yaml.safe_load((out / "submission.yaml").read_text())
    assert [(item["name"], item["package"], item["source"]) for item in card["criteria"]] == [
        ("whole_sum", "made_up_whole 1.0", "made_up_whole 1.0 (made_up_whole.code:whole_sum)"),
        ("l2_norm", "", criteria()["l2_norm"].source),
    ]
    assert card["files"] == digests(installed)


@pytest.mark.long
def test_other_processes_load_by_name_too(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed.parent), str(ROOT)]))
    network, protocol = load_network("ours"), make_protocol(["shrunk", perturbation_called("shrunk")][:1])
    assert make_protocol([perturbation_called("shrunk")]).specs == ("shrunk",)
    measure_into(tmp_path / "one", [network], protocol)
    measure_into(tmp_path / "two", [network], protocol, workers=2)
    one, two = (sorted((tmp_path / name / "parts").rglob("*.parquet")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert len(one) == len(RunFolder(tmp_path / "one").units())


def test_a_worker_refuses_a_package_that_is_another_there(installed):
    job = job_of([load_network("ours")], make_protocol(["shrunk"]), fast=False)
    job.files["shrunk"]["made_up_whole 1.0/made_up_whole/parts.py"] = "0" * 64
    with pytest.raises(BadInput) as error:
        Worker(job)
    assert str(error.value) == (
        "perturbation 'shrunk' is made by another made_up_whole 1.0/made_up_whole/parts.py in another process; edit no file "
        "meanwhile, and restore it to finish the run"
    )
    job.files["shrunk"] = digests(installed)
    job.identities["ours"].files["made_up_whole 1.0/made_up_whole/code.py"] = "0" * 64
    with pytest.raises(BadInput, match=r"ours is made by another made_up_whole 1\.0/made_up_whole/code\.py in another"):
        Worker(job).measure(Unit("ours", 0, 60, 0))


def test_rows_whose_package_is_gone_or_broken_are_absent(installed, tmp_path, monkeypatch, cli):
    words = ("measure", "--network", "digits_mlp", "--perturbation", "shrunk", "--deterministic-examples", 9)
    assert cli(*words, "--out", tmp_path / "run").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(installed.parent)])
    gone = cli("verify", tmp_path / "tree", "--rows", 1)
    assert gone.code == 2
    assert "absent: no perturbation is called 'shrunk'." in gone.out
    offering(tmp_path, monkeypatch, "[safer_bench.perturbations]\nshrunk = made_up_odd.nowhere:shrunk\n")
    assert "absent: perturbation 'shrunk' of package made_up_odd 1.0" in cli("verify", tmp_path / "tree", "--rows", 1).out
    row = {"network": "digits_mlp", "layer": "fc1", "layer_index": 0}
    offering(tmp_path, monkeypatch, "[safer_bench.networks]\ntheirs = made_up_net.nowhere:build\n", "made_up_net")
    assert [verdict.outcome for verdict in remeasure([{**row, "network": "theirs"}], {"theirs": {}}, 0)] == ["absent"]


def test_near_misses_of_offered_names_are_suggested(installed):
    for load, name, near in (
        (parse_criterion, "whole_sun", "whole_sum"),
        (parse_perturbation, "shrink", "shrunk"),
        (load_network, "our", "ours"),
    ):
        with pytest.raises(UnknownName, match=f"Did you mean '{near}'"):
            load(name)


BROKEN = """[safer_bench.criteria]
raises = made_up_odd.bad:score
exits = made_up_odd.exits:score
nowhere = made_up_odd.nowhere:score
absent = made_up_odd.plain:absent
number = made_up_odd.plain:number
other = made_up_odd.decorated:mine
[safer_bench.perturbations]
undecorated = made_up_odd.plain:function
[safer_bench.networks]
none = made_up_odd.plain:none
fails = made_up_odd.plain:fails
digits_mlpp = made_up_odd.plain:named
"""
ODD = {
    "bad": "raise OSError('no disk')\n",
    "exits": "raise SystemExit(3)\n",
    "plain": (
        "number = 3\ndef function(): ...\ndef none(): ...\ndef fails(): raise ValueError('no images')\n"
        "def named():\n    from tests.made_up.networks import tiny_network\n    return tiny_network('mine')\n"
    ),
    "decorated": "import safer_bench as sb\n@sb.criterion()\ndef mine(model, batches): ...\n",
}
WHERE = "{kind} '{name}' of package made_up_odd 1.0 (made_up_odd.{target})"


@pytest.mark.parametrize(
    ("load", "kind", "name", "target", "message"),
    [
        (parse_criterion, "criterion", "raises", "bad:score", "importing failed with OSError: no disk (bad.py:1, in <module>); mend or remove the package"),
        (parse_criterion, "criterion", "exits", "exits:score", "importing failed with SystemExit: 3 (exits.py:1, in <module>); mend or remove the package"),
        (parse_criterion, "criterion", "nowhere", "nowhere:score", "importing failed with ModuleNotFoundError: No module named 'made_up_odd.nowhere'; mend or remove the package"),
        (parse_criterion, "criterion", "absent", "plain:absent", "importing failed with AttributeError: module 'made_up_odd.plain' has no attribute 'absent'; mend or remove the package"),
        (parse_criterion, "criterion", "number", "plain:number", "a int; expected a function of (model, batches)"),
        (parse_criterion, "criterion", "other", "decorated:mine", "what it loads is called 'mine'; give it and the entry point one name"),
        (parse_perturbation, "perturbation", "undecorated", "plain:function", "expected a function decorated with @safer_bench.perturbation(...)"),
        (load_network, "network", "none", "plain:none", "returned a NoneType; expected sb.Network(model, inputs, labels, name=...)"),
        (load_network, "network", "fails", "plain:fails", "the function raised ValueError: no images (plain.py:4, in fails)"),
        (load_network, "network", "digits_mlpp", "plain:named", "what it loads is called 'mine'; give it and the entry point one name"),
    ],
)  # fmt: skip
def test_a_broken_entry_is_one_message_and_stops_no_other_command(
    tmp_path, monkeypatch, cli, load, kind, name, target, message
):
    offering(tmp_path, monkeypatch, BROKEN, **ODD)
    with pytest.raises(BadInput) as error:
        load(name)
    assert str(error.value) == f"{WHERE.format(kind=kind, name=name, target=target)}: {message}"
    told = cli("info", name)
    assert (told.code, told.err) == (2, f"Error: {error.value}\n")
    for words in (("list", "criteria"), ("list", "networks"), ("info", "snip"), ("info", "quantize")):
        assert (cli(*words).code, cli(*words).err) == (0, "")


def test_a_built_in_entry_keeps_its_name(tmp_path, monkeypatch, cli):
    points = "[safer_bench.criteria]\nsnip = made_up_odd.nowhere:snip\nown = made_up_odd.nowhere:own\n"
    offering(tmp_path, monkeypatch, points)
    assert parse_criterion("snip") is criteria()["snip"]
    listed = cli("list", "criteria")
    assert (listed.code, listed.out.split()[-1]) == (0, "own")
    assert listed.out.split().count("snip") == 1
    assert listed.err == (
        "Left out: criterion 'snip' of package made_up_odd 1.0 (made_up_odd.nowhere:snip): a built-in criterion has that "
        "name, and keeps it; the package has to give its own another\n"
    )
    assert (cli("list", "perturbations").err, describe("snip")["source"]) == ("", criteria()["snip"].source)


def test_a_name_that_a_control_of_boards_has_cannot_be_scored(tmp_path, monkeypatch, cli):
    offering(tmp_path, monkeypatch, "[safer_bench.criteria]\nreplicate = made_up_odd.plain:replicate\n",
             plain="def replicate(model, batches): ...\n")  # fmt: skip
    scored = cli("score", "replicate", "--network", "digits_mlp", "--out", tmp_path / "scores")
    assert scored.err == (
        "Error: replicate: 'replicate' is the name of a control that evaluation adds; rename the function\n"
    )


def test_of_two_packages_of_one_name_neither_is_taken(tmp_path, monkeypatch, cli):
    for package in ("made_up_a", "made_up_b"):
        offering(tmp_path, monkeypatch, f"[safer_bench.networks]\nboth = {package}.code:both\n", package)
    told = (
        "network 'both': made_up_b 1.0 (made_up_b.code:both) and made_up_a 1.0 (made_up_a.code:both) both offer that name; "
        "uninstall one of them"
    )
    with pytest.raises(BadInput) as error:
        load_network("both")
    assert str(error.value) == told
    listed = cli("list", "networks")
    assert (listed.code, listed.err) == (0, f"Left out: {told}\n")
    assert "both" not in listed.out.split()


def test_metadata_that_cannot_be_read_are_named_and_the_rest_is_found(installed, tmp_path, monkeypatch, cli):
    offering(tmp_path, monkeypatch, "[safer_bench.criteria]\nno target\n")
    found = not_listed("criteria")
    assert len(found) == 1
    assert found[0].startswith(f"{tmp_path / 'site_made_up_odd' / 'made_up_odd-1.0.dist-info'}: its entry points cannot be ")
    assert cli("list", "criteria").out.split()[-1] == "whole_sum"


def test_of_two_installations_of_one_distribution_the_first_counts(installed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(whole_distribution(tmp_path / "first", "made_up_whole", "2.0")))
    assert describe("shrunk")["package"] == "made_up_whole 2.0"
    assert not_listed("perturbations") == []


def test_a_module_alone_is_recorded_alone(tmp_path, monkeypatch):
    offering(tmp_path, monkeypatch, "[safer_bench.criteria]\nlone = made_up_lone:lone\n")
    (tmp_path / "site_made_up_odd" / "made_up_lone.py").write_text("def lone(model, batches): ...\n")
    parse_criterion("lone")
    assert list(packages.offers("criteria", ())["lone"].files()) == ["made_up_odd 1.0/made_up_lone.py"]


def test_a_perturbation_of_a_package_needs_no_torch(installed):
    code = (
        "import sys; sys.modules['torch'] = None; from safer_bench.perturbations.loading import parse_perturbation as p\n"
        "from safer_bench.catalogue import describe, list_entries\n"
        "print(p('shrunk:0.5')[1], describe('shrunk')['package'], list_entries('criteria')[-1])"
    )
    path = os.pathsep.join([str(installed.parent), str(ROOT)])
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, cwd=ROOT, capture_output=True, text=True
    )
    assert ran.stdout == "(0.5,) made_up_whole 1.0 whole_sum\n", ran.stderr


def test_packages_of_nobody_here_are_left_alone():
    """The fixture of this file installs what it needs; without it nothing is offered, unless someone's package is here."""
    assert all("made_up" not in name for kind in packages.NOUNS for name in packages.offers(kind, ()))


def test_broken_is_bad_input():
    assert issubclass(BrokenPackage, BadInput)
    assert error_text(BrokenPackage("x")).startswith("BrokenPackage")
