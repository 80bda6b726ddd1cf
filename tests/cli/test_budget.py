"""The command that spends budgets, end to end on a network of digits, and its messages."""

import pyarrow.parquet as pq
import pytest

from safer_bench.budget.tasks import look_up_task
from safer_bench.dataset.budgets import read_budgets
from safer_bench.dataset.contents import network_revisions
from safer_bench.errors import BadInput


def test_pruning_by_a_submission_of_ones_own(cli, small_tree, small_scores, tmp_path):
    words = ("--task", "prune", "--network", "digits_mlp", "--truth", small_tree.path, "--submission", small_scores)
    found = cli("budget", *words, "--criterion", "snip", "--budget", "0.5", "--out", tmp_path / "out")
    assert found.code == 0
    assert found.out.startswith("digits_mlp: with snip, pruning 50 % of the weights (50 % spent) keeps ")
    assert found.out.splitlines()[-1] == f"Summary: {tmp_path / 'out' / 'budget-prune.md'}"
    rows = pq.read_table(tmp_path / "out" / "budget_results-prune.parquet").to_pylist()
    assert {row["criterion"] for row in rows} >= {"snip", "uniform", "lamp", "erk", "global_magnitude", "truth_guided"}
    assert "l2_norm" not in {row["criterion"] for row in rows}


@pytest.mark.long
def test_protection_of_all_networks_of_the_truth(cli, small_tree, tmp_path):
    words = ("--task", "protect", "--truth", small_tree.path, "--criterion", "snip", "--budget", "0.1", "--level", "0.01")
    found = cli("budget", *words, "--draws", 2, "--out", tmp_path)
    assert found.code == 0
    sentences = found.out.splitlines()[:-1]
    assert [line.partition(":")[0] for line in sentences] == [
        f"{name}, int8_bit_flip, bit-error rate 0.01" for name in ("digits_mlp", "digits_resnet")
    ]
    assert "digits_mlp: no truth_guided, as the truth has no areas of int8_bit_flip\n" in found.err
    first = (tmp_path / "budget_results-protect-int8_bit_flip.parquet").read_bytes()
    cli("budget", *words, "--draws", 2, "--out", tmp_path)
    assert (tmp_path / "budget_results-protect-int8_bit_flip.parquet").read_bytes() == first


@pytest.mark.long
def test_runs_of_one_network_each_are_put_together(cli, small_tree, tmp_path):
    """Rows are those of one run of both, the verdicts too: they hold for all gains of a task at once."""
    words = ("--task", "prune", "--truth", small_tree.path, "--criterion", "snip", "--budget", "0.5")
    names = ("digits_mlp", "digits_resnet")
    assert cli("budget", *words, *(f"--network={name}" for name in names), "--out", tmp_path / "both").code == 0
    for name in names:
        assert cli("budget", *words, "--network", name, "--out", tmp_path / "apart" / name).code == 0
    both, apart = (read_budgets(tmp_path / each, network_revisions(small_tree["layer_drops"])) for each in ("both", "apart"))
    assert both.num_rows == 2 * sum(row["network"] == "digits_mlp" for row in both.to_pylist())
    order = [("network", "ascending"), ("criterion", "ascending")]
    assert apart.sort_by(order).equals(both.sort_by(order))


def test_additivity_shows_its_table(cli, small_tree, tmp_path):
    words = ("--task", "additivity", "--network", "digits_mlp", "--truth", small_tree.path)
    found = cli("budget", *words, "--perturbation", "quantize:3", "--out", tmp_path)
    assert found.code == 0
    assert "| digits_mlp | quantize | 3 | 50 | " in found.out
    assert pq.read_table(tmp_path / "budget_additivity.parquet").num_rows == 50


def test_a_misspelt_task_is_told():
    with pytest.raises(BadInput) as refused:
        look_up_task("prun")
    assert str(refused.value) == "task 'prun'; expected one of prune, quantize, protect, additivity. Did you mean 'prune'?"


BAD = [
    (("--task", "prune", "--network", "resnet21"), "no network is called 'resnet21'. Did you mean 'resnet32' or 'resnet20' or 'resnext20'? All of them: safer-bench list networks"),
    (("--task", "prune", "--network", "digits_cnn"), "network 'digits_cnn' was not measured. Did you mean 'digits_mlp'? Those that were: digits_mlp, digits_resnet; for others: safer-bench measure"),
    (("--task", "prune", "--budget", "1"), "budget 1 of task 'prune'; expected share of the weights pruned from 0 to 1"),
    (("--task", "quantize", "--budget", "1.5"), "budget 1.5 of task 'quantize'; expected mean bits from 2 to 8"),
    (("--task", "protect", "--level", "2"), "level 2 of int8_bit_flip; expected a bit-error rate between 0 and 1"),
    (("--task", "protect", "--perturbation", "quantize"), "perturbation 'quantize' of task 'protect'; expected int8_bit_flip or float32_bit_flip"),
    (("--task", "prune", "--level", "0.1"), "task 'prune' has no levels: its budget says how much; leave out --level"),
    (("--task", "protect", "--perturbation", "int8_bit_flip", "--perturbation", "float32_bit_flip"), "task 'protect' takes one perturbation; found int8_bit_flip, float32_bit_flip"),
    (("--task", "protect", "--draws", "1", "--network", "digits_mlp"), "1 draws; expected at least 2, as intervals are over draws"),
    (("--task", "prune", "--submission", "{tmp}/absent"), "{tmp}/absent: no such folder; expected submissions/ or submissions/NAME"),
    (("--task", "prune", "--criterion", "spectral_norm", "--network", "digits_mlp"), "criterion 'spectral_norm' has no scores of network 'digits_mlp' under magnitude_prune. Did you mean 'l2_norm'? Those that have: constant, l2_norm, measured_drop_128, random, snip; give further ones by --submission DIR"),
    (("--task", "additivity", "--budget", "0.5"), "task 'additivity' compares drops, not scores: --submission, --criterion, --budget, --level and --plans are not its"),
    (("--task", "additivity", "--perturbation", "noise"), "no perturbation is called 'noise'. Did you mean 'gaussian_noise'? All of them: safer-bench list perturbations"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), BAD)
def test_bad_input_is_one_message_and_nothing_is_written(cli, small_tree, tmp_path, words, message):
    fill = lambda text: text.replace("{tmp}", str(tmp_path))  # noqa: E731
    found = cli("budget", *map(fill, words), "--truth", small_tree.path, "--out", tmp_path / "out")
    assert (found.code, found.err) == (2, f"Error: {fill(message)}\n")
    assert not list(tmp_path.iterdir())


def test_without_images_a_message_says_where_they_come_from(cli, small_tree, tmp_path, monkeypatch):
    """Networks that were not asked for by name are left out aloud."""
    from safer_bench.budget import images
    from safer_bench.errors import MissingData

    def absent(*_):
        raise MissingData("Fashion-MNIST is not on this machine")

    monkeypatch.setattr(images, "_check_same", absent)  # budget_network itself others would keep: they take it by name
    words = ("budget", "--task", "prune", "--truth", small_tree.path, "--out", tmp_path / "out")
    found = cli(*words, "--network", "digits_mlp")
    assert (found.code, found.err) == (2, "Error: Fashion-MNIST is not on this machine\n")
    found = cli(*words)
    assert (found.code, found.err.splitlines()) == (
        2,
        [
            *["Left out: Fashion-MNIST is not on this machine"] * 2,
            "Error: no network of the truth can be given a budget: see what was left out, and why",
        ],
    )
