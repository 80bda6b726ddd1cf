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
from safer_bench.scoring.recompute import recompute
from safer_bench.scoring.write import write_scores
from safer_bench.tables import schema
from tests.made_up.cases import first_by_default

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


@pytest.mark.long
def test_the_board_shows_what_came_out_of_the_code_until_the_submission_changes(folder, small_tree, network):
    submission = read_submission(folder, small_tree)
    assert gather(small_tree, [folder]).marks["widths"] == "reported"
    again = recompute(folder, submission, [network], LEVELS)
    assert again.equals(schema.in_order(submission.scores.cast(again.schema)))
    moved = again.set_column(again.schema.get_field_index("score"), "score", pc.add(again["score"], 1e-9))
    path = record(folder, submission, moved)
    assert (path, list(json.loads(path.read_text()))) == (folder.parent / RECORD, ["mine"])
    found = gather(small_tree, [folder])
    assert (found.marks["widths"], found.marks["changes"], found.marks["l2_norm"]) == ("recomputed",) * 3
    assert _scores(found.scores, "widths") == [score + 1e-9 for score in _scores(submission.scores, "widths")]
    for name, text in (
        ("mine.py", CODE + "# other"),
        ("submission.yaml", (folder / "submission.yaml").read_text() + "# other"),
    ):
        kept = (folder / name).read_bytes()
        (folder / name).write_text(text)
        found = gather(small_tree, [folder])
        assert (found.marks["widths"], _scores(found.scores, "widths")) == ("reported", _scores(submission.scores, "widths"))
        (folder / name).write_bytes(kept)
    assert gather(small_tree, [folder]).marks["widths"] == "recomputed"
    record(folder, submission, again)
    assert len(list((folder.parent / "recomputed").iterdir())) == 1, "what the record names no more is gone"


def test_a_record_holds_for_the_criteria_that_it_has(folder, small_tree, network):
    submission = read_submission(folder, small_tree)
    record(folder, submission, submission.scores.filter(pc.field("criterion") == "widths"))
    found = gather(small_tree, [folder])
    assert (found.marks["widths"], found.marks["changes"]) == ("recomputed", "reported")
    assert found.scores.filter(pc.field("criterion") == "changes").num_rows == 2 * 10


def _scores(table, criterion):
    return schema.in_order(table.filter(pc.field("criterion") == criterion))["score"].to_pylist()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    first_by_default([
        ("scale = 0.5", "scale = 1.5", "criterion 'widths' on network 'digits_mlp': head: submitted 10.5, computed again 11.5; code and scores differ, or the code gives other scores each time: seed what is random"),
        ('aware=True, source="test"', 'source="test"', "mine.py:changes: takes (model, batches, perturb, level); expected without aware=True (model, batches)"),
    ]),
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


def test_code_takes_no_name_of_ours(folder, small_tree, network):
    """A tree without scores of `parameters` or `random` would have a stranger's for its baseline or its chance."""
    for path in (folder / "submission.yaml", folder / "mine.py"):
        path.write_text(path.read_text().replace("widths", "parameters"))
    table = pq.read_table(folder / "scores.parquet")
    names = pc.replace_substring(table["criterion"], "widths", "parameters")
    pq.write_table(
        table.set_column(table.schema.get_field_index("criterion"), "criterion", names), folder / "scores.parquet"
    )
    with pytest.raises(BadInput) as error:
        recompute(folder, read_submission(folder, small_tree), [network], LEVELS)
    assert str(error.value) == f"{folder}: 'parameters' is the name of a built-in criterion, and comes with code; rename it"


DIGEST = "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "null",
        "{",
        "\x00",
        '{"mine": 1}',
        '{"mine": {"widths": 3}}',
        f'{{"mine": {{"submission": "{DIGEST}"}}, "other": {{"submission": "{DIGEST}", "scores": 5}}}}',
        '{"mine": ' * 2000,
        '{"mine": {"submission": "abc", "scores": "abc"}}',
    ],
)
def test_a_record_that_is_none_is_named(folder, small_tree, text):
    (folder.parent / RECORD).write_text(text)
    with pytest.raises(
        BadInput, match=r"recomputed.json: (is not a record of recomputed scores|damaged) .*; delete it and recompute"
    ):
        gather(small_tree, [folder])


def test_a_record_of_before_marks_nothing_and_is_kept(folder, small_tree, network):
    submission = read_submission(folder, small_tree)
    (folder.parent / RECORD).write_text(json.dumps({"mine": {"widths": DIGEST}, "other": {"widths": DIGEST}}))
    assert gather(small_tree, [folder]).marks["widths"] == "reported"
    record(folder, submission, submission.scores)
    assert json.loads((folder.parent / RECORD).read_text())["other"] == {"widths": DIGEST}
    assert gather(small_tree, [folder]).marks["widths"] == "recomputed"


def test_scores_beside_a_record_are_those_that_it_names(folder, small_tree):
    submission = read_submission(folder, small_tree)
    record(folder, submission, submission.scores)
    (path,) = (folder.parent / "recomputed").iterdir()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(
        BadInput, match=r"mine-[0-9a-f]{16}.parquet: not the scores that recomputed.json names; .* --recompute"
    ):
        gather(small_tree, [folder])
    path.unlink()
    with pytest.raises(
        BadInput, match=r"mine-[0-9a-f]{16}.parquet: cannot be read \(No such file or directory\); .* --recompute"
    ):
        gather(small_tree, [folder])


def test_every_criterion_of_many_sources_is_gathered_once(folder, small_tree, small_scores):
    table = gather(small_tree, [folder, small_scores]).scores
    keys = table.select(["criterion", "network", "layer", "perturbation", "level"]).to_pylist()
    assert len(keys) == len({tuple(row.values()) for row in keys})
    assert {"widths", "changes", "l2_norm"} < set(table["criterion"].to_pylist())


def test_nobody_adds_reported_scores_to_a_criterion_of_the_tree(small_tree, small_scores, tmp_path):
    """Of networks that the tree does not score, or on another track: they made the tree's own criterion a reported one."""
    scores = small_tree["scores"]
    part = dict(small_tree) | {
        "scores": scores.filter((pc.field("criterion") != "snip") | (pc.field("network") == "digits_mlp"))
    }
    assert gather(small_tree, [small_scores]).marks["snip"] == "recomputed"
    found = gather(part, [small_scores], strict=False)
    assert (found.marks["snip"], list(found.refused)) == ("recomputed", [small_scores])
    for name in ("one", "two"):
        aware = shutil.copytree(small_scores, tmp_path / name)
        rows = pq.read_table(
            small_scores / "scores.parquet", filters=pc.field("criterion") == "measured_drop_128"
        ).to_pylist()
        table = schema.build("scores", [row | {"criterion": "snip"} for row in rows])
        pq.write_table(table, aware / "scores.parquet")
        card = {"name": name, "criteria": [{"name": "snip", "track": "perturbation_aware"}]}
        (aware / "submission.yaml").write_text(yaml.safe_dump(card))
        with pytest.raises(BadInput) as error:
            gather(small_tree, [aware])
        assert str(error.value) == (
            f"{aware}: adds reported scores of digits_mlp, digits_resnet to 'snip', which the maintainer computed; "
            f"`safer-bench check {aware} --recompute` computes them too, or give the criterion another name"
        )
    record(tmp_path / "one", read_submission(tmp_path / "one", part), table)
    for folders in ([tmp_path / "one"], [tmp_path / "one", tmp_path / "two"]):
        assert gather(small_tree, folders).marks["snip"] == "recomputed"
