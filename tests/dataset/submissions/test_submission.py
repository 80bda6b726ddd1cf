"""Submissions: what is accepted, and every refusal to the row."""

import re
import shutil

import pyarrow.parquet as pq
import pytest
import yaml

from safer_bench.dataset.submissions.gather import gather, submission_folders
from safer_bench.dataset.submissions.submission import BadSubmission, SubmissionCard, read_submission
from safer_bench.errors import BadInput
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.tables import schema, score_table

CARD = {"name": "mine", "criteria": [{"name": "mine"}]}


def layer_rows(tree, network):
    return [row["layer"] for row in tree["layers"].to_pylist() if row["network"] == network]


@pytest.fixture
def write(tmp_path, small_tree):
    """Write a submission that scores digits_mlp rightly but for ``change(lines)``."""

    def write(change=lambda lines: None, card=CARD, header="network,layer,score"):
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        lines = [f"digits_mlp,{layer},{i}" for i, layer in enumerate(layer_rows(small_tree, "digits_mlp"))]
        change(lines)
        (folder / "scores.csv").write_text("\n".join([header, *lines]) + "\n")
        (folder / "submission.yaml").write_text(card if isinstance(card, str) else yaml.safe_dump(card))
        return folder

    return write


def read(folder, tree):
    return read_submission(folder, tree)


def aware(track):
    return {**CARD, "criteria": [{"name": "mine", "track": track}]}


def expanded(*endings):
    def expand(lines):
        lines[:] = [f"{line},{ending}" for line in list(lines) for ending in endings]

    return expand


HEADER = "network,layer,score,perturbation,level"
LEVELS = ("gaussian_noise,0.5", "gaussian_noise,2", "gaussian_noise,8")


@pytest.mark.parametrize(
    ("track", "endings", "message"),
    [
        ("perturbation_aware", ("gausian_noise,",), "{csv}, row 1: 'gausian_noise' is not a perturbation of the truth. Did you mean 'gaussian_noise'?\nThose that it has: gaussian_noise, magnitude_prune. Name these alone; `score`: --perturbation"),
        ("level_aware", (*LEVELS, "gaussian_noise,3"), "{csv}, row 4: 3.0 is not a level of 'gaussian_noise'; its levels: 0.5, 2.0, 8.0"),
        ("level_aware", LEVELS[:2], "{csv}: criterion 'mine' does not score level 8.0 of 'gaussian_noise' on 'digits_mlp'"),
        ("level_aware", ("gaussian_noise,mild",), "{csv}, row 1: level is 'mild'; expected a number"),
    ],
)  # fmt: skip
def test_perturbations_and_levels_that_the_truth_lacks_are_refused(write, small_tree, track, endings, message):
    """They would be dropped without a word: no cell of the truth asks for them."""
    folder = write(expanded(*endings), aware(track), HEADER)
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert str(error.value) == message.replace("{csv}", str(folder / "scores.csv"))


@pytest.mark.parametrize("text", ["name: 2020-13-45", "[" * 3000, "name: \x00"])
def test_whatever_the_yaml_reader_raises_is_one_message(write, small_tree, text):
    with pytest.raises(BadSubmission, match=r"submission.yaml: "):
        read(write(card=text), small_tree)


def test_a_criterion_listed_twice_is_refused(write, small_tree):
    folder = write(card={"name": "mine", "criteria": [{"name": "mine"}, {"name": "mine"}]})
    with pytest.raises(BadSubmission, match="criterion 'mine' is listed twice"):
        read(folder, small_tree)


def test_damaged_costs_are_refused(write, small_tree):
    folder = write()
    (folder / "costs.parquet").write_bytes(b"nothing")
    with pytest.raises(BadSubmission, match=r"costs.parquet: cannot be read"):
        read(folder, small_tree)


