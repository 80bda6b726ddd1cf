"""Models that cannot be measured are named before anything is, and what the messages tell people to do works."""

import warnings

import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.measurement.measure import measure
from safer_bench.networks.model_checks import check_one_device
from safer_bench.networks.network import Network

IMAGES, LABELS = torch.randn(30, 8, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
EAGER = "expected an eager module with weights of its own: give"


def mlp():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def network_of(model):
    return Network(model, IMAGES, LABELS)


def counts(model):
    return measure(network_of(model), ["quantize:3", "sign_flip:0.2"], draws=1).drop(["layer"]).to_pylist()


def refusal_of(model):
    with pytest.raises(BadInput) as error:
        network_of(model)
    return str(error.value).removeprefix("network 'own': ")


def scripted(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own scripting deprecated
        return make(mlp())


@pytest.mark.parametrize("make", [torch.jit.script, lambda model: torch.jit.trace(model, IMAGES[:1])])
def test_scripted_modules_are_named_whole_and_in_part(make):
    kind = f"a ScriptModule (torch.jit); {EAGER} the eager module that it was scripted or traced from"
    assert refusal_of(scripted(make)) == f"the model is {kind}"
    assert refusal_of(nn.Sequential(scripted(make), nn.Linear(3, 3)).eval()) == f"0 is {kind}"


def test_exported_programs_are_named_and_not_told_to_call_eval():
    program = torch.export.export(mlp(), (IMAGES,))
    message = f"the model is an exported program (torch.export); {EAGER} the eager module that it was exported from"
    for given in (program, program.module(), torch.export.unflatten(program)):
        assert refusal_of(given) == message


@pytest.mark.long
def test_compiled_and_wrapped_modules_say_what_lies_within():
    compiled, wrapped, plain = torch.compile(mlp()), nn.DataParallel(mlp()), counts(mlp())
    assert (
        refusal_of(compiled)
        == f"the model is a compiled module (torch.compile); {EAGER} the eager module that was compiled: its ._orig_mod"
    )
    assert refusal_of(nn.Sequential(compiled)).startswith("0 is a compiled module")
    assert refusal_of(wrapped) == f"the model is a wrapper for several processors; {EAGER} the module within: its .module"
    assert counts(compiled._orig_mod) == counts(wrapped.module) == plain


@pytest.mark.filterwarnings("ignore")  # torch calls its own quantisation deprecated
def test_quantized_modules_are_named_but_float_ones_that_wait_to_be_are_measured():
    quantized = torch.ao.quantization.quantize_dynamic(mlp(), {nn.Linear})
    assert refusal_of(quantized) == f"0 is a quantized module (torch.ao); {EAGER} the float model that it was made from"
    waiting = mlp()
    waiting.add = torch.ao.nn.quantized.FloatFunctional().eval()
    waiting.forward = lambda x: waiting.add.add(waiting[2](waiting[1](waiting[0](x))), torch.zeros(()))
    assert refusal_free(waiting)


def refusal_free(model):
    return network_of(model).n_classes == 3


@pytest.mark.long
def test_a_traced_graph_and_hooks_are_measured_as_what_they_compute():
    hooked, doubled = mlp(), mlp()
    hooked[2].register_forward_hook(lambda _, __, logits: logits + torch.tensor([0.5, 0.0, 0.0], dtype=logits.dtype))
    doubled[2].bias.data[0] += 0.5
    assert counts(torch.fx.symbolic_trace(mlp())) == counts(mlp())
    columns = ("broken", "fixed", "correct_clean", "flips")
    found, expected = ([[row[key] for key in columns if key in row] for row in counts(each)] for each in (hooked, doubled))
    assert found == expected != [[row[key] for key in columns if key in row] for row in counts(mlp())]


def test_a_lazy_module_is_named_and_measured_after_a_batch():
    model = nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(3)).eval()
    message = (
        "0 (LazyLinear) has no weights yet; run one batch first, such as model(images[:1]), then load or train its weights"
    )
    assert refusal_of(model) == message
    model(IMAGES[:1])
    model.load_state_dict(mlp().state_dict())
    assert counts(model) == counts(mlp())


def test_values_that_are_not_there_are_named():
    assert refusal_of(mlp().to("meta")) == "parameter 0.weight has no values (device meta); load weights first"
    model = mlp()
    model.register_buffer("scale", torch.ones(2, device="meta"))
    assert refusal_of(model) == "buffer scale has no values (device meta); load weights first"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_measured_as_float32(dtype):
    model = mlp().to(dtype)
    way = "which rounds each number" if dtype == torch.float64 else "which keeps each number as it is"
    assert refusal_of(model) == f"parameter 0.weight is {dtype}; expected float32: call model.float() first, {way}"
    before = [parameter.detach().clone() for parameter in model.parameters()]
    assert refusal_free(model.float())
    assert all(torch.equal(old.float(), new) for old, new in zip(before, model.parameters(), strict=True))
    if dtype != torch.float64:
        assert all(torch.equal(old, new.to(dtype)) for old, new in zip(before, model.parameters(), strict=True))


def with_weight(change):
    model = mlp()
    model[0].weight = nn.Parameter(change(model[0].weight.detach()), requires_grad=False)
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.to(torch.complex64), "is torch.complex64; expected float32: write the model with real parameters, such as one of real and one of imaginary parts"),
        (lambda w: w.to(torch.int8), "is torch.int8; expected float32: keep what is no weight in a buffer: module.register_buffer(name, values)"),
        (lambda w: w.to_sparse_csr(), "is stored as torch.sparse_csr; expected a dense tensor: nn.Parameter(parameter.detach().to_dense())"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning")
def test_weights_that_are_no_dense_real_numbers_are_named(change, message):
    assert refusal_of(with_weight(change)) == f"parameter 0.weight {message}"


@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning")
def test_a_sparse_weight_made_dense_as_told_is_measured():
    model = with_weight(lambda weight: weight.to_sparse_csr())
    model[0].weight = nn.Parameter(model[0].weight.detach().to_dense())
    assert counts(model) == counts(mlp())


@pytest.mark.parametrize(
    "layout", [lambda w: w.t().contiguous().t(), lambda w: w[:, ::1].clone(memory_format=torch.preserve_format)]
)
def test_weights_in_another_order_in_memory_are_measured_alike(layout):
    assert counts(with_weight(layout)) == counts(mlp())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("place", "n"), [("0.weight", 48), ("2.bias", 3)])
