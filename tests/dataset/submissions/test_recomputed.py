"""Scores that the maintainer computed again: what is compared, what is noted, and which mark the board shows."""

import json
import shutil

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from safer_bench.dataset.submissions.gather import gather
from safer_bench.dataset.submissions.recomputed import RECORD, record
from safer_bench.dataset.submissions.submission import read_submission
from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.networks.loading import load_network
from safer_bench.scoring.write import recompute, write_scores
from safer_bench.tables import schema

CODE = """
from safer_bench import criterion

def widths(model, batches):
    return {name: float(m.weight.shape[0] + scale) for name, m in layers(model)}

@criterion(needs="weights", aware=True, source="test")
def changes(model, batches, perturb, level):
    return {name: float(abs(perturb(name, level) - m.weight.detach().numpy()).sum()) for name, m in layers(model)}

def layers(model):
    return [(name, m) for name, m in model.named_modules() if getattr(m, "weight", None) is not None and m.weight.ndim > 1]

scale = 0.5
"""
LEVELS = make_protocol(["gaussian_noise:0.5,2,8", "magnitude_prune:0.5,0.9"]).perturbations


@pytest.fixture(scope="module")
def network():
    return load_network("digits_mlp")


@pytest.fixture
def folder(tmp_path, network):
    (tmp_path / "mine.py").write_text(CODE)
    out = tmp_path / "submissions" / "mine"
    write_scores(out, [f"{tmp_path / 'mine.py'}:widths", f"{tmp_path / 'mine.py'}:changes"], [network], LEVELS)
    return out


def test_a_criterion_from_a_file_is_submitted_with_its_code(folder, small_tree):
    found = read_submission(folder, small_tree)
    assert [(item.name, item.code) for item in found.card.criteria] == [
        ("widths", "mine.py:widths"),
        ("changes", "mine.py:changes"),
    ]
    assert (folder / "mine.py").read_text() == CODE
    assert str(folder.parent.parent) not in (folder / "submission.yaml").read_text()


def test_scores_that_follow_from_the_code_are_noted_and_marked_until_they_change(folder, small_tree, network):
    submission = read_submission(folder, small_tree)
    assert gather(small_tree, [folder]).marks["widths"] == "reported"
    names = recompute(folder, submission, [network], LEVELS)
    assert names == ["widths", "changes"]
    path = record(folder, submission.scores, names[:1])
    assert (path, list(json.loads(path.read_text())["mine"])) == (folder.parent / RECORD, ["widths"])
    found = gather(small_tree, [folder]).marks
    assert (found["widths"], found["changes"], found["l2_norm"]) == ("recomputed", "reported", "recomputed")
    (folder / "mine.py").write_text(CODE.replace("scale = 0.5", "scale = 7.0"))
    write_scores(folder, [f"{folder / 'mine.py'}:widths"], [network], LEVELS)
    assert gather(small_tree, [folder]).marks["widths"] == "reported"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scale = 0.5", "scale = 1.5", "criterion 'widths' on network 'digits_mlp': head: submitted 10.5, computed again 11.5"),
        ('aware=True, source="test"', 'source="test"', "the code of 'changes' is of track blind, submission.yaml says perturbation_aware"),
    ],
)  # fmt: skip
def test_scores_that_do_not_follow_from_the_code_are_named(folder, small_tree, network, old, new, message):
    submission = read_submission(folder, small_tree)
    (folder / "mine.py").write_text(CODE.replace(old, new))
    with pytest.raises(BadInput) as error:
        recompute(folder, submission, [network], LEVELS)
    assert str(error.value) == f"{folder}: {message}"


def test_scores_without_code_stay_as_reported(folder, small_tree, network):
    card = (folder / "submission.yaml").read_text()
    (folder / "submission.yaml").write_text(card.replace("code: mine.py:", "code: '' #"))
    with pytest.raises(BadInput) as error:
        recompute(folder, read_submission(folder, small_tree), [network], LEVELS)
    assert str(error.value) == f"{folder}: no criterion comes with code, or is a built-in one: its scores stay as reported"


def test_a_record_that_is_none_is_named(folder, small_tree):
    (folder.parent / RECORD).write_text("[1]")
    with pytest.raises(BadInput, match=r"recomputed.json: no record of recomputed scores .*; delete it and recompute"):
        gather(small_tree, [folder])


def test_every_criterion_of_many_sources_is_gathered_once(folder, small_tree, small_scores):
    table = gather(small_tree, [folder, small_scores]).scores
    keys = table.select(["criterion", "network", "layer", "perturbation", "level"]).to_pylist()
    assert len(keys) == len({tuple(row.values()) for row in keys})
    assert {"widths", "changes", "l2_norm"} < set(table["criterion"].to_pylist())


def test_who_adds_scores_to_a_criterion_of_the_tree_does_not_share_its_mark(small_tree, small_scores, tmp_path):
    """Of networks that the tree does not score, or on another track, a submission under a known name is as reported."""
    scores = small_tree["scores"]
    part = dict(small_tree) | {
        "scores": scores.filter((pc.field("criterion") != "snip") | (pc.field("network") == "digits_mlp"))
    }
    assert gather(small_tree, [small_scores]).marks["snip"] == "recomputed"
    found = gather(part, [small_scores]).marks
    assert (found["snip"], found["l2_norm"]) == ("reported", "recomputed")
    for name in ("one", "two"):
        aware = shutil.copytree(small_scores, tmp_path / name)
        rows = pq.read_table(
            small_scores / "scores.parquet", filters=pc.field("criterion") == "measured_drop_128"
        ).to_pylist()
        table = schema.build("scores", [row | {"criterion": "snip"} for row in rows])
        pq.write_table(table, aware / "scores.parquet")
        card = {"name": name, "criteria": [{"name": "snip", "track": "perturbation_aware"}]}
        (aware / "submission.yaml").write_text(yaml.safe_dump(card))
        assert gather(small_tree, [aware]).marks["snip"] == "reported"
    record(tmp_path / "one", table, ["snip"])
    assert gather(small_tree, [tmp_path / "one"]).marks["snip"] == "recomputed"
    assert gather(small_tree, [tmp_path / "one", tmp_path / "two"]).marks["snip"] == "reported"
