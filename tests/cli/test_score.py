"""The command that scores."""

import pyarrow.parquet as pq
import pytest
import yaml

from safer_bench.dataset.tree import load_tree
from safer_bench.perturbations.loading import parse_perturbation, perturbations
from tests.conftest import COMMITTED
from tests.made_up.commands import network_file


def test_scores_of_ones_own_network_go_on_to_a_truth_of_its_own(cli, tmp_path):
    """`check` knows the networks of the truth at hand alone."""
    network = network_file(tmp_path, "from tests.made_up.networks import tiny_network\n    return tiny_network()")
    run, scores, tree, board = (tmp_path / name for name in ("run", "scores", "tree", "board"))
    cli("measure", "--network", network, "--perturbation", "sign_flip:0.5", "--draws", 1, "--out", run)
    found = cli("score", "l2_norm", "--network", network, "--out", scores)
    pack, evaluate = found.out.removeprefix(f"{scores}: 1 criterion on 1 network. Next: ").strip().split("; ")
    assert (pack, evaluate) == (
        f"safer-bench pack RUN --scores {scores} --out TREE",
        "safer-bench evaluate --truth TREE --out BOARD",
    )
    places = {"RUN": run, "TREE": tree, "BOARD": board}
    for command in (pack, evaluate):
        assert cli(*(places.get(word, word) for word in command.split()[1:])).code == 0, command
    assert "l2_norm" in (board / "leaderboard.md").read_text()
    found = cli("check", scores)
    assert found.code == 1
    assert "'tiny' is not a network of the truth." in found.err
    assert (
        found.err.splitlines()[-1] == f"The networks: {', '.join(load_tree(COMMITTED)['networks']['network'].to_pylist())}"
    )


def test_a_criterion_that_fails_is_named_while_the_others_are_scored(cli, tmp_path):
    (tmp_path / "bad.py").write_text("def hopeful(model, batches):\n    return {}\n")
    out = tmp_path / "scores"
    found = cli("score", "l2_norm", f"{tmp_path / 'bad.py'}:hopeful", "--network", "digits_mlp", "--out", out)
    assert (found.code, found.out) == (2, "")
    first, last = found.err.splitlines()
    assert first.startswith(
        "Error: criterion 'hopeful' on network 'digits_mlp': expected one score for each of the 10 layers"
    )
    assert last == f"1 of 2 refused; {out} holds what was not refused; the same command scores the rest"
    assert set(pq.read_table(out / "scores.parquet")["criterion"].to_pylist()) == {"l2_norm"}


@pytest.mark.parametrize(
    ("name", "what"), [("snip", "a built-in criterion"), ("replicate", "a control that evaluation adds")]
)
def test_a_function_with_the_name_of_another_criterion_is_refused_at_once(cli, tmp_path, name, what):
    (tmp_path / "mine.py").write_text(f"def {name}(model, batches):\n    raise AssertionError('was called')\n")
    spec = f"{tmp_path / 'mine.py'}:{name}"
    found = cli("score", spec, "--network", "digits_mlp", "--out", tmp_path / "scores")
    assert (found.code, found.err) == (2, f"Error: {spec}: {name!r} is the name of {what}; rename the function\n")
    assert not (tmp_path / "scores").exists()


def test_scores_are_by_default_of_the_networks_of_the_truth():
    from safer_bench.cli.score import _default_networks

    assert _default_networks() == sorted(load_tree(COMMITTED)["networks"]["network"].to_pylist())


def test_scores_are_by_default_of_the_perturbations_and_levels_of_the_truth():
    """The package may have more of them than were measured; `check` refuses scores of the others."""
    from safer_bench.cli.score import _default_perturbations

    expected = {row["perturbation"]: tuple(row["levels"]) for row in load_tree(COMMITTED)["perturbations"].to_pylist()}
    found = [parse_perturbation(spec) for spec in _default_perturbations()]
    assert {entry.name: levels for entry, levels in found} == expected


def test_without_a_truth_scores_are_by_default_of_all_perturbations(monkeypatch, tmp_path):
    from safer_bench.cli.score import _default_perturbations

    monkeypatch.chdir(tmp_path)
    assert _default_perturbations() == list(perturbations())


@pytest.mark.parametrize("option", ["--calibration-sets", "--probe-sets"])  # the latter is the former name
def test_scores_are_means_over_sets_of_calibration_examples(cli, tmp_path, option):
    out = tmp_path / "mine"
    assert cli("score", "snip", "--network", "digits_mlp", option, "2", "--out", out).code == 0
    assert yaml.safe_load((out / "submission.yaml").read_text())["calibration_sets"] == 2


