"""The command that checks submissions, and scores them again."""

import re
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from tests.made_up.submitted_code import SubmittedCode


def test_a_bad_submission_is_exit_code_1(cli, small_tree, small_scores, tmp_path):
    folder = shutil.copytree(small_scores, tmp_path / "mine")
    (folder / "scores.parquet").write_bytes(b"nothing")
    found = cli("check", folder, "--truth", small_tree.path)
    assert found.code == 1
    assert found.err.startswith(f"Refused: {folder / 'scores.parquet'}: cannot be read")
    assert cli("evaluate", folder, "--truth", small_tree.path, "--out", tmp_path / "board").code == 1
    assert not (tmp_path / "board").exists()


def test_a_submission_of_some_networks_is_accepted_and_told(cli, small_tree, tmp_path):
    assert cli("score", "l2_norm", "--network", "digits_mlp", "--out", tmp_path / "part").code == 0
    found = cli("check", tmp_path / "part", "--truth", small_tree.path)
    assert (found.code, found.out.splitlines()[-1]) == (
        0,
        "1 network of the truth is not scored: on their boards this submission is not ranked",
    )


def test_perturbations_that_an_aware_criterion_does_not_score_are_told(cli, small_tree, tmp_path):
    words = ("--network", "digits_mlp", "--perturbation", "magnitude_prune:0.5,0.9")
    assert cli("score", "sqnr", *words, "--out", tmp_path / "part").code == 0
    found = cli("check", tmp_path / "part", "--truth", small_tree.path)
    told = "1 perturbation of the truth is not scored (gaussian_noise): where they count it is not ranked"
    assert (found.code, found.out.splitlines()[-1]) == (0, told)


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
            f"{path}: size: scored again on 1 network, to the same scores",
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
        f"Refused: {path}: criterion 'size' on network 'digits_mlp': head: submitted 640, computed again 649; "
        "code and scores differ, or the code gives other scores each time: seed what is random; "
        f"no longer noted in {path.parent / 'recomputed.json'}\n",
    )
    assert (path.parent / "recomputed.json").read_text() == "{}\n"
    assert not list((path.parent / "recomputed").iterdir())


@pytest.mark.long
def test_scores_without_code_stay_reported_and_are_no_fault(cli, small_tree, submitted):
    submitted.write("mine", "return {name: len(name) for name in layers}", lambda name, rank: len(name))
    folder, words = submitted.root / "mine", ("--truth", small_tree.path, "--recompute")
    assert cli("check", folder, *words).code == 0
    assert submitted.recorded() == ["mine"]
    card = yaml.safe_load((folder / "submission.yaml").read_text())
    card["criteria"][0]["code"] = ""
    (folder / "submission.yaml").write_text(yaml.safe_dump(card))
    found = cli("check", folder, *words)
    stays = f"{folder}: brings no code, and is no built-in criterion: its scores stay reported"
    assert (found.code, found.out.splitlines()[-1]) == (
        0,
        f"{stays}; no longer noted in {folder.parent / 'recomputed.json'}",
    )
    assert submitted.recorded() == []
    assert cli("check", folder, *words).out.splitlines()[-1] == stays


def test_check_refuses_another_criterion_under_a_name_of_the_truths_own(cli, small_tree, small_scores, tmp_path):
    folder = shutil.copytree(small_scores, tmp_path / "mine")
    assert cli("check", folder, "--truth", small_tree.path).code == 0
    scores = pq.read_table(folder / "scores.parquet")
    column = pc.multiply(scores["score"], pa.scalar(-1.0))
    pq.write_table(scores.set_column(scores.schema.get_field_index("score"), "score", column), folder / "scores.parquet")
    found = cli("check", folder, "--truth", small_tree.path)
    assert found.code == 1
    assert re.match(r"Refused: criterion '\w+' scores '\S+' of '\w+' \S+ in the tree's own scores and \S+ in ", found.err)


@pytest.fixture
def submitted(small_tree, tmp_path):
    return SubmittedCode(tmp_path / "submissions", small_tree)


