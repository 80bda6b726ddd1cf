"""Criteria from files, what is refused, and what a submission folder holds."""

import pyarrow.parquet as pq
import pytest

from safer_bench.criteria import criteria
from safer_bench.errors import BadInput, UnknownName
from safer_bench.networks import Network
from safer_bench.perturbations import parse_perturbation
from safer_bench.scoring import score, score_network, write_scores

LEVELS = [parse_perturbation("sign_flip:0.1,0.5"), parse_perturbation("gradient_corruption_l2:1")]


def criterion_file(tmp_path, body, name="mine"):
    path = tmp_path / "criterion.py"
    path.write_text(f"import torch\ndef {name}(model, batches):\n    {body}\n")
    return f"{path}:{name}"


LAYERS = "{'conv': 1.0, 'hidden': 2.0, 'head': 3.0}"


def test_a_plain_function_in_a_file_is_a_criterion(tiny, tmp_path):
    assert score(criterion_file(tmp_path, f"return {LAYERS}"), tiny) == {"conv": 1.0, "hidden": 2.0, "head": 3.0}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no')", "raised ValueError: no"),
        ("return {'conv': 1.0}", "expected one score for each of the 3 layers; missing ['head', 'hidden'], unknown []"),
        (f"return {{**{LAYERS}, 'tail': 1.0}}", "expected one score for each of the 3 layers; missing [], unknown ['tail']"),
        (f"return {{**{LAYERS}, 'head': None}}", "a score is no number (float() argument must be a string or a real number, not 'NoneType')"),
        ("return 3", "expected one score for each of the 3 layers; missing ['conv', 'head', 'hidden'], unknown []"),
        (f"return {{**{LAYERS}, 'head': float('nan')}}", "the score of layer 'head' is nan; expected a finite number"),
        (
            f"next(model.parameters()).data.mul_(2); return {LAYERS}",
            "changed the model (conv.weight); restore every weight before returning",
        ),
    ],
)  # fmt: skip
def test_a_criterion_that_fails_is_named_and_nothing_becomes_a_silent_zero(tiny, tmp_path, body, message):
    before = tiny.weights_sha256
    with pytest.raises(BadInput) as error:
        score(criterion_file(tmp_path, body), tiny)
    assert str(error.value) == f"criterion 'mine' on network 'tiny': {message}"
    assert Network(tiny.model, tiny.images, tiny.labels).weights_sha256 == before


def test_files_and_functions_that_are_not_there_are_named(tmp_path, tiny):
    path = criterion_file(tmp_path, f"return {LAYERS}").rpartition(":")[0]
    with pytest.raises(BadInput) as error:
        score(f"{path}:mien", tiny)
    assert str(error.value) == f"{path}:mien: '{path}' defines no function 'mien'. Did you mean 'mine'?"
    with pytest.raises(BadInput) as error:
        score("absent.py:mine", tiny)
    assert str(error.value) == "absent.py:mine: there is no file 'absent.py'; expected FILE.py:FUNC"


def test_a_file_that_does_not_import_is_named(tmp_path, tiny):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(BadInput, match=r"importing '.*broken.py' failed with ModuleNotFoundError: No module named"):
        score(f"{path}:mine", tiny)


def test_an_unknown_criterion_gets_near_misses(tiny):
    with pytest.raises(UnknownName) as error:
        score("snipe", tiny)
    assert str(error.value) == (
        "no criterion is called 'snipe'. Did you mean 'snip'? All of them: safer-bench list criteria"
    )


def test_an_aware_criterion_needs_a_perturbation(tiny):
    with pytest.raises(BadInput) as error:
        score("measured_drop_128", tiny)
    assert str(error.value) == "criterion 'measured_drop_128' sees the perturbation; give perturbation=NAME"


def test_given_examples_are_all_used_and_must_match(tiny):
    images, labels = tiny.evaluation
    repeated = score("snip", tiny, images.repeat(20, 1, 1, 1), labels.repeat(20))
    assert repeated == pytest.approx(score("snip", tiny, images, labels), rel=1e-4)
    for bad in ((images, None), (images, labels[:5]), (None, labels)):
        with pytest.raises(BadInput, match="images and labels: expected both, as many of each, or neither"):
            score("snip", tiny, *bad)


def test_a_submissions_name_is_checked_before_anything_is_scored(tiny, tmp_path):
    with pytest.raises(BadInput, match=r"name 'my scores': String should match pattern"):
        write_scores(tmp_path / "my scores", [criterion_file(tmp_path, "raise ValueError")], [tiny], LEVELS)


def test_costs_count_passes_forward_as_one_and_backward_as_two(tiny):
    """40 probe examples; finding the layers costs one more each time."""
    snip = score_network(criteria()["snip"], tiny, LEVELS, batch_size=16).cost
    assert snip["forward_equivalents"] == 40 + 2 * 40 + 2
    drop = score_network(criteria()["measured_drop_128"], tiny, LEVELS[:1], batch_size=16).cost
    assert drop["forward_equivalents"] == 2 * (40 * (1 + 3) + 1)
    assert drop["seconds"] > 0
    gradient = score_network(criteria()["measured_drop_128"], tiny, LEVELS[1:], batch_size=16).cost
    assert gradient["forward_equivalents"] == 3 * 40 + 1 + 40 * (1 + 3) + 1


def test_aware_rows_name_their_perturbation_and_blind_ones_none(tiny):
    rows = score_network(criteria()["measured_drop_128"], tiny, LEVELS).rows
    assert [(row["layer"], row["perturbation"]) for row in rows] == [
        (layer, name) for name in ("sign_flip", "gradient_corruption_l2") for layer in ("conv", "hidden", "head")
    ]
    assert {row["perturbation"] for row in score_network(criteria()["l2_norm"], tiny, LEVELS).rows} == {None}


def test_a_failing_criterion_leaves_nothing_written(tiny, tmp_path):
    with pytest.raises(BadInput):
        write_scores(tmp_path / "out", ["l2_norm", criterion_file(tmp_path, "return {}")], [tiny], LEVELS)
    assert not (tmp_path / "out").exists()


def test_scores_are_written_with_card_and_costs(tiny, tmp_path):
    write_scores(tmp_path / "mine", ["l2_norm", "measured_drop_128"], [tiny], LEVELS)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "costs.parquet",
        "scores.parquet",
        "submission.yaml",
    ]
    assert pq.read_table(tmp_path / "mine" / "scores.parquet").num_rows == 3 + 2 * 3
