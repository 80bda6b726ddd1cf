"""Awkward models: each is replayed to the plain loop's integers, or measured by whole passes with the reason given."""

from contextlib import nullcontext
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.measurement import fast_answers
from safer_bench.measurement.answers.trace import CannotReplayError
from safer_bench.measurement.answers.tuning import Pace, Room
from safer_bench.measurement.design import Probe, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.fast_answers import FastAnswers
from safer_bench.measurement.measure import measure
from safer_bench.measurement.plain import PlainEngine
from safer_bench.measurement.run import measure_into
from safer_bench.networks.network import Network
from safer_bench.perturbations.perturbation import perturbation
from tests.made_up.cases import first_by_default
from tests.made_up.measured import N_IMAGES, NARROW, integers, measured_as_expected, network_of, own, probes_of
from tests.measurement.awkward_models import (
    AGAIN,
    PARTLY,
    REPLAYED,
    UNUSED,
    WHOLE,
    AnAttributeCarriesAValue,
    AnAttributeCarriesAValueOfTheLastCall,
    ATableOfAFixedType,
    ATransformerEncoder,
    ChosenExamplesTakeAnotherWay,
    Convolutions,
    DropoutThatDrops,
    ImagesAreChangedInPlace,
    OnlyOutliersChangeTheOthers,
    RandomNoise,
    Signs,
    StatisticsOfTheBatch,
    TheBatchIsCentred,
    TwoModulesShareAWeight,
)


@perturbation(levels=(1.0,), scale="linear", unit="-", source="tests")
def raises(weight, level, rng):
    """Fail."""
    raise ArithmeticError("on purpose")


@pytest.fixture(scope="module")
def network():
    return network_of(Convolutions)


@pytest.mark.parametrize("fast", first_by_default([True, False]))
@pytest.mark.parametrize("case", REPLAYED, ids=lambda case: case.__name__)
def test_is_replayed(case, fast, bfloat16_is_faster):
    network = network_of(case)
    engine = measured_as_expected(network, probes_of(network), {}, fast=fast)
    assert engine.settled[NARROW if fast else "float32"] > 0


@pytest.mark.parametrize("fast", first_by_default([False, True]))
@pytest.mark.parametrize("case", PARTLY, ids=lambda case: case.__name__)
def test_layers_that_cannot_be_replayed_are_measured_by_whole_passes(case, fast, bfloat16_is_faster, caplog):
    network, reasons = network_of(case), PARTLY[case]
    engine = measured_as_expected(network, probes_of(network), reasons, fast=fast)
    assert engine.settled[NARROW if fast else "float32"] > 0
    assert own(caplog) == [
        f"layer {name!r} of network {network.name!r} is measured by whole forward passes: {reason}"
        for name, reason in engine.reasons.items()
    ]


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True")  # HiddenStepsOfAutograd, in both engines
@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.__name__)
def test_is_measured_by_whole_passes(case, caplog):
    network = network_of(case)
    engine = measured_as_expected(network, probes_of(network), {"": WHOLE[case]}, fast=True)
    assert engine.settled.total() == 0
    assert own(caplog) == [f"network {network.name!r} is measured by whole forward passes: {engine.reasons['']}"]


@pytest.mark.parametrize("case", UNUSED, ids=lambda case: case.__name__)
def test_a_weight_that_is_never_read_is_no_layer_and_the_others_are_replayed(case):
    network = network_of(case)
    assert network.unused_layers == (UNUSED[case],)
    measured_as_expected(network, probes_of(network), {})


@pytest.mark.parametrize("case", [RandomNoise, DropoutThatDrops, AnAttributeCarriesAValueOfTheLastCall])
def test_random_answers_are_never_replayed(case):
    network = network_of(case)
    engine = Engine(network)
    assert len(list(engine.measure(probes_of(network)))) == 3 * len(network.layers)
    assert engine.reasons == {"": AGAIN}


@pytest.mark.parametrize("case", [RandomNoise, DropoutThatDrops])
def test_answers_that_change_from_time_to_time_are_not_measured(case):
    """Their noise was once published as truth."""
    with pytest.raises(BadInput) as error:
        measure(network_of(case), ["sign_flip:0.5"], draws=1)
    assert str(error.value) == (
        f"network {case.__name__!r}: it answers the same examples differently each time; measure one without chance or "
        "memory in forward (dropout without training=self.training?)"
    )


