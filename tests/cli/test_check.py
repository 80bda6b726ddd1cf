"""The command that checks submissions, and scores them again."""

import re
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


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


def test_check_refuses_another_criterion_under_a_name_of_the_truths_own(cli, small_tree, small_scores, tmp_path):
    folder = shutil.copytree(small_scores, tmp_path / "mine")
    assert cli("check", folder, "--truth", small_tree.path).code == 0
    scores = pq.read_table(folder / "scores.parquet")
    column = pc.multiply(scores["score"], pa.scalar(-1.0))
    pq.write_table(scores.set_column(scores.schema.get_field_index("score"), "score", column), folder / "scores.parquet")
    found = cli("check", folder, "--truth", small_tree.path)
    assert found.code == 1
    assert re.match(r"Refused: criterion '\w+' scores '\S+' of '\w+' \S+ in the tree's own scores and \S+ in ", found.err)
