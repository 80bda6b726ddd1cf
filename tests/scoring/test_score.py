"""Criteria from files, and what is refused of them and of the examples that they are given."""

import threading

import numpy as np
import pytest
import torch

import safer_bench as sb
from safer_bench.criteria.criterion import criterion
from safer_bench.criteria.loading import criteria, parse_criterion
from safer_bench.errors import BadInput, UnknownName
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.score import score
from safer_bench.scoring.sweep import Sweep
from safer_bench.scoring.write import write_scores
from tests.made_up.criteria import LAYERS, criterion_file

LEVELS = [parse_perturbation("sign_flip:0.1,0.5"), parse_perturbation("gradient_corruption_l2:1")]


def test_a_plain_function_in_a_file_is_a_criterion(tiny, tmp_path):
    assert score(criterion_file(tmp_path, f"return {LAYERS}"), tiny) == {"conv": 1.0, "hidden": 2.0, "head": 3.0}


def test_an_object_that_can_be_called_is_a_criterion_by_its_name_in_the_file(tmp_path):
    """It has no name of its own: that was a traceback."""
    path = tmp_path / "mine.py"
    path.write_text(
        "import functools\nclass Ones:\n    def __call__(self, model, batches): return {}\nones = Ones()\n"
        "half = functools.partial(lambda factor, model, batches: {}, 0.5)\n"
    )
    assert [parse_criterion(f"{path}:{name}").name for name in ("ones", "half")] == ["ones", "half"]


def test_a_function_is_a_criterion_decorated_or_not(tiny):
    def mine(model, batches):
        return {"conv": 1.0, "hidden": 2.0, "head": 3.0}

    decorated = criterion(needs="weights", formula="1, 2, 3", source="test")(mine)
    assert score(mine, tiny) == score(decorated, tiny) == {"conv": 1.0, "hidden": 2.0, "head": 3.0}
    assert score(criteria()["snip"], tiny) == score("snip", tiny)
    entry, _ = LEVELS[0]
    assert score("output_kl", tiny, perturbation=entry) == score("output_kl", tiny, perturbation=entry.name)


def test_the_name_of_a_network_is_no_network():
    with pytest.raises(BadInput) as error:
        score("snip", "digits_mlp")
    assert str(error.value) == "expected a Network, got 'digits_mlp'; safer_bench.load_network(NAME) loads one of the zoo"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no')", "raised ValueError: no (criterion.py:3, in mine)"),
        ("raise SystemExit(0)", "raised SystemExit: 0 (criterion.py:3, in mine)"),
        ("return {'conv': 1.0}", "expected one score for each of the 3 layers; missing 2 (['head', 'hidden']), unknown none"),
        (f"return {{**{LAYERS}, 'tail': 1.0}}", "expected one score for each of the 3 layers; missing none, unknown 1 (['tail'])"),
        (f"return {{**{LAYERS}, 'head': '1.0'}}", "a score is not a number ('1.0' of layer 'head'); expected a float"),
        (f"return {{**{LAYERS}, 'head': True}}", "a score is not a number (True of layer 'head'); expected a float"),
        (f"return {{**{LAYERS}, 'head': None}}", "a score is not a number (float() argument must be a string or a real number, not 'NoneType')"),
        ("return 3", "returned int; expected {layer name: score}"),
        (f"return {{**{LAYERS}, 'head': float('nan')}}", "the score of layer 'head' is nan; expected a finite number"),
        (
            f"next(model.parameters()).data.mul_(2); return {LAYERS}",
            "changed the model (conv.weight); restore every weight before returning",
        ),
        (f"model.train(); return {LAYERS}", "left the model in training mode; call model.eval() before returning"),
        (f"model.register_forward_hook(print); return {LAYERS}", "left hooks on the model; remove each before returning"),
    ],
)  # fmt: skip
def test_a_criterion_that_fails_is_named_and_nothing_becomes_a_silent_zero(tiny, tmp_path, body, message):
    before = tiny.weights_sha256
    with pytest.raises(BadInput) as error:
        score(criterion_file(tmp_path, body), tiny)
    assert str(error.value) == f"criterion 'mine' on network 'tiny': {message}"
    assert Network(tiny.model, tiny.inputs, tiny.labels).weights_sha256 == before