def test_means_over_other_levels_than_the_truths_are_refused(write, small_tree):
    card = aware("perturbation_aware")
    levels = next(
        row["levels"] for row in small_tree["perturbations"].to_pylist() if row["perturbation"] == "gaussian_noise"
    )
    rows, header = expanded("gaussian_noise"), "network,layer,score,perturbation"
    read(write(rows, card | {"levels": {"gaussian_noise": levels, "mine": [1.0]}}, header), small_tree)
    folder = write(rows, card | {"levels": {"gaussian_noise": levels[:2]}}, header)
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert str(error.value) == (
        f"{folder / 'submission.yaml'}: 'gaussian_noise' was scored at levels 0.5,2.0, the truth has 0.5,2.0,8.0; "
        "score again without --perturbation, which takes the truth's"
    )


def test_of_more_perturbations_than_the_truth_has_one_is_named(write, small_tree):
    """Such scores once were so many rows too many, without a reason."""
    levels = {name: [0.5] for name in ("first", "second", "third")}
    folder = write(expanded(*levels), aware("perturbation_aware") | {"levels": levels}, "network,layer,score,perturbation")
    with pytest.raises(BadSubmission, match=r"row 1: 'first' is not a perturbation of the truth\."):
        read(folder, small_tree)


def test_a_csv_submission_is_read_with_dataset_and_split(write, small_tree):
    found = read(write(), small_tree)
    rows = found.scores.to_pylist()
    assert len(rows) == 10
    assert {(row["criterion"], row["track"], row["dataset"], row["split"]) for row in rows} == {
        ("mine", "blind", "digits", "validation")
    }


def setter(index, text):
    return lambda lines: lines.__setitem__(index, text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.pop(3), "{csv}: criterion 'mine' scores 9 of the 10 layers of network 'digits_mlp'; missing: 'hidden.3.0'"),
        (lambda lines: lines.append(lines[2]), "{csv}, row 11: layer 'hidden.2.0' of 'digits_mlp' was scored in row 3 already"),
        (setter(4, "digits_mlp,hidden.9.0,1"), "{csv}, row 5: 'hidden.9.0' is not a layer of network 'digits_mlp'. Did you mean 'hidden.8.0' or 'hidden.7.0' or 'hidden.6.0'?\nThe 10 layers: safer-bench info digits_mlp"),
        (setter(4, "digits_mpl,hidden.4.0,1"), "{csv}, row 5: 'digits_mpl' is not a network of the truth. Did you mean 'digits_mlp'?\nThe networks: digits_mlp, digits_resnet"),
        (setter(4, "digits_mlp,hidden.4.0,nan"), "{csv}, row 5: score is 'nan'; expected a number"),
        (setter(4, "digits_mlp,hidden.4.0,-inf"), "{csv}, row 5: score is '-inf'; expected a number"),
        (setter(4, "digits_mlp,hidden.4.0,high"), "{csv}, row 5: score is 'high'; expected a number"),
        (setter(4, "digits_mlp,hidden.4.0,"), "{csv}, row 5: score is None; expected a number"),
    ],
)  # fmt: skip
def test_bad_rows_are_named(write, small_tree, change, message):
    folder = write(change)
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert str(error.value) == message.replace("{csv}", str(folder / "scores.csv"))


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"name": "mine"}, "{yaml}: criteria is missing"),
        ({**CARD, "metrics": 1}, "{yaml}: metrics is not a known field (found 1)"),
        ({"name": "../etc", "criteria": [{"name": "mine"}]}, "{yaml}: name: found '../etc'; expected text of the pattern ^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$"),
        ({**CARD, "criteria": [{"name": "mine", "track": "clairvoyant"}]}, "{yaml}: criteria.0.track: found 'clairvoyant'; expected 'blind', 'perturbation_aware' or 'level_aware'"),
        ({**CARD, "criteria": [{"name": "mine"}, {"name": "other"}]}, "{csv}: column 'criterion' is missing, found 'network', 'layer', 'score'; expected criterion, network, layer, score, by commas"),
        ({**CARD, "weights": {"digits_mlp": "0" * 64}}, "{yaml}: scores of 'digits_mlp' were computed on weights 0000000000000000, the truth has {digest}; score the criterion again, on all networks that it scores"),
        ({**CARD, "criteria": [{"name": "mine", "track": "perturbation_aware"}]}, "{csv}, row 1: a perturbation_aware score has a perturbation and no level"),
    ],
)  # fmt: skip
def test_bad_cards_are_named(write, small_tree, card, message):
    folder = write(card=card)
    digest = next(row["weights_sha256"] for row in small_tree["networks"].to_pylist() if row["network"] == "digits_mlp")
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    places = {"{yaml}": folder / "submission.yaml", "{csv}": folder / "scores.csv", "{digest}": digest[:16]}
    for key, value in places.items():
        message = message.replace(key, str(value))
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["calibration_sets", "probe_sets"])
def test_cards_of_before_call_sets_of_calibration_examples_probe_sets(name):
    card = SubmissionCard.model_validate({"name": "mine", "criteria": [{"name": "x"}], name: 3})
    assert card.calibration_sets == 3


