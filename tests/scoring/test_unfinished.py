"""A command that scores and was stopped resumes; what it kept is used for nothing else."""

import pyarrow.parquet as pq
import pytest
import torch

from safer_bench.errors import BadInput
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.sweep import Sweep
from safer_bench.scoring.unfinished import FOLDER
from safer_bench.scoring.write import write_scores
from tests.made_up.networks import tiny_network

LEVELS = [parse_perturbation("sign_flip:0.1,0.5")]
CRITERIA = ["l2_norm", "snip", "measured_drop_32"]


@pytest.fixture
def asked(monkeypatch):
    """The criteria that are run, in order; setting ``stop`` lets the last of so many end the command."""
    scored = Sweep.scored

    class Asked(list):
        stop = None

    names = Asked()

    def counted(self, entry, levels):
        names.append(entry.name)
        if len(names) == names.stop:
            raise KeyboardInterrupt
        return scored(self, entry, levels)

    monkeypatch.setattr(Sweep, "scored", counted)
    return names


def stopped(out, asked, tiny, specs=CRITERIA, n=4):
    """Start three sets of calibration examples and stop on the n-th answer."""
    asked.clear()
    asked.stop = n
    with pytest.raises(KeyboardInterrupt):
        write_scores(out, specs, [tiny], LEVELS, calibration_sets=3)
    assert not (out / "scores.parquet").exists()
    asked.clear()
    asked.stop = None


def test_a_stopped_command_goes_on_where_it_was_and_writes_what_it_would_have(tiny, tmp_path, asked):
    stopped(tmp_path / "mine", asked, tiny)
    write_scores(tmp_path / "mine", CRITERIA, [tiny], LEVELS, calibration_sets=3)
    assert asked == ["snip", "snip"]
    assert not (tmp_path / "mine" / FOLDER).exists()
    write_scores(tmp_path / "whole" / "mine", CRITERIA, [tiny], LEVELS, calibration_sets=3)
    for name in ("scores.parquet", "submission.yaml"):
        assert (tmp_path / "mine" / name).read_bytes() == (tmp_path / "whole" / "mine" / name).read_bytes()
    costs = [pq.read_table(tmp_path / path / "costs.parquet") for path in ("mine", "whole/mine")]
    assert costs[0].schema == costs[1].schema
    assert costs[0]["forward_equivalents"] == costs[1]["forward_equivalents"]


def test_what_was_kept_answers_for_nothing_else(tiny, tmp_path, asked):
    stopped(tmp_path / "mine", asked, tiny)
    write_scores(tmp_path / "mine", CRITERIA, [tiny], [parse_perturbation("sign_flip:0.1")], calibration_sets=3)
    assert asked == ["measured_drop_32", "snip", "snip"]  # the others see no levels

    stopped(tmp_path / "sets", asked, tiny)
    write_scores(tmp_path / "sets", CRITERIA, [tiny], LEVELS, calibration_sets=2)
    assert asked == [*CRITERIA, "snip"]

    stopped(tmp_path / "weights", asked, tiny)
    other = tiny_network()
    with torch.no_grad():
        other.model.head.bias += 1.0
    write_scores(tmp_path / "weights", CRITERIA, [other], LEVELS, calibration_sets=3)
    assert asked == [*CRITERIA, "snip", "snip"]


def test_an_edited_criterion_is_run_again_and_the_others_are_not(tiny, tmp_path, asked):
    file, out = tmp_path / "criterion.py", tmp_path / "mine"
    specs = ["snip", f"{file}:mine"]
    file.write_text("def mine(model, batches):\n    return {'conv': 1.0}\n")
    with pytest.raises(BadInput, match=r"1 of 2 refused; \S+ holds what was not refused; the same command scores the rest$"):
        write_scores(out, specs, [tiny], LEVELS)
    file.write_text("def mine(model, batches):\n    return {'conv': 1.0, 'hidden': 2.0, 'head': 3.0}\n")
    asked.clear()
    write_scores(out, specs, [tiny], LEVELS)
    assert asked == ["mine"]
    assert set(pq.read_table(out / "scores.parquet")["criterion"].to_pylist()) == {"snip", "mine"}
    assert sorted(path.name for path in out.iterdir()) == [
        "costs.parquet",
        "criterion.py",
        "scores.parquet",
        "submission.yaml",
    ]


def test_a_part_that_was_damaged_is_scored_again(tiny, tmp_path, asked):
    stopped(tmp_path / "mine", asked, tiny)
    for path in (tmp_path / "mine" / FOLDER).iterdir():
        path.write_bytes(path.read_bytes()[:-10])
    write_scores(tmp_path / "mine", CRITERIA, [tiny], LEVELS, calibration_sets=3)
    assert asked == [*CRITERIA, "snip", "snip"]