@pytest.mark.parametrize(
    ("body", "name"), [("model.conv.weight.data.view(-1)[0].neg_()", "conv.weight"), ("model.table.add_(1)", "table")]
)
def test_a_model_is_unchanged_to_the_bit_in_unsaved_buffers_too(tiny, tmp_path, body, name):
    tiny.model.register_buffer("table", torch.zeros(3), persistent=False)
    tiny.model.conv.weight.data.view(-1)[0] = 0.0
    with pytest.raises(BadInput, match=rf"changed the model \({name}\)"):
        score(criterion_file(tmp_path, f"{body}; return {LAYERS}"), tiny)


def test_a_value_that_is_no_number_is_no_change(tiny, tmp_path):
    tiny.model.register_buffer("missing", torch.tensor(float("nan")))
    assert score(criterion_file(tmp_path, f"return {LAYERS}"), tiny)["head"] == 3.0


def test_what_a_criterion_does_to_torch_is_undone(tiny, tmp_path):
    body = (
        f"torch.set_grad_enabled(False); torch.set_default_dtype(torch.float64); torch.set_num_threads(3); return {LAYERS}"
    )
    before = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    sweep = Sweep(tiny)
    sweep.scores(parse_criterion(criterion_file(tmp_path, body)))
    assert (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()) == before
    assert sweep.scores(criteria()["snip"]) == score("snip", tiny)


def test_a_file_that_ends_the_program_is_named(tmp_path, tiny):
    path = tmp_path / "script.py"
    path.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(BadInput, match=r"importing '.*script.py' failed with SystemExit: 0"):
        score(f"{path}:mine", tiny)


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


def test_a_function_that_wants_more_is_told_how_to_see_the_perturbation(tmp_path):
    path = tmp_path / "criterion.py"
    path.write_text("def mine(model, batches, perturb, level):\n    return {}\n")
    with pytest.raises(BadInput, match=r"takes \(model, batches, perturb, level\); expected .*@sb.criterion\(aware=True\)"):
        parse_criterion(f"{path}:mine")


def test_a_decorated_function_of_other_arguments_is_refused_at_once(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import safer_bench as sb\n"
        "@sb.criterion(aware=True)\ndef wrong(model, batches): pass\n"
        "@sb.criterion()\ndef blind(model, batches, perturb, level): pass\n"
        "@sb.criterion(aware=True)\ndef right(model, batches, perturb, level): pass\n"
    )
    for name, wanted, expected in (
        ("wrong", "(model, batches)", "with aware=True (model, batches, perturb, level)"),
        ("blind", "(model, batches, perturb, level)", "without aware=True (model, batches)"),
    ):
        with pytest.raises(BadInput) as error:
            parse_criterion(f"{path}:{name}")
        assert str(error.value) == f"{path}:{name}: takes {wanted}; expected {expected}"
    assert parse_criterion(f"{path}:right").aware


@pytest.mark.filterwarnings("error")
def test_a_score_that_requires_a_gradient_is_a_number(tiny, tmp_path):
    spec = criterion_file(
        tmp_path, "return {n: model.get_parameter(n + '.weight').abs().max() for n in ('conv', 'hidden', 'head')}"
    )
    assert all(isinstance(value, float) for value in score(spec, tiny).values())


def test_what_is_no_dictionary_is_named(tiny, tmp_path):
    with pytest.raises(BadInput, match=r"'mine' on network 'tiny': returned list; expected \{layer name: score\}$"):
        score(criterion_file(tmp_path, "return [1.0]"), tiny)


def test_an_aware_criterion_that_fails_names_perturbation_and_level(tiny):
    @criterion(aware=True)
    def endless(model, batches, perturb, level):
        return {layer.name: float("inf") for layer in tiny.layers}

    with pytest.raises(
        BadInput, match=r"'endless' on network 'tiny' under sign_flip at level 0\.5: the score of layer 'conv'"
    ):
        score(endless, tiny, perturbation="sign_flip:0.5")


def test_a_blind_criterion_takes_no_perturbation(tiny):
    with pytest.raises(BadInput, match=r"^criterion 'snip' is blind: it sees no perturbation; leave perturbation out$"):
        score("snip", tiny, perturbation="sign_flip:0.5")