def test_a_model_that_fails_in_float64_is_named(tmp_path):
    case = ATableOfAFixedType
    with pytest.raises(BadInput) as error:
        measure_into(tmp_path / "run", [network_of(case)], make_protocol(["sign_flip:0.5"], 1))
    start, rule = str(error.value).split("; ", 1)
    assert start.startswith(
        f"network {case.__name__!r}: its copy in float64, in which it is measured, raised RuntimeError: "
    )
    assert rule == (
        "the model must run in float64 too: what forward makes takes the dtype of x, such as torch.eye(..., dtype=x.dtype)"
    )
    assert not (tmp_path / "run").exists()


def test_examples_chosen_by_their_values_take_another_way(bfloat16_is_faster):
    network = network_of(ChosenExamplesTakeAnotherWay)
    for fast in (False, True):
        measured_as_expected(network, probes_of(network), {"": "it uses an operation that jumps"}, fast=fast)


def test_activations_that_jump_are_measured_by_whole_passes():
    """Four examples sampled of 2,000 met none of the few with large errors: a quarter of the rows were once wrong."""
    torch.manual_seed(0)
    network = Network(Signs().eval(), torch.randn(60, 36), torch.zeros(60, dtype=torch.int64))
    measured_as_expected(network, probes_of(network), {"": "it uses an operation that jumps (aten.sign"})


def test_a_division_that_rounds_jumps():
    class Rounds(Signs):
        def forward(self, x):
            return self.head(torch.div(self.a(x), 0.1, rounding_mode="floor"))

    torch.manual_seed(0)
    network = Network(Rounds().eval(), torch.randn(60, 36), torch.zeros(60, dtype=torch.int64))
    measured_as_expected(network, probes_of(network), {"": "it uses an operation that jumps (aten.div"})


JUMPING = {
    "threshold": lambda y: nn.functional.threshold(y, 0.0, -1.0),
    "copysign": lambda y: torch.copysign(torch.ones_like(y), y),
    "angle": torch.angle,
    "atan2": lambda y: torch.atan2(y, -torch.ones_like(y)),
    "nan_to_num": lambda y: (1.0 / y).nan_to_num(0.0, 5.0, -5.0).clamp(-5, 5),
    "xlogy": lambda y: torch.xlogy(y.clamp(min=0.0), torch.zeros(())).nan_to_num(0.0, 1.0, -1.0),
    "svd": lambda y: torch.linalg.svd(y.reshape(-1, 4, 6), full_matrices=False)[2].flatten(1),
    "eigh": lambda y: torch.linalg.eigh(y[:, :16].reshape(-1, 4, 4))[1].flatten(1).repeat(1, 2)[:, :24],
    "mode": lambda y: y + y.mode(1, keepdim=True).values,
    "grid_sampler": lambda y: nn.functional.grid_sample(
        torch.arange(16.0, dtype=y.dtype).expand(y.shape[0], 1, 16)[:, :, None],
        torch.stack([y.tanh(), 0 * y], -1)[:, None],
        mode="nearest",
        align_corners=False,
    ).flatten(1),
}


@pytest.mark.parametrize("name", JUMPING)
def test_functions_that_jump_are_measured_by_whole_passes(name):
    """Where their input is zero but for rounding, float32 and float64 answered one thing and the other."""

    class Jumps(Signs):
        def forward(self, x):
            return self.head(JUMPING[name](self.a(x)))

    torch.manual_seed(0)
    network = Network(Jumps().eval(), torch.randn(60, 36), torch.zeros(60, dtype=torch.int64))
    measured_as_expected(network, probes_of(network), {"": "it uses an operation that jumps (aten."})


def test_a_later_image_that_changes_the_answers_to_others_is_noticed():
    network = network_of(OnlyOutliersChangeTheOthers)
    measured_as_expected(network, probes_of(network), {"": "some of its answers in float32 are not those of whole passes"})


def test_what_is_found_in_the_midst_of_a_layer_leads_to_whole_passes_for_the_rest(network, monkeypatch, caplog):
    perturbed = FastAnswers.perturbed

    def two_and_no_more(self, replay, probes):
        yield from islice(perturbed(self, replay, probes), 2)
        raise CannotReplayError("a piece of the slice differs")

    monkeypatch.setattr(FastAnswers, "perturbed", two_and_no_more)
    measured_as_expected(network, probes_of(network), {"": "a piece of the slice differs"})
    assert len(own(caplog)) == 1