def test_what_is_no_yaml_is_named(write, small_tree):
    with pytest.raises(BadSubmission, match=r"submission.yaml: is not YAML: while parsing a flow sequence"):
        read(write(card="name: [mine"), small_tree)


def test_a_yaml_object_is_not_built(write, small_tree, tmp_path):
    """Loading must never run code."""
    with pytest.raises(BadSubmission, match="could not determine a constructor"):
        read(write(card=f"!!python/object/apply:os.mkdir ['{tmp_path / 'made'}']"), small_tree)
    assert not (tmp_path / "made").exists()


def test_a_yaml_bomb_is_one_short_message(write, small_tree):
    """Ten lines of aliases stand for 10^9 words; none of them may be written out."""
    lines = ["a0: &a0 [boom, boom, boom]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    for card in ("\n".join([*lines, "name: *a9"]), "\n".join([*lines, "name: mine", "criteria: *a9"])):
        with pytest.raises(BadSubmission) as error:
            read(write(card=card), small_tree)
        assert len(str(error.value)) < 500


def test_a_card_of_many_bytes_is_not_read(write, small_tree):
    folder = write(card="description: " + "x" * 1_000_000)
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert str(error.value) == f"{folder / 'submission.yaml'}: 1,000,013 bytes; expected 1,000,000 at most"


@pytest.mark.parametrize(
    ("spread", "expected"), [("-1", "a standard deviation, or nothing"), ("nan", "a number"), ("wide", "a number")]
)
def test_a_spread_that_is_no_deviation_is_named(write, small_tree, spread, expected):
    folder = write(
        lambda lines: lines.__setitem__(slice(None), [f"{line},{spread}" for line in lines]),
        header="network,layer,score,spread",
    )
    with pytest.raises(BadSubmission, match=rf"scores.csv, row 1: spread is .*; expected {expected}$"):
        read(folder, small_tree)


@pytest.mark.parametrize("code", ["../mine.py:f", "/etc/passwd:f", "mine.py", "mine.py:f()", "a/mine.py:f"])
def test_code_outside_the_folder_is_refused(write, small_tree, code):
    with pytest.raises(BadSubmission, match=r"criteria.0.code: found .*; expected text of the pattern"):
        read(write(card={"name": "mine", "criteria": [{"name": "mine", "code": code}]}), small_tree)


def test_code_that_is_a_link_or_absent_is_refused(write, small_tree):
    folder = write(card={"name": "mine", "criteria": [{"name": "mine", "code": "mine.py:f"}]})
    for make, found in (
        (lambda: None, "cannot be read (No such file or directory); expected a file"),
        (
            lambda: (folder / "mine.py").symlink_to("/etc/hostname"),
            "a symbolic link; expected the file itself: links are not followed",
        ),
    ):
        make()
        with pytest.raises(BadSubmission) as error:
            read(folder, small_tree)
        assert str(error.value) == f"{folder / 'submission.yaml'}: code of 'mine': {folder / 'mine.py'}: {found}"
    (folder / "mine.py").unlink()
    (folder / "mine.py").write_text("def f(model, batches): ...")
    assert read(folder, small_tree).card.criteria[0].code == "mine.py:f"


@pytest.mark.parametrize("score", ["1e308", "-1e308", "5e-324", "0"])
def test_scores_at_the_ends_of_float64_are_ranked(write, small_tree, score):
    folder = write(lambda lines: lines.__setitem__(4, f"{lines[4].rpartition(',')[0]},{score}"))
    results = evaluate(small_tree, gather(small_tree, [folder]).scores).to_pylist()
    found = [row["value"] for row in results if row["criterion"] == "mine" and row["metric"] == "spearman"]
    assert len(found) > 5
    assert all(-1 <= value <= 1 for value in found)


def test_missing_files_are_named(write, small_tree, tmp_path):
    folder = write()
    (folder / "scores.csv").unlink()
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert str(error.value) == f"{folder}: expected one of scores.parquet and scores.csv, found none"
    (folder / "submission.yaml").unlink()
    with pytest.raises(BadSubmission, match=r"submission.yaml: missing; `safer-bench score CRITERION --out"):
        read(folder, small_tree)
    with pytest.raises(BadInput, match=r"no such folder; expected submissions/NAME with submission.yaml and scores"):
        read(tmp_path / "absent", small_tree)


def test_a_damaged_parquet_file_is_named(write, small_tree):
    folder = write()
    (folder / "scores.csv").rename(folder / "scores.parquet")
    with pytest.raises(BadSubmission, match=r"scores.parquet: cannot be read \(.*Parquet magic bytes not found"):
        read(folder, small_tree)


def test_level_aware_scores_carry_perturbation_and_level(write, small_tree):
    assert read(write(expanded(*LEVELS), aware("level_aware"), HEADER), small_tree).scores.num_rows == 30


def test_a_criterion_with_other_scores_than_the_trees_own_is_refused(write, small_tree):
    """Such a one once passed `check`, and then no submission could be evaluated."""
    folder = write(card={"name": "mine", "criteria": [{"name": "l2_norm"}]})
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert re.sub(r"'digits_mlp' [\d.]+ in", "'digits_mlp' ... in", str(error.value)) == (
        f"criterion 'l2_norm' scores 'head' of 'digits_mlp' ... in the tree's own scores and 9 in {folder}; if these are two "
        "criteria, rename the function of one and score it again; if it is one, score it by as many --calibration-sets in both"
    )


def test_two_submissions_with_different_scores_of_one_criterion_are_refused(write, small_tree, tmp_path):
    other = shutil.copytree(write(), tmp_path / "other")
    (other / "submission.yaml").write_text(yaml.safe_dump({**CARD, "name": "other"}))
    folder = write(lambda lines: lines.__setitem__(-1, f"{lines[-1].rpartition(',')[0]},7"))
    with pytest.raises(
        BadInput, match=r"'mine' scores 'head' of 'digits_mlp' 9 in .*/other and 7 in .*/mine; if these are two"
    ):
        gather(small_tree, [tmp_path / "other", folder])


def test_a_criterion_with_the_trees_own_scores_is_listed_once(small_tree, small_scores):
    assert gather(small_tree, [small_scores]).scores.equals(gather(small_tree, []).scores)


def test_the_last_digits_of_a_score_are_the_machines():
    """Another number of threads moved a score of `wanda` on shufflenet31 by 2e-5: it is the same criterion."""
    place = {"criterion": "mine", "track": "blind", "network": "a", "perturbation": None, "level": None}

    def rows(*scores):
        return [place | {"layer": str(i), "score": score} for i, score in enumerate(scores)]

    first = rows(1000.0, 1.0, 0.0)
    assert score_table.agreed([("here", first), ("there", rows(1000.9, 1.0, 0.0009))]) == first
    for other in (rows(1001.1, 1.0, 0.0), rows(1000.0, 1.0031, 0.0), rows(1000.0, 1.0, 0.0011)):
        with pytest.raises(BadInput, match="criterion 'mine' scores"):
            score_table.agreed([("here", first), ("there", other)])


def test_folders_of_submissions_are_found(write, tmp_path):
    folder = write()
    (tmp_path / "failed").mkdir()
    assert submission_folders(tmp_path) == [folder]
    assert submission_folders(folder) == [folder]
    with pytest.raises(BadInput, match="no such folder; expected submissions/ or submissions/NAME"):
        submission_folders(tmp_path / "absent")
    with pytest.raises(BadInput) as error:
        submission_folders(folder / "scores.csv")
    assert str(error.value) == f"{folder / 'scores.csv'}: a file; name its folder: {folder}"


def test_a_submission_tells_only_what_its_own_criteria_cost(write, small_tree, small_scores, tmp_path):
    """The tree's own figures go before a submitter's, and nobody speaks for another's criterion."""
    folder = write()
    rows = [
        {"criterion": name, "network": "digits_mlp", "forward_equivalents": 7.0}
        for name in ("mine", "snip", "somebody_elses")
    ]
    pq.write_table(schema.build("costs", rows), folder / "costs.parquet")
    found = {(row["criterion"], row["network"]): row for row in gather(small_tree, [folder]).costs.to_pylist()}
    own = {(row["criterion"], row["network"]): row for row in small_tree["costs"].to_pylist()}
    assert {key: row for key, row in found.items() if key in own} == own
    assert found.keys() - own.keys() == {("mine", "digits_mlp")}
    assert found["mine", "digits_mlp"]["forward_equivalents"] == 7.0
    again = shutil.copytree(small_scores, tmp_path / "again")
    pq.write_table(schema.build("costs", rows), again / "costs.parquet")
    assert gather(small_tree, [again]).costs.equals(gather(small_tree, []).costs)


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -1.0])
def test_costs_that_are_none_are_refused(write, small_tree, cost):
    """A page of JSON has no such number: one submission's costs once kept the whole leaderboard from being written."""
    folder = write()
    rows = [{"criterion": "mine", "network": "digits_mlp", "forward_equivalents": cost}]
    pq.write_table(schema.build("costs", rows), folder / "costs.parquet")
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert (
        str(error.value) == f"{folder / 'costs.parquet'}: forward_equivalents is {cost}; expected what it cost, or nothing"
    )


