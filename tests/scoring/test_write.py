"""What is written of scores: rows by track, means over sets of examples, costs, and what is refused before."""

import weakref

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from safer_bench.criteria.loading import criteria
from safer_bench.errors import BadInput
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring import write
from safer_bench.scoring.score import score
from safer_bench.scoring.sets import calibration_sweeps
from safer_bench.scoring.sweep import Sweep
from safer_bench.scoring.write import write_scores
from tests.made_up.criteria import LAYERS, criterion_file

LEVELS = [parse_perturbation("sign_flip:0.1,0.5"), parse_perturbation("gradient_corruption_l2:1")]


def test_rows_name_what_their_track_sees(tiny):
    sweep, layers = Sweep(tiny), ("conv", "hidden", "head")
    rows = sweep.scored(criteria()["measured_drop_128"], LEVELS).rows
    found = [(row["layer"], row["perturbation"], row["level"]) for row in rows]
    assert found == [(layer, name, None) for name in ("sign_flip", "gradient_corruption_l2") for layer in layers]
    rows = sweep.scored(criteria()["measured_drop_128_by_level"], LEVELS).rows
    at = (("sign_flip", 0.1), ("sign_flip", 0.5), ("gradient_corruption_l2", 1.0))
    assert [(row["layer"], row["perturbation"], row["level"]) for row in rows] == [(x, *y) for y in at for x in layers]
    assert {(row["perturbation"], row["level"]) for row in sweep.scored(criteria()["l2_norm"], LEVELS).rows} == {
        (None, None)
    }


def test_a_level_of_a_level_aware_criterion_is_averaged_into_the_aware_one(tiny):
    rows = Sweep(tiny).scored(criteria()["quantization_mse_by_level"], LEVELS[:1]).rows
    each = {(row["layer"], row["level"]): row["score"] for row in rows}
    average = score("quantization_mse", tiny, perturbation="sign_flip:0.1,0.5")
    for layer, value in average.items():
        assert each[layer, 0.1] < each[layer, 0.5]
        assert value == pytest.approx((each[layer, 0.1] + each[layer, 0.5]) / 2)


def test_the_others_go_on_when_a_criterion_fails(tiny, tmp_path):
    bad, out = criterion_file(tmp_path, "return {}"), tmp_path / "out"
    with pytest.raises(BadInput) as error:
        write_scores(out, ["l2_norm", bad, "snip"], [tiny], LEVELS)
    assert str(error.value) == (
        "criterion 'mine' on network 'tiny': expected one score for each of the 3 layers; "
        "missing 3 (['conv', 'head', 'hidden']), unknown none\n"
        f"1 of 3 refused; {out} holds what was not refused; the same command scores the rest"
    )
    assert set(pq.read_table(out / "scores.parquet")["criterion"].to_pylist()) == {"l2_norm", "snip"}
    assert [item["name"] for item in yaml.safe_load((out / "submission.yaml").read_text())["criteria"]] == [
        "l2_norm",
        "snip",
    ]


def test_where_every_criterion_fails_nothing_is_written(tiny, tmp_path):
    with pytest.raises(BadInput, match=r"\n1 of 1 refused; nothing was written$"):
        write_scores(tmp_path / "out", [criterion_file(tmp_path, "return {}")], [tiny], LEVELS)
    assert not (tmp_path / "out").exists()


def test_scores_are_written_with_card_and_costs(tiny, tmp_path):
    write_scores(tmp_path / "mine", ["l2_norm", "measured_drop_128"], [tiny], LEVELS)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "costs.parquet",
        "scores.parquet",
        "submission.yaml",
    ]
    assert pq.read_table(tmp_path / "mine" / "scores.parquet").num_rows == 3 + 2 * 3
    card = yaml.safe_load((tmp_path / "mine" / "submission.yaml").read_text())
    assert card["levels"] == {each.name: list(values) for each, values in LEVELS}
    write_scores(tmp_path / "blind", ["l2_norm"], [tiny], LEVELS)
    assert yaml.safe_load((tmp_path / "blind" / "submission.yaml").read_text())["levels"] == {}


def test_scores_from_examples_are_means_over_disjoint_sets_with_their_spread(tiny, tmp_path):
    write_scores(tmp_path / "mine", ["l2_norm", "snip", "measured_drop_32"], [tiny], LEVELS[:1], calibration_sets=3)
    rows = pq.read_table(tmp_path / "mine" / "scores.parquet").to_pylist()
    size = len(tiny.calibration[1]) // 3
    parts = [tuple(each[i * size : (i + 1) * size] for each in tiny.calibration) for i in range(3)]
    each = [score("snip", tiny, *part) for part in parts]
    for row in rows:
        if row["criterion"] == "snip":
            values = [found[row["layer"]] for found in each]
            assert row["score"] == pytest.approx(torch.tensor(values).double().mean().item())
            assert row["spread"] == pytest.approx(torch.tensor(values).double().std().item())
        else:
            assert row["spread"] is None
    costs = {
        row["criterion"]: row["forward_equivalents"]
        for row in pq.read_table(tmp_path / "mine" / "costs.parquet").to_pylist()
    }
    alone = [Sweep(tiny, own_examples=part).scored(criteria()["snip"], []).cost["forward_equivalents"] for part in parts]
    assert (costs["l2_norm"], costs["snip"]) == (1.0, sum(alone))
    drops = {row["layer"]: row["score"] for row in rows if row["criterion"] == "measured_drop_32"}
    assert drops == score("measured_drop_32", tiny, perturbation="sign_flip:0.1,0.5")
    assert yaml.safe_load((tmp_path / "mine" / "submission.yaml").read_text())["calibration_sets"] == 3
    with pytest.raises(BadInput) as error:
        write_scores(tmp_path / "many", ["snip"], [tiny], LEVELS, calibration_sets=len(tiny.calibration[1]) + 1)
    assert (
        str(error.value)
        == f"network 'tiny': {len(tiny.calibration[1])} calibration examples; expected {len(tiny.calibration[1]) + 1} sets of them"
    )