def test_what_a_criterions_file_imports_from_beside_it_is_copied_with_it(cli, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder / "parts").mkdir(parents=True)
        (tmp_path / folder / f"{folder}.py").write_text(
            f"import shared_{folder[0]}\ndef size_{folder}(model, batches): return shared_{folder[0]}.sizes(model)"
        )
        (tmp_path / folder / f"shared_{folder[0]}.py").write_text(f"from parts import deep_{folder[0]}\n{SIZES}")
        (tmp_path / folder / "parts" / f"deep_{folder[0]}.py").write_text("")
    specs = [f"{tmp_path / name / name}.py:size_{name}" for name in ("one", "two")]
    out = tmp_path / "mine"
    found = cli("score", specs[0], "--network", "digits_mlp", "--out", out)
    assert (found.code, found.err) == (0, "")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.py")) == [
        "one.py",
        "parts/deep_o.py",
        "shared_o.py",
    ]
    (tmp_path / "two" / "parts" / "deep_o.py").write_text("another")
    found = cli("score", *specs, "--network", "digits_mlp", "--out", tmp_path / "both")
    assert found.code == 2
    assert "would both be parts/deep_o.py in the submission; rename one of them" in found.err
    assert not (tmp_path / "both").exists()


SIZES = """
def sizes(model):
    return {name: m.weight.numel() for name, m in model.named_modules() if getattr(m, "weight", None) is not None and m.weight.ndim > 1}
"""


NEEDS = """import torch


def layers(model):
    linear = {name: part for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    return {name: float(part.weight.detach().abs().max()) for name, part in linear.items()}


def untouched(model, batches):
    return layers(model)


def forward(model, batches):
    model(batches[0][0])
    return layers(model)


def one_by_one(model, batches):
    for i in range(len(batches[0][0])):
        model(batches[0][0][i : i + 1])
    return layers(model)


def backward(model, batches):
    torch.nn.functional.cross_entropy(model(batches[0][0]), batches[0][1]).backward()
    return layers(model)


def twice(model, batches):
    loss = torch.nn.functional.cross_entropy(model(batches[0][0]), batches[0][1])
    (gradient, *_) = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    gradient.square().sum().backward()
    return layers(model)
"""


def test_what_a_criterion_needs_is_what_it_was_seen_to_take_or_what_is_said(cli, tmp_path):
    """Every function of a file was once said to need gradients."""
    (tmp_path / "own.py").write_text(NEEDS)
    names = ("untouched", "forward", "one_by_one", "backward", "twice")
    specs = [f"{tmp_path / 'own.py'}:{name}" for name in names]
    out = tmp_path / "mine"
    said = ("--describe", "twice.formula=|g|", "--describe", "description=Four passes", "--describe", "twice.source=made up")
    found = cli("score", *specs, "--network", "digits_mlp", "--out", out, *said)
    assert found.code == 0
    card = yaml.safe_load((out / "submission.yaml").read_text())
    assert {item["name"]: item["needs"] for item in card["criteria"]} == dict(
        zip(names, ("", "data", "data", "gradients", "hessian"), strict=True)
    )
    assert (card["description"], card["criteria"][4]["formula"], card["criteria"][4]["source"]) == (
        "Four passes",
        "|g|",
        "made up",
    )
    assert found.out.splitlines()[0] == (
        f"Still empty in {out / 'submission.yaml'}, and shown on boards: authors, untouched.needs, untouched.formula, "
        "forward.formula, one_by_one.formula, backward.formula (--describe FIELD=TEXT)"
    )
    assert found.out.splitlines()[1] == (
        f"Needs in {out / 'submission.yaml'}, by the passes that were seen: forward: data; one_by_one: data; backward: "
        "gradients; twice: hessian. Labels cannot be seen: --describe 'needs=labels, gradients'"
    )
    found = cli(
        "score", specs[3], "--network", "digits_mlp", "--out", tmp_path / "one", "--describe", "needs=labels, gradients"
    )
    assert yaml.safe_load((tmp_path / "one" / "submission.yaml").read_text())["criteria"][0]["needs"] == "labels, gradients"
    assert "Needs in" not in found.out


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        (["l2_norm"], "criterion 'l2_norm' is blind: it sees"),
        (["l2_norm", "snip"], "criteria 'l2_norm', 'snip' are blind: they see"),
    ],
)
def test_a_perturbation_that_no_criterion_sees_is_refused_before_anything_is_scored(cli, tmp_path, specs, told):
    words = ("--network", "digits_mlp", "--perturbation", "quantize:4", "--out", tmp_path / "mine")
    found = cli("score", *specs, *words)
    assert (found.code, found.err) == (2, f"Error: {told} no perturbation; leave perturbation out\n")
    assert not (tmp_path / "mine").exists()
    assert cli("score", *specs, "quantization_mse", *words).code == 0


def test_a_field_that_there_is_not_is_told_before_anything_is_scored(cli, tmp_path):
    (tmp_path / "own.py").write_text("def own(model, batches):\n    raise AssertionError('was called')\n")
    found = cli(
        "score", f"{tmp_path / 'own.py'}:own", "--network", "digits_mlp", "--out", tmp_path / "mine", "--describe", "nedes=x"
    )
    assert found.code == 2
    assert found.err.startswith("Error: --describe nedes=x: no field 'nedes'; expected one of ")
