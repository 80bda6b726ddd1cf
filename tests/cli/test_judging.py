"""The commands that score, check, evaluate and compare."""

import re
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from safer_bench.dataset.tree import load_tree
from safer_bench.evaluation import comparison
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.perturbations.loading import parse_perturbation, perturbations
from safer_bench.tables.controls import ADDED
from tests.cli.given import network_file
from tests.conftest import COMMITTED, ROOT


def test_results_of_budgets_are_shown_or_missed_aloud(cli, small_tree, small_scores, tmp_path):
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board", "--budget", tmp_path)
    assert (found.code, found.err) == (
        2,
        f"Error: {tmp_path}: no budget_results-*.parquet; `safer-bench budget --task TASK --out {tmp_path}` writes one\n",
    )
    (tmp_path / "budget_results-prune.parquet").write_bytes(b"PAR1")
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board", "--budget", tmp_path)
    assert found.code == 2
    assert f"{tmp_path / 'budget_results-prune.parquet'}: cannot be read" in found.err
    folder = ROOT / "docs" / "budgets"
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "b", "--budget", folder)
    assert (found.code, found.err) == (
        2,
        f"Error: {folder / 'budget_results-protect-int8_bit_flip.parquet'}: of truth {load_tree(COMMITTED).revision}, not {small_tree.revision}; "
        "repeat the budget command that wrote it\n",
    )


def test_two_criteria_are_compared_as_table_and_plot(cli, small_tree, tmp_path):
    found = cli("compare", "snip", "l2_norm", "--truth", small_tree.path, "--out", tmp_path / "compare.png")
    assert found.code == 0
    assert re.search(r"^digits, test: spearman of snip and l2_norm, mean over families$", found.out, re.MULTILINE)
    pattern = r"^gaussian_noise +1 +1 +(-?\d\.\d\d) +(-?\d\.\d\d) +([+-]\d\.\d\d) +-$"
    first, second, difference = map(float, re.search(pattern, found.out, re.MULTILINE).groups())
    assert difference == pytest.approx(first - second, abs=0.011)
    assert "No interval where there are fewer than 6 families: such a difference ranks nothing.\n" in found.out
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("snip", "snob"), "no criterion is called 'snob'. Did you mean 'snip'? All of them: safer-bench list criteria"),
        (
            ("snip", "l2_norm", "--metric", "spearmen"),
            "no metric is called 'spearmen'. Did you mean 'spearman'? All of them: safer-bench list metrics",
        ),
        (("snip", "l2_norm", "--out", "{tmp}/plot"), "{tmp}/plot: a plot ends in .png, .svg, .pdf"),
    ],
)
def test_what_is_misspelt_is_told_before_anything_is_evaluated(cli, small_tree, tmp_path, monkeypatch, words, message):
    monkeypatch.setattr("safer_bench.evaluation.evaluate.evaluate", lambda *_: pytest.fail("evaluated"))
    fill = lambda text: text.replace("{tmp}", str(tmp_path))  # noqa: E731
    found = cli("compare", *map(fill, words), "--truth", small_tree.path)
    assert found.code == 2
    assert found.err.startswith(f"Error: {fill(message)}")


@pytest.mark.parametrize("pair", [("snip", "l2_norm"), ("replicate", "snip"), ("reversed_replicate", "replicate")])
def test_only_what_is_compared_is_evaluated_to_the_same_numbers(cli, small_tree, monkeypatch, pair):
    asked = []

    def noted(truth, scores):
        asked.extend(scores["criterion"].unique().to_pylist())
        return evaluate(truth, scores)

    monkeypatch.setattr("safer_bench.evaluation.evaluate.evaluate", noted)
    found = cli("compare", *pair, "--truth", small_tree.path)
    assert set(asked) == set(pair) - set(ADDED)
    expected = comparison.rows(comparison.compare(evaluate(small_tree, small_tree["scores"]), small_tree, *pair))
    assert [line.split() for line in found.out.splitlines() if line.endswith(" -")] == [
        [word for cell in row for word in cell.split()] for row in expected
    ]


def test_a_bad_submission_is_exit_code_1(cli, small_tree, small_scores, tmp_path):
    folder = shutil.copytree(small_scores, tmp_path / "mine")
    (folder / "scores.parquet").write_bytes(b"nothing")
    found = cli("check", folder, "--truth", small_tree.path)
    assert found.code == 1
    assert found.err.startswith(f"Refused: {folder / 'scores.parquet'}: cannot be read")
    assert cli("evaluate", folder, "--truth", small_tree.path, "--out", tmp_path / "board").code == 2
    assert not (tmp_path / "board").exists()