def test_the_row_with_the_bad_level_or_spread_is_named_in_a_csv_column_that_it_made_text(write, small_tree):
    """One text makes all of a CSV column text, also what is empty or a number."""

    def change(lines):
        lines[:] = [f"{line},,{'' if i else '0.5'}" for i, line in enumerate(lines)]
        lines[2] = f"{lines[2].rpartition(',')[0]},much"

    folder = write(change, header="network,layer,score,level,spread")
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert str(error.value) == f"{folder / 'scores.csv'}, row 3: spread is 'much'; expected a number"
    folder = write(lambda lines: lines.__setitem__(slice(None), [f"{lines[0]},", f"{lines[1]},mild", *(f"{x}," for x in lines[2:])]),
                   header="network,layer,score,level")  # fmt: skip
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert str(error.value) == f"{folder / 'scores.csv'}, row 2: level is 'mild'; expected a number"


def test_scores_without_a_card_are_no_silent_nothing(write, small_tree, tmp_path):
    folder = write()
    (folder / "submission.yaml").rename(folder / "submission.yml")
    assert submission_folders(tmp_path) == [folder]
    with pytest.raises(BadSubmission) as error:
        gather(small_tree, submission_folders(tmp_path))
    assert str(error.value).startswith(f"{folder / 'submission.yaml'}: missing; ")
    assert submission_folders(folder) == [folder]


def test_the_name_of_a_control_that_evaluation_adds_is_refused(write, small_tree):
    """Such a folder once passed `check`, and then no submission could be evaluated."""
    folder = write(card={"name": "mine", "criteria": [{"name": "replicate"}]})
    with pytest.raises(BadSubmission) as error:
        read(folder, small_tree)
    assert str(error.value) == (
        f"{folder / 'submission.yaml'}: 'replicate' is the name of a control that evaluation adds; give the criterion "
        "another name"
    )
