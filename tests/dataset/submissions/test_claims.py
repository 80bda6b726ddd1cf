"""Whose a criterion's name is: no reported score takes the place of one that the maintainer computed."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from safer_bench.dataset.submissions.gather import gather, submission_folders
from safer_bench.dataset.submissions.recomputed import record
from safer_bench.dataset.submissions.submission import BadSubmission, read_submission

NETWORK = "digits_mlp"


@pytest.fixture
def write(small_tree, tmp_path):
    """Write a submission of one criterion, whose score of a layer is a function of its place; note it if told to."""
    layers = [row["layer"] for row in small_tree["layers"].to_pylist() if row["network"] == NETWORK]

    def write(name, score, criterion="mine", noted=None):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "submission.yaml").write_text(yaml.safe_dump({"name": name, "criteria": [{"name": criterion}]}))
        rows = [{"network": NETWORK, "layer": layer, "score": float(score(i))} for i, layer in enumerate(layers)]
        pq.write_table(pa.Table.from_pylist(rows), folder / "scores.parquet")
        if noted:
            submission = read_submission(folder, small_tree)
            record(folder, submission, noted(submission.scores))
        return folder

    return write


def changed(table, column, values):
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))


def scores_of(gathered, criterion):
    return gathered.scores.filter(pc.field("criterion") == criterion)["score"].to_pylist()


def test_a_copy_changes_neither_mark_nor_scores_of_what_the_maintainer_computed(small_tree, write, tmp_path):
    theirs = write("theirs", lambda i: 1.0 + i, noted=lambda scores: scores)
    write("a_copy", lambda i: 1.0005 + i)
    found = gather(small_tree, submission_folders(tmp_path))
    assert (found.marks["mine"], found.reported) == ("recomputed", frozenset())
    assert sorted(scores_of(found, "mine")) == [1.0 + i for i in range(10)]
    assert read_submission(theirs, small_tree).scores.num_rows == 10


@pytest.mark.parametrize(("name", "score"), [("mine", lambda i: -i), ("Mine", lambda i: 1.0 + i)])
def test_a_claim_to_a_recomputed_name_is_refused_alone(small_tree, write, tmp_path, name, score):
    write("theirs", lambda i: 1.0 + i, noted=lambda scores: scores)
    evil = write("evil", score, criterion=name)
    found = gather(small_tree, submission_folders(tmp_path), strict=False)
    assert list(found.refused) == [evil]
    assert (found.marks["mine"], len(scores_of(found, "mine"))) == ("recomputed", 10)


def test_two_recomputed_claims_that_differ_are_both_refused(small_tree, write, tmp_path):
    """Each agrees with what was submitted, to the range of its scores; they do not agree with each other."""
    folders = [write(name, lambda i: 1000.0 * i, noted=lambda scores, by=by: moved(scores, by))
               for name, by in (("first", 0.0), ("second", 5.0))]  # fmt: skip
    other = write("other", lambda i: i, criterion="other")
    found = gather(small_tree, [*folders, other], strict=False)
    assert set(found.refused) == set(folders)
    assert found.marks["other"] == "reported"


def test_what_came_out_under_a_name_of_the_trees_own_is_the_trees_own(small_tree, write, tmp_path):
    own = small_tree["scores"].filter((pc.field("criterion") == "snip") & (pc.field("network") == NETWORK))
    layers = [row["layer"] for row in small_tree["layers"].to_pylist() if row["network"] == NETWORK]
    by_layer = dict(zip(own["layer"].to_pylist(), own["score"].to_pylist(), strict=True))
    evil = write("evil", lambda i: by_layer[layers[i]], criterion="snip", noted=lambda scores: moved(scores, 0.5))
    other = write("other", lambda i: i)
    found = gather(small_tree, [evil, other], strict=False)
    assert list(found.refused) == [evil]
    assert "in the tree's own scores and" in found.refused[evil]
    assert set(found.marks.items()) >= {("snip", "recomputed"), ("mine", "reported")}


def moved(scores, by):
    return changed(scores, "score", [score + by for score in scores["score"].to_pylist()])


@pytest.mark.parametrize(
    "noted",
    [
        lambda scores: changed(scores, "score", [float("nan")] * 10),
        lambda scores: changed(scores, "score", [None] * 10),
        lambda scores: changed(scores, "layer", ["nowhere"] * 10),
        lambda scores: changed(scores, "network", ["digits_resnet"] * 10),
        lambda scores: changed(scores, "track", ["level_aware"] * 10),
        lambda scores: pa.concat_tables([scores, changed(scores, "criterion", ["snip"] * 10)]),
        lambda scores: pa.concat_tables([scores, scores]),
        lambda scores: scores.slice(0, 9),
    ],
    ids=["nan", "null", "layer", "network", "track", "another's", "twice", "part"],
)
def test_kept_scores_that_are_not_the_submissions_stop_no_other(small_tree, write, noted):
    """One such file kept the whole board from being written, or halved a criterion's networks without a word."""
    spoilt, other = write("spoilt", lambda i: i, noted=noted), write("other", lambda i: i, criterion="other")
    found = gather(small_tree, [spoilt, other], strict=False)
    assert list(found.refused) == [spoilt]
    assert (
        f"not one finite score for each that {spoilt} submits; `safer-bench check {spoilt} --recompute`"
        in found.refused[spoilt]
    )
    assert (found.marks.get("mine"), found.marks["other"]) == (None, "reported")


@pytest.mark.parametrize("kind", ["link", "folder", "gone", "edited"])
def test_kept_scores_that_cannot_be_read_stop_no_other(small_tree, write, tmp_path, kind):
    spoilt = write("spoilt", lambda i: i, noted=lambda scores: scores)
    other = write("other", lambda i: i, criterion="other")
    (path,) = (tmp_path / "recomputed").iterdir()
    if kind == "edited":
        path.write_bytes(b"x")
    else:
        path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    if kind == "folder":
        path.mkdir()
    found = gather(small_tree, [spoilt, other], strict=False)
    assert list(found.refused) == [spoilt]
    with pytest.raises(BadSubmission, match=rf"{path.name}: .*; `safer-bench check {spoilt} --recompute` writes"):
        gather(small_tree, [spoilt])


@pytest.mark.parametrize("files", [["submission.yaml"], ["scores.csv"], ["submission.yaml", "scores.csv"]])
def test_a_stray_file_hides_no_submission(small_tree, write, tmp_path, files):
    folders = [write("first", lambda i: i, criterion="first"), write("second", lambda i: -i, criterion="second")]
    for name in files:
        (tmp_path / name).write_text("name: stray\ncriteria: [{name: stray}]\n" if name.endswith("yaml") else "network\n")
    assert submission_folders(tmp_path) == [tmp_path, *folders]
    found = gather(small_tree, submission_folders(tmp_path), strict=False)
    assert list(found.refused) == [tmp_path]
    assert {"first", "second"} <= set(found.marks)