def test_weights_that_are_no_numbers_are_named(value, place, n):
    model = mlp()
    model.get_parameter(place).data.flatten()[0] = value
    if place == "2.bias" and value < 0:  # a class that is switched off
        assert refusal_free(model)
        return
    assert refusal_of(model) == (
        f"parameter {place} holds NaN or infinite values, 1 of {n}; expected finite ones (a bias of -inf, which masks a class, "
        "may stay): load the weights of a training that did not diverge"
    )


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [("running_var", -1.0, "variance"), ("running_var", float("inf"), "variance"), ("running_mean", float("nan"), "mean")],
)
def test_statistics_of_a_norm_that_are_none_are_named(key, value, what):
    model = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3)).eval()
    getattr(model[0], key)[2] = value
    expected = "finite ones" if what == "mean" else "finite ones, none negative"
    assert (
        refusal_of(model)
        == f"buffer 0.{key} holds 1 of 8 values that are no {what}; expected {expected}: load them, or train again"
    )


class Scaled(nn.Module):
    def __init__(self, scale, used=True):
        super().__init__()
        self.inner, self.used = mlp(), used
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x):
        return self.inner(x) * self.scale if self.used else self.inner(x)


def test_a_buffer_that_makes_answers_nan_is_named_and_an_unused_one_is_not():
    assert refusal_of(Scaled(float("nan")).eval()) == (
        "the largest logit of 3 images is NaN or infinite (buffers with NaN or infinite values: scale); expected "
        "finite ones (-inf for a class that is switched off)"
    )
    assert counts(Scaled(float("nan"), used=False).eval())[0]["correct_clean"] == counts(mlp())[0]["correct_clean"]