def test_images_that_the_model_changes_in_place_stay_as_they_are():
    torch.manual_seed(0)
    images = 2 * torch.randn(N_IMAGES, 2, 6, 6)
    before = images.clone()
    network = Network(ImagesAreChangedInPlace().eval(), images, torch.zeros(N_IMAGES, dtype=torch.int64))
    for engine in (PlainEngine(network), Engine(network)):
        assert len(list(engine.measure(probes_of(network)))) == 12
    assert torch.equal(network.inputs, before)


@pytest.mark.parametrize("fast", first_by_default([True, False]))
@pytest.mark.parametrize(("start", "n"), first_by_default([(3, 33), (N_IMAGES - 1, 1), (5, 2), (4, 3), (0, 1)], 2))
def test_slices_of_any_length_in_batches_that_do_not_divide_them(network, start, n, fast, bfloat16_is_faster):
    probes = probes_of(network, start, n)
    expected, engine = PlainEngine(network).measure(probes), Engine(network, fast=fast, pace=Pace(batch_size=16))
    assert integers(engine.measure(probes)) == integers(expected)
    assert engine.reasons == {}
    assert n < 33 or engine.settled[NARROW if fast else "float32"] > len(probes)  # else wrong logits would go unnoticed


@pytest.mark.parametrize("fast", [False, True])
def test_a_slice_too_large_for_memory_is_measured_in_pieces(network, fast, bfloat16_is_faster, monkeypatch):
    split, n_pieces = fast_answers._pieces, set()

    def noted(*slice_and_size):
        pieces = split(*slice_and_size)
        n_pieces.add(len(pieces))
        return pieces

    monkeypatch.setattr(fast_answers, "room_on", lambda _: Room(64e6, 8_000, 256))
    monkeypatch.setattr(fast_answers, "_pieces", noted)
    measured_as_expected(network, probes_of(network), {}, fast=fast)
    assert max(n_pieces) > 3


def test_probes_in_any_order_and_of_several_slices(network):
    probes = [probe for start, n in ((0, 20), (17, 20), (0, N_IMAGES)) for probe in probes_of(network, start, n)]
    order = np.random.default_rng(0).permutation(len(probes))
    measured_as_expected(network, [probes[index] for index in order], {})


def attributes(model):
    """Return every attribute of every module; dictionaries of parameters, buffers, hooks and modules are copied."""
    return {
        (path, key): dict(value) if isinstance(value, dict) else value
        for path, module in model.named_modules()
        for key, value in vars(module).items()
    }


def settings():
    return (
        torch.is_grad_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cudnn.allow_tf32,
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),
    )


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    "case",
    first_by_default(
        [AnAttributeCarriesAValue, Convolutions, TwoModulesShareAWeight, ATransformerEncoder, TheBatchIsCentred]
    ),
)
def test_model_and_settings_are_left_as_they_were(case, fails):
    torch.set_float32_matmul_precision("high")
    try:
        network = network_of(case)
        probes, images = probes_of(network), network.inputs.clone()
        if fails:
            probes.insert(len(probes) // 2, Probe(network.layers[-1], raises, 1.0, 0, 0, N_IMAGES))
        with torch.no_grad():
            logits = network.model(images)
        state = {key: value.clone() for key, value in network.model.state_dict().items()}
        before, n_rows = (attributes(network.model), settings()), 0
        with pytest.raises(BadInput, match="on purpose") if fails else nullcontext():
            for _ in Engine(network).measure(probes):
                n_rows += 1
                assert settings() == before[1]
        assert 0 < n_rows < len(probes) if fails else n_rows == len(probes)
        assert (attributes(network.model), settings()) == before
        assert all(torch.equal(value, state[key]) for key, value in network.model.state_dict().items())
        assert torch.equal(network.inputs, images)
        with torch.no_grad():
            assert torch.equal(network.model(images), logits)
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("case", [TheBatchIsCentred, StatisticsOfTheBatch], ids=lambda case: case.__name__)
def test_answers_that_depend_on_the_batch_are_refused_before_anything_is_measured(case):
    """Which examples stand beside one another is chance: counts would be of the batch."""
    with pytest.raises(BadInput, match=r"depends on the other examples of the batch .*track_running_stats=True"):
        measure(network_of(case), ["quantize:3"])