def test_what_criteria_share_of_one_set_is_gone_before_the_next_is_scored(tiny, tmp_path, monkeypatch):
    made, alive, scored = [], [], Sweep.scored

    def sweeps(network, n_sets, entries):
        found = calibration_sweeps(network, n_sets, entries)
        made.extend(map(weakref.ref, found))
        return found

    def counted(self, entry, levels):
        alive.append((entry.name, sum(each() is not None for each in made)))
        return scored(self, entry, levels)

    monkeypatch.setattr(write, "calibration_sweeps", sweeps)
    monkeypatch.setattr(Sweep, "scored", counted)
    write_scores(tmp_path / "mine", ["output_kl", "l2_norm", "snip"], [tiny], LEVELS, calibration_sets=3)
    assert alive == [
        ("output_kl", 3),
        ("l2_norm", 3),
        ("snip", 3),
        *((name, n) for n in (2, 1) for name in ("output_kl", "snip")),
    ]


def test_a_name_or_file_that_is_given_twice_is_refused_before_anything_is_scored(tiny, tmp_path):
    """Such a folder was written, and then refused by `check`: a criterion listed twice, or one file over the other."""
    (tmp_path / "other").mkdir()
    one, two = criterion_file(tmp_path, f"return {LAYERS}"), criterion_file(tmp_path / "other", f"return {LAYERS}", "theirs")
    for specs, networks, message in (
        (["snip", "l2_norm", "snip"], [tiny], "two criterion arguments are called 'snip'"),
        ([one, two], [tiny], "two file arguments are called 'criterion.py'"),
        (["l2_norm"], [tiny, tiny], "two network arguments are called 'tiny'"),
    ):
        with pytest.raises(BadInput) as error:
            write_scores(tmp_path / "out", specs, networks, LEVELS)
        assert str(error.value) == f"{message}; a submission holds each name once"
        assert not (tmp_path / "out").exists()


def test_no_networks_are_refused_and_not_scored_in_silence(tmp_path):
    with pytest.raises(BadInput, match=r"^no networks to score; name them by --network$"):
        write_scores(tmp_path / "out", ["snip"], [], LEVELS)


def test_what_a_card_says_in_words_stays_when_its_folder_is_scored_again(tiny, tmp_path):
    """Text written by hand was once erased without a word."""
    out, spec = tmp_path / "mine", criterion_file(tmp_path, f'"""Say so."""\n    return {LAYERS}')
    assert write_scores(out, [spec], [tiny], []).description == "Say so.", "the docstring's first line"
    card = yaml.safe_load((out / "submission.yaml").read_text())
    card |= {"description": "By hand", "authors": ["A"]}
    card["criteria"][0] |= {"formula": "max |W|"}
    (out / "submission.yaml").write_text(yaml.safe_dump(card))
    again = write_scores(out, [spec], [tiny], [], said=["licence=CC0-1.0"])
    assert (again.description, again.authors, again.licence) == ("By hand", ["A"], "CC0-1.0")
    assert again.criteria[0].formula == "max |W|"
    said = write_scores(out, [spec], [tiny], [], said=["authors=B", "formula=min |W|"])
    assert (said.authors, said.criteria[0].formula) == (["B"], "min |W|")


def test_scores_by_hand_of_before_do_not_stay_beside_those_that_are_written(tiny, tmp_path):
    """`check` says that `score` writes the card that is missing; then it found two files of scores."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scores.csv").write_text("network,layer,score\n")
    write_scores(tmp_path / "mine", ["l2_norm"], [tiny], [])
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"submission.yaml", "scores.parquet", "costs.parquet"}


def test_the_folder_of_all_submissions_is_not_written_to(tiny, tmp_path):
    write_scores(tmp_path / "all" / "one", ["l2_norm"], [tiny], [])
    with pytest.raises(BadInput) as error:
        write_scores(tmp_path / "all", ["l2_norm"], [tiny], [])
    folder = tmp_path / "all"
    assert str(error.value) == f"{folder}: holds submissions, such as one; write one of its own: --out {folder / 'NAME'}"
    assert [path.name for path in folder.iterdir()] == ["one"]