def test_single_images_without_an_answer_and_classes_switched_off_are_no_reason_to_refuse():
    model = mlp()
    model[2].bias.data[2] = -torch.inf
    model.register_forward_hook(lambda _, given, logits: logits / (given[0][:, :1] != IMAGES[0, 0].to(logits.dtype)))
    assert refusal_free(model)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda z: {"logits": z}, "one image gave a dict; expected logits (1, n_classes): Network(..., output=lambda returned: ...) takes them out of what it returns"),
        (lambda z: {"logits": (z, z)}.values(), "one image gave a dict_values; expected logits (1, n_classes): Network(..., output=lambda returned: ...) takes them out of what it returns"),
        (lambda z: z.argmax(1), "one image gave (1,); expected logits (1, n_classes)"),
        (lambda z: z.long(), "one image gave torch.int64; expected logits, which are floating point"),
        (lambda z: z[:, :1], "1 logits an image; expected one for each of two classes or more: of a model with one logit z for the second of two classes, torch.cat([torch.zeros_like(z), z], 1)"),
        (lambda z: z[:, :0], "0 logits an image; expected one for each of two classes or more: of a model with one logit z for the second of two classes, torch.cat([torch.zeros_like(z), z], 1)"),
    ],
)  # fmt: skip
def test_what_is_no_logits_is_named(answer, message):
    model = mlp()
    model.register_forward_hook(lambda _, __, logits: answer(logits))
    assert refusal_of(model) == message


def test_one_logit_made_two_as_told_answers_by_its_sign():
    model = nn.Sequential(nn.Linear(8, 1)).eval()
    expected = int(((model(IMAGES)[:, 0] > 0).long() == LABELS % 2).sum())
    model.register_forward_hook(lambda _, __, z: torch.cat([torch.zeros_like(z), z], 1))
    rows = measure(Network(model, IMAGES, LABELS % 2), ["quantize:8"]).to_pylist()
    assert [row["correct_clean"] for row in rows] == [expected]


class Tokens(nn.Module):
    def __init__(self, cast):
        super().__init__()
        self.embed, self.head, self.cast = nn.Embedding(5, 4), nn.Linear(4, 3), cast

    def forward(self, x):
        return self.head(self.embed(x.long() if self.cast else x).mean(1))


def test_a_model_of_whole_numbers_is_given_them_as_the_message_says():
    tokens = (torch.arange(240).reshape(30, 8) * 7 % 5).float()
    with pytest.raises(
        BadInput, match=r"given torch.float32 \(1, 8\); what has to be whole is given as integers, inputs.long"
    ):
        Network(Tokens(cast=False).eval(), tokens, LABELS)
    assert measure(Network(Tokens(cast=False).eval(), tokens.long(), LABELS), ["quantize:3"]).num_rows == 2
    assert measure(Network(Tokens(cast=True).eval(), tokens, LABELS), ["quantize:3"]).num_rows == 2


def test_a_model_on_several_devices_is_named():
    devices = {"a.weight": torch.device("cpu"), "a.bias": torch.device("cpu"), "b.weight": torch.device("cuda", 0)}
    with pytest.raises(BadInput) as error:
        check_one_device(devices, "network 'own'")
    assert str(error.value) == (
        "network 'own': its model lies on several devices (a.weight on cpu, b.weight on cuda:0); expected one: model.to('cpu')"
    )
    check_one_device(dict(list(devices.items())[:2]), "network 'own'")


def test_a_thousand_classes_and_twenty_examples_are_measured():
    torch.manual_seed(0)
    model, images = nn.Linear(8, 1000).eval(), torch.randn(20, 8)
    with torch.no_grad():
        labels = model(images).argmax(1)
    rows = measure(Network(model, images, labels), ["quantize:8"]).to_pylist()
    assert [row["correct_clean"] for row in rows] == [20]


def test_an_embedding_that_changes_its_weight_as_it_runs_is_refused():
    """Making a network once scaled nine rows of the caller's weight."""
    model = nn.Sequential(nn.Embedding(10, 4, max_norm=1.0), nn.Flatten(), nn.Linear(8, 3)).eval()
    with pytest.raises(BadInput) as error:
        Network(model, (torch.randint(0, 10, (30, 2)),), torch.arange(30) % 3)
    assert str(error.value) == (
        "network 'own': 0 scales its weight's rows down to max_norm where it looks them up, so that the weight is another "
        "after each pass; look up all of them once, then set 0.max_norm = None"
    )


def test_one_flat_logit_made_two_as_told_answers_by_its_sign():
    model = nn.Sequential(nn.Linear(8, 1), nn.Flatten(0)).eval()
    expected = int(((model(IMAGES) > 0).long() == LABELS % 2).sum())
    network = Network(model, IMAGES, LABELS % 2, output=lambda z: torch.stack([torch.zeros_like(z), z], 1))
    assert [row["correct_clean"] for row in measure(network, ["quantize:8"]).to_pylist()] == [expected]
