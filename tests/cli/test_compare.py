"""The command that compares two criteria."""

import re
from dataclasses import replace

import pytest

from safer_bench.cli.compare import _tell
from safer_bench.errors import UnknownName
from safer_bench.evaluation import comparison
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.tables.controls import ADDED


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
        (
            ("snip", "snob"),
            "no criterion 'snob' is scored here. Did you mean 'snip'? Scored are: constant, depth, first_last, l2_norm, macs, measured_drop_",
        ),
        (("snip", "snip"), "'snip' and itself: name two criteria to compare"),
        (("snip", "fisher_l2"), "no criterion 'fisher_l2' is scored here."),  # `list criteria` has it, this truth has not
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


def test_boards_with_intervals_come_first_and_no_zero_is_negative(capsys):
    without = comparison.Comparison("digits", "test", comparison.ALL, 2, 0.5, 0.504, {"mlp": -0.004}, None)
    within = replace(without, dataset="fashion_mnist", interval=(-0.003, 0.1))
    _tell([without, within], "a", "b", "spearman", [])
    shown = capsys.readouterr().out
    assert shown.index("fashion_mnist, test") < shown.index("digits, test")
    assert "-0.00" not in shown


def test_of_many_names_the_first_twenty_are_said():
    with pytest.raises(UnknownName) as error:
        comparison.check_names([f"c{i:02d}" for i in range(40)], "c01", "none", "spearman")
    assert " and " in str(error.value)
    assert "more (safer-bench list criteria). For scores of another one" in str(error.value)
    assert "c30" not in str(error.value)


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