def test_evaluate_says_which_submissions_it_read(cli, small_tree, small_scores, tmp_path):
    folder = shutil.copytree(small_scores, tmp_path / "submissions" / "mine")
    found = cli("evaluate", folder.parent, "--truth", small_tree.path, "--out", tmp_path / "board")
    assert (found.code, found.out.splitlines()[0]) == (0, f"Submissions: 1 read: {folder}")
    found = cli("evaluate", "--truth", small_tree.path, "--out", tmp_path / "own")
    assert (found.code, found.out.splitlines()[0]) == (0, "Submissions: none; the truth's own criteria alone")
    assert (tmp_path / "own" / "leaderboard.md").is_file()


@pytest.mark.parametrize(
    "words", [("evaluate", "{folder}", "--out", "{folder}/b"), ("compare", "snip", "l2_norm", "--submissions", "{folder}")]
)
def test_a_folder_without_any_submission_is_refused(cli, small_tree, tmp_path, words):
    """Its user once got a board, and no word that nothing of theirs was on it."""
    found = cli(*(word.replace("{folder}", str(tmp_path)) for word in words), "--truth", small_tree.path)
    assert (found.code, found.err) == (
        2,
        f"Error: {tmp_path}: holds no submission; expected submissions/NAME with submission.yaml and scores, which `safer-bench "
        f"score CRITERION --out {tmp_path}/NAME` writes; without a folder the truth's own criteria are judged\n",
    )
    assert not list(tmp_path.iterdir())


def test_scores_of_ones_own_network_go_on_to_a_truth_of_its_own(cli, tmp_path):
    """`check` knows the networks of the truth at hand alone."""
    network = network_file(tmp_path, "from tests.conftest import tiny_network\n    return tiny_network()")
    run, scores, tree, board = (tmp_path / name for name in ("run", "scores", "tree", "board"))
    cli("measure", "--network", network, "--perturbation", "sign_flip:0.5", "--examples", 30, "--out", run)
    found = cli("score", "l2_norm", "--network", network, "--out", scores)
    pack, evaluate = found.out.removeprefix(f"{scores}: 1 criteria on 1 networks. Next: ").strip().split("; ")
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
    assert "'tiny' is no network of the truth." in found.err
    assert (
        found.err.splitlines()[-1] == f"The networks: {', '.join(load_tree(COMMITTED)['networks']['network'].to_pylist())}"
    )


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


def test_a_criterion_that_fails_is_named_while_the_others_are_scored(cli, tmp_path):
    (tmp_path / "bad.py").write_text("def hopeful(model, batches):\n    return {}\n")
    out = tmp_path / "scores"
    found = cli("score", "l2_norm", f"{tmp_path / 'bad.py'}:hopeful", "--network", "digits_mlp", "--out", out)
    assert (found.code, found.out) == (2, "")
    first, last = found.err.splitlines()
    assert first.startswith(
        "Error: criterion 'hopeful' on network 'digits_mlp': expected one score for each of the 10 layers"
    )
    assert last == f"1 of 2 refused; {out} holds what was not refused"
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


def test_check_refuses_another_criterion_under_a_name_of_the_truths_own(cli, small_tree, small_scores, tmp_path):
    folder = shutil.copytree(small_scores, tmp_path / "mine")
    assert cli("check", folder, "--truth", small_tree.path).code == 0
    scores = pq.read_table(folder / "scores.parquet")
    column = pc.multiply(scores["score"], pa.scalar(-1.0))
    pq.write_table(scores.set_column(scores.schema.get_field_index("score"), "score", column), folder / "scores.parquet")
    found = cli("check", folder, "--truth", small_tree.path)
    assert found.code == 1
    assert re.match(r"Refused: criterion '\w+' scores '\S+' of '\w+' \S+ in the tree's own scores and \S+ in ", found.err)


def test_scores_are_by_default_of_the_networks_of_the_truth():
    from safer_bench.cli.options import _default_networks

    assert _default_networks() == sorted(load_tree(COMMITTED)["networks"]["network"].to_pylist())


def test_scores_are_by_default_of_the_perturbations_and_levels_of_the_truth():
    """The package may have more of them than were measured; `check` refuses scores of the others."""
    from safer_bench.cli.options import _default_perturbations

    expected = {row["perturbation"]: tuple(row["levels"]) for row in load_tree(COMMITTED)["perturbations"].to_pylist()}
    found = [parse_perturbation(spec) for spec in _default_perturbations()]
    assert {entry.name: levels for entry, levels in found} == expected


def test_without_a_truth_scores_are_by_default_of_all_perturbations(monkeypatch, tmp_path):
    from safer_bench.cli.options import _default_perturbations

    monkeypatch.chdir(tmp_path)
    assert _default_perturbations() == list(perturbations())