@pytest.mark.long
def test_code_that_ends_its_process_is_one_refusal_and_the_next_is_looked_at(cli, small_tree, submitted):
    submitted.write("ends", "os._exit(0)", None, head="import os")
    submitted.write("later", "return {name: len(name) for name in layers}", lambda name, rank: len(name))
    found = cli("check", submitted.root, "--truth", small_tree.path, "--recompute")
    assert (found.code, found.err) == (
        1,
        f"Refused: {submitted.root / 'ends'}: criterion 'ends' on network 'digits_mlp': its process ended (exit status 0) "
        "before all scores were there\n",
    )
    assert submitted.recorded() == ["later"]


@pytest.mark.long
def test_whatever_code_raises_is_told_with_its_name(cli, small_tree, submitted):
    submitted.write("stops", "raise KeyboardInterrupt('stop')", None)
    submitted.write("large", "return dict.fromkeys(layers, 10**400)", None)
    found = cli("check", submitted.root, "--truth", small_tree.path, "--recompute")
    assert (found.code, found.err.splitlines()) == (
        1,
        [
            f"Refused: {submitted.root / 'large'}: criterion 'large' on network 'digits_mlp': a score is not a number (int too "
            "large to convert to float)",
            f"Refused: {submitted.root / 'stops'}: criterion 'stops' on network 'digits_mlp': raised KeyboardInterrupt: stop",
        ],
    )


FORGED = """import sys
for module in list(sys.modules.values()):
    for name in ("check_same", "_scores", "record", "recompute"):
        if hasattr(module, name):
            setattr(module, name, lambda *a: None)
"""
READ = "return {r['layer']: r['value'] for r in sb.load_tree(TREE)['layer_sensitivity'].to_pylist() if r['network'] == 'digits_mlp' and r['summary'] == 'area'}"
TAIL = "return {name: float(torch.ones(())) for name in layers}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("codes", "refused"),
    [
        ({"near": ("return dict.fromkeys(layers, 1.0)", lambda n, rank: 1.0 + 1e-5 * rank)}, ["near"]),
        ({"floor": ("return {n: 1e12 if n == layers[-1] else 0.0 for n in layers}", lambda n, rank: 1e12 if n == "head" else 1.0 + rank)}, ["floor"]),
        ({
            "aaa": ("return {n: helper.value(n) for n in layers}", lambda n, rank: len(n), "import helper", "value = len"),
            "bbb": ("return {n: helper.value(n) for n in layers}", lambda n, rank: 7 * len(n), "import helper", "def value(n): return 7 * len(n)"),
        }, []),
        ({"evil": ("return dict.fromkeys(layers, 0.0)", None, FORGED), "later": ("return dict.fromkeys(layers, 0.0)", None)}, ["evil", "later"]),
        ({
            "first": ("torch.set_default_device('meta'); return dict.fromkeys(layers, 1.0)", lambda n, rank: 1, "import torch"),
            "second": (TAIL, lambda n, rank: 1, "import torch"),
        }, []),
        ({"answers": (READ, None, "import safer_bench as sb")}, ["answers"]),
        ({"copied": ("return {r['layer']: r['score'] for r in pq.read_table('/proc/self/cwd/scores.parquet').to_pylist()}", None, "import pyarrow.parquet as pq")}, ["copied"]),
        ({"shadow": (TAIL, lambda n, rank: 1, "import torch, random, types, helper", "from random import Random")}, []),
    ],
    ids=["near", "floor", "two", "forge", "state", "answers", "copied", "shadow"],
)  # fmt: skip
def test_only_what_the_code_gives_is_recorded(cli, small_tree, submitted, codes, refused):
    for name, (body, score, *rest) in codes.items():
        head, helper = [*rest, "", ""][:2]
        submitted.write(name, body.replace("TREE", repr(str(small_tree.path))), score, head=head, helper=helper)
    for name in ("random", "torch", "types", "json", "safer_bench"):
        if "shadow" in codes:
            (submitted.root / "shadow" / f"{name}.py").write_text("raise RuntimeError('shadowed')")
    found = cli("check", submitted.root, "--truth", small_tree.path, "--recompute")
    assert re.findall(r"Refused: \S+/(\w+): criterion", found.err) == refused
    assert submitted.recorded() == sorted(set(codes) - set(refused))
    assert found.code == bool(refused)