def test_an_aware_criterion_needs_a_perturbation(tiny):
    with pytest.raises(BadInput) as error:
        score("measured_drop_128", tiny)
    assert str(error.value) == "criterion 'measured_drop_128' sees the perturbation; give perturbation=NAME"


def test_given_examples_are_all_used_and_must_match(tiny):
    images, labels = tiny.evaluation
    repeated = score("snip", tiny, images.repeat(20, 1, 1, 1), labels.repeat(20))
    assert repeated == pytest.approx(score("snip", tiny, images, labels), rel=1e-4)
    for bad in ((images, None), (images, labels[:5]), (None, labels)):
        with pytest.raises(
            BadInput,
            match=r"inputs and labels: expected both, as many of each, or neither|60 images and 5 labels",
        ):
            score("snip", tiny, *bad)


def test_given_examples_may_be_arrays_of_any_precision_and_may_require_gradients(tiny):
    images, labels = tiny.calibration
    expected = score("snip", tiny, images, labels)
    assert score("snip", tiny, images.numpy(), labels.numpy()) == expected
    assert score("snip", tiny, images.double().numpy(), labels.numpy().astype("int32")) == expected
    assert score("snip", tiny, images.numpy().astype(">f4").astype("f4"), labels.tolist()) == expected
    assert score("snip", tiny, images.clone().requires_grad_(True), labels) == expected


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 1, 4, 4)), np.zeros((3, 1), int), r"labels are torch.int64 \(3, 1\); expected int64 \(n,\) or"),
        (np.zeros((3, 1, 4, 4)), np.zeros(3), r"labels are torch.float64 \(3,\); expected int64 \(n,\) or"),
        (np.zeros((3, 1, 4, 4)), np.full(3, 3), r"labels from 3 to 3; expected 0 to 2"),
        (
            np.zeros((3, 4, 4)),
            np.zeros(3, int),
            r"images of shape \(4, 4\); expected \(1, 4, 4\), that of the evaluation images",
        ),
        (
            np.zeros((3, 1, 4, 4), int),
            np.zeros(3, int),
            r"input 0 of \(1, 4, 4, 'torch.int64'\); expected input 0 of \(1, 4, 4\), as the evaluation",
        ),
        (np.full((3, 1, 4, 4), np.nan), np.zeros(3, int), "images hold NaN or infinite values"),
        (np.zeros((0, 1, 4, 4)), np.zeros(0, int), "0 images and 0 labels; expected as many, at least one"),
        ("images", np.zeros(3, int), r"images are a str .*; expected a tensor or array of numbers"),
        (np.array(["a"]), np.zeros(1, int), r"images are a ndarray .*; expected a tensor or array of numbers"),
        (np.float32(1), np.zeros(1, int), r"images are \(\); expected \(n, ...\) with values"),
    ],
)
def test_given_examples_that_are_none_of_the_network_are_one_message(tiny, images, labels, message):
    with pytest.raises(BadInput, match=message):
        score("snip", tiny, images, labels)


def test_a_model_that_cannot_be_copied_is_one_message():
    model, images = torch.nn.Linear(4, 3).eval(), torch.randn(6, 4)
    model.lock = threading.Lock()
    network = Network(model, images[:3], torch.arange(3), calibration=(images[3:], torch.arange(3)))
    with pytest.raises(
        BadInput, match=r"network 'own': copying its model raised TypeError: .*; expected one that copy.deepcopy"
    ):
        score("l2_norm", network)


def test_a_submissions_name_is_checked_before_anything_is_scored(tiny, tmp_path):
    with pytest.raises(BadInput, match=r"name: found 'my scores'; expected text of the pattern"):
        write_scores(tmp_path / "my scores", [criterion_file(tmp_path, "raise ValueError")], [tiny], LEVELS)


def test_the_decorator_needs_no_brackets(tiny):
    def sizes(model, batches):
        """Count weights."""
        return {name: float(weight.numel()) for name, weight in sb.layer_weights(model, batches).items()}

    bare, called = sb.criterion(sizes), sb.criterion()(sizes)
    assert bare == called
    assert (bare.name, bare.track, bare.description) == ("sizes", "blind", "Count weights.")
    assert sb.score(bare, tiny) == sb.score(sizes, tiny)
