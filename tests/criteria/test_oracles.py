"""Criteria against other people's code: BackPACK, PyHessian, Captum, scipy, and exact Hessians by torch.func."""

import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerConductance
from scipy import stats
from scipy.linalg import hadamard
from torch import nn
from torch.func import functional_call, hessian
from torch.nn import functional as F

from safer_bench.criteria.loading import criteria
from safer_bench.criteria.passes import hessian as products
from safer_bench.criteria.passes.gradients import (
    NODES,
    empirical_fisher_diagonal,
    integrated_gradients,
    true_fisher_diagonal,
)
from safer_bench.criteria.path import STEPS
from safer_bench.networks.network import Network
from safer_bench.scoring.score import score
from safer_bench.stream import Stream
from tests.made_up.cases import first_by_default

LAYERS = ("conv", "hidden", "head")
RELATIVE = 1e-4
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch.func's own import


@pytest.fixture(params=[0, 1, 2], ids=lambda seed: f"seed{seed}")
def problem(request):
    """A small model with a smooth activation, weights far from a minimum, and ten examples in two batches."""
    torch.manual_seed(request.param)
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(1, 3, 3, padding=1))
    model.add_module("act", nn.Sigmoid())
    model.add_module("flat", nn.Flatten())
    model.add_module("hidden", nn.Linear(48, 5))
    model.add_module("relu", nn.ReLU())
    model.add_module("head", nn.Linear(5, 3))
    images, labels = torch.randn(10, 1, 4, 4), torch.randint(0, 3, (10,))
    return model.eval(), [(images[:7], labels[:7]), (images[7:], labels[7:])]


def run(name, problem, *aware):
    return criteria()[name](*problem, *aware)


def in_float64(problem):
    """What cancels in sums would hide behind float32."""
    model, batches = problem
    return deepcopy(model).double(), [(images.double(), labels) for images, labels in batches]


def everything(batches):
    return tuple(torch.cat(part) for part in zip(*batches, strict=True))


def backpack_of(model, batches, extension, reduction):
    from backpack import backpack, extend

    extended, (images, labels) = extend(deepcopy(model)), everything(batches)
    with backpack(extension), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its hooks are of the older kind
        extend(nn.CrossEntropyLoss(reduction=reduction))(extended(images), labels).backward()
    return {name: extended.get_submodule(name).weight for name in LAYERS}


def test_empirical_fisher_is_that_of_backpacks_single_gradients(problem):
    from backpack.extensions import BatchGrad

    found = empirical_fisher_diagonal(*problem)
    for name, weight in backpack_of(*problem, BatchGrad(), "sum").items():
        expected = weight.grad_batch.double().square().mean(0)
        assert torch.allclose(found[name], expected, rtol=RELATIVE, atol=1e-9)
        assert run("empirical_fisher", problem)[name] == pytest.approx(float(expected.sum()), rel=RELATIVE)
        removed = float((expected * weight.detach().double().square()).sum()) / 2
        assert run("fisher_pruning", problem)[name] == pytest.approx(removed, rel=RELATIVE)


def test_true_fisher_and_ggn_diagonal_are_backpacks(problem):
    from backpack.extensions import DiagGGNExact

    found = true_fisher_diagonal(*problem)
    for name, weight in backpack_of(*problem, DiagGGNExact(), "mean").items():
        expected = weight.diag_ggn_exact.double()
        assert torch.allclose(found[name], expected, rtol=RELATIVE, atol=1e-9)
        assert run("true_fisher", problem)[name] == pytest.approx(float(expected.sum()), rel=RELATIVE)
        obd = float((expected * weight.detach().double().square()).sum()) / 2
        assert run("ggn_diagonal", problem)[name] == pytest.approx(obd, rel=RELATIVE)


@pytest.fixture
def exact(problem):
    """The Hessian of the mean loss in all layers' weights (float64), the weights flat, and where each layer lies."""
    model, batches = deepcopy(problem[0]).double().requires_grad_(False), problem[1]
    images, labels = everything(batches)
    shapes = {name: model.get_submodule(name).weight.shape for name in LAYERS}
    flat = torch.cat([model.get_submodule(name).weight.detach().flatten() for name in LAYERS])

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes.values()])
        weights = {f"{name}.weight": part.view(shapes[name]) for name, part in zip(LAYERS, parts, strict=True)}
        return F.cross_entropy(functional_call(model, weights, (images.double(),)), labels)

    ends = np.cumsum([0, *(shape.numel() for shape in shapes.values())])
    places = {name: slice(int(a), int(b)) for name, a, b in zip(LAYERS, ends[:-1], ends[1:], strict=True)}
    return hessian(loss)(flat), torch.func.grad(loss)(flat), flat, places


def test_hessian_products_are_those_of_the_exact_hessian(problem, exact):
    matrix, _, _, places = exact
    weights = {name: problem[0].get_submodule(name).weight for name in LAYERS}
    vectors = [products.sign_vectors(weights, draw) for draw in (0, 1)]
    for vector, found in zip(vectors, products.hessian_products(*problem, vectors), strict=True):
        expected = matrix @ torch.cat([vector[name].double().flatten() for name in LAYERS])
        assert float(expected.abs().max()) > 1e-3
        for name, place in places.items():
            assert torch.allclose(
                found[name].flatten(), expected[place], rtol=RELATIVE, atol=RELATIVE * float(expected.abs().max())
            )


@pytest.fixture(params=first_by_default([nn.Tanh, nn.ReLU]), ids=lambda kind: kind.__name__)
def curved(request, problem):
    """The same problem in float64, with another activation before its head, too."""
    model, batches = in_float64(problem)
    model.relu = request.param()
    return model, batches


def of_layers(problem):
    """Return a function of all layers' weights, flat, to an example's logits; the weights; where each layer lies."""
    model = problem[0]
    shapes = {name: model.get_submodule(name).weight.shape for name in LAYERS}
    ends = np.cumsum([0, *(shape.numel() for shape in shapes.values())])
    places = {name: slice(int(a), int(b)) for name, a, b in zip(LAYERS, ends[:-1], ends[1:], strict=True)}

    def logits(flat, image):
        weights = {f"{name}.weight": flat[place].view(shapes[name]) for name, place in places.items()}
        return functional_call(model, weights, (image[None],))[0]

    return logits, torch.cat([model.get_submodule(name).weight.detach().flatten() for name in LAYERS]), places


def exact_parts(problem):
    """Return each example's Jacobian of the logits, p - y, p, and the Hessian of the logits weighed by p - y."""
    logits, flat, _ = of_layers(problem)
    for image, label in zip(*everything(problem[1]), strict=True):
        p = logits(flat, image).softmax(0).detach()
        off = p - F.one_hot(label, len(p))
        weighed = torch.autograd.functional.hessian(lambda w, x=image, off=off: (logits(w, x) * off).sum(), flat)
        yield torch.autograd.functional.jacobian(lambda w, x=image: logits(w, x), flat), off, p, weighed


def test_the_diagonal_is_the_exact_one_where_signs_are_orthogonal(curved, monkeypatch):
    """As many orthogonal sign vectors as there are numbers leave no noise."""
    logits, flat, places = of_layers(curved)
    n_vectors = 2 ** int(np.ceil(np.log2(len(flat))))
    answers, vectors = (torch.from_numpy(hadamard(n)).double() for n in (4, n_vectors))

    def signs(shape, *key):
        if key[0] in places and key[1] != "bending":
            return vectors[key[-1], : len(flat)][places[key[0]]].view(shape)
        return answers[key[-1] if isinstance(key[-1], int) else 0, :3] if len(shape) == 1 else torch.ones(shape)

    monkeypatch.setattr(products, "_signs", signs)
    monkeypatch.setattr(products, "ANSWER_DRAWS", 4)
    monkeypatch.setattr(products, "_shares", lambda distances, _: [n_vectors] * len(distances))
    images, labels = everything(curved[1])

    def loss(w):
        return F.cross_entropy(torch.stack([logits(w, image) for image in images]), labels)

    expected = torch.autograd.functional.hessian(loss, flat).diag()
    assert float(expected.abs().max()) > 1e-2
    for name, found in products.hessian_diagonal(*curved).items():
        assert torch.allclose(found.flatten(), expected[places[name]], rtol=1e-9, atol=1e-12)


def test_the_diagonal_is_its_definition_draw_by_draw(curved, monkeypatch):
    """One round of vectors, from each example's exact matrices; what all criteria make of it."""
    monkeypatch.setattr(products, "MOST", products.FIRST)
    _, flat, places = of_layers(curved)
    weights = {name: curved[0].get_submodule(name).weight for name in LAYERS}
    parts = list(exact_parts(curved))
    shares = products._shares([float(off.norm()) for _, off, _, _ in parts], products.FIRST)
    assert len(set(shares)) > 1
    bending = LAYERS[:1] if isinstance(curved[0].relu, nn.ReLU) else LAYERS[:2]
    bends = torch.cat([torch.full((place.stop - place.start,), float(name in bending)) for name, place in places.items()])
    few = torch.zeros_like(flat)
    for (jacobian, _, p, weighed), share in zip(parts, shares, strict=True):
        for half in range(products.HALVES):
            for draw in range(products.ANSWER_DRAWS):
                signs = torch.from_numpy(Stream("hutchinson", half, draw).signs((3,)))
                few += (jacobian.T @ ((torch.eye(3) - p[:, None]) @ (signs * p.sqrt()))).square() / products.ANSWER_DRAWS
            for draw in range(share):
                vector = products.sign_vectors(weights, half, 0, share, draw)
                v = torch.cat([vector[name].flatten() for name in LAYERS]) * bends
                few += v * (weighed @ v) / share
    few /= products.HALVES * len(parts)
    expected = {
        "hessian_mean_trace": torch.mean,
        "hessian_sum": torch.sum,
        "hessian_max": torch.max,
        "hessian_l2": torch.linalg.vector_norm,
        "hessian_median": lambda each: each.quantile(0.5),
        "hessian_top": lambda each: each.sort(descending=True).values[: -(-len(each) // 100)].mean(),
    }
    for criterion, reduce in expected.items():
        found = run(criterion, curved)
        assert found == pytest.approx({name: float(reduce(few[place])) for name, place in places.items()}, rel=RELATIVE)
    removed = {name: float((few * flat.square())[place].sum()) / 2 for name, place in places.items()}
    assert run("obd", curved) == pytest.approx(removed, rel=RELATIVE)


def test_the_diagonal_depends_on_neither_batches_nor_the_order_of_examples(curved):
    model, batches = curved
    images, labels = everything(batches)
    found = products.hessian_diagonal(model, batches)
    others = {
        "one by one": list(zip(images.split(1), labels.split(1), strict=True)),
        "backwards": [(images.flip(0), labels.flip(0))],
    }
    for other in others.values():
        for name, diagonal in products.hessian_diagonal(model, other).items():
            assert torch.allclose(diagonal, found[name], rtol=1e-9, atol=1e-12)


def test_vectors_are_doubled_until_the_halves_agree(curved, monkeypatch):
    taken = []
    remainder = products._remainder

    def noted(*args):
        taken.append(args[-1])
        return remainder(*args)

    monkeypatch.setattr(products, "_remainder", noted)
    for agreed, expected in ((-1.0, [0]), (2.0, [0, 2, 4, 8])):
        taken.clear()
        monkeypatch.setattr(products, "AGREED", agreed)
        products.hessian_diagonal(*curved)
        assert taken == expected


def test_eigenvalues_are_those_of_the_exact_blocks(problem, exact):
    matrix, _, _, places = exact
    found, shared = run("hessian_eigenvalue", problem), run("hessian_eigenvalue_per_weight", problem)
    for name, place in places.items():
        expected = float(torch.linalg.eigvalsh(matrix[place, place])[-1])
        assert found[name] == pytest.approx(expected, rel=RELATIVE)
        assert shared[name] == pytest.approx(expected / (place.stop - place.start), rel=RELATIVE)


@pytest.mark.filterwarnings("ignore")  # PyHessian calls backward(create_graph=True)
@pytest.mark.parametrize("name", LAYERS)
def test_eigenvalues_are_pyhessians(problem, name):
    from pyhessian import hessian as pyhessian

    model, data = deepcopy(problem[0]).requires_grad_(False), everything(problem[1])
    model.get_submodule(name).weight.requires_grad_(True)
    [expected], _ = pyhessian(model, nn.CrossEntropyLoss(), data=data, cuda=False).eigenvalues(maxIter=2000, tol=1e-8)
    assert expected > 0, "power iteration finds the largest magnitude"
    assert run("hessian_eigenvalue", problem)[name] == pytest.approx(expected, rel=RELATIVE)


def test_grasp_is_that_of_the_exact_hessian(problem, exact):
    matrix, gradient, flat, places = exact
    flow = flat * (matrix @ gradient)
    expected = {name: float(flow[place].sum()) for name, place in places.items()}
    assert run("grasp", in_float64(problem)) == pytest.approx(expected, rel=RELATIVE)


def test_integrated_gradients_of_weights_are_captums_and_complete(problem):
    model, (images, labels) = problem[0], everything(problem[1])
    weights = tuple(model.get_submodule(name).weight.detach()[None] for name in LAYERS)

    def losses(*scaled):
        return torch.stack(
            [
                F.cross_entropy(
                    functional_call(model, {f"{n}.weight": w for n, w in zip(LAYERS, each, strict=True)}, (images,)), labels
                )
                for each in zip(*scaled, strict=True)
            ]
        )

    expected = IntegratedGradients(losses).attribute(weights, n_steps=NODES, method="gausslegendre")
    found = run("weight_integrated_gradients", problem)
    for name, attribution in zip(LAYERS, expected, strict=True):
        assert found[name] == pytest.approx(float(attribution.double().abs().sum()), rel=RELATIVE)
        largest = criteria()["integrated_gradients_max"](*problem)[name]
        assert largest == pytest.approx(float(attribution.abs().max()), rel=RELATIVE)
    with torch.no_grad():
        change = float((losses(*weights) - losses(*(torch.zeros_like(w) for w in weights)))[0])
    total = sum(float(part.sum()) for part in integrated_gradients(*problem).values())
    assert total == pytest.approx(change, abs=0.002 * sum(found.values()))  # the path crosses kinks of the ReLU


def test_layer_conductance_is_captums(problem):
    model, (images, labels) = problem[0], everything(problem[1])
    found = run("layer_conductance", problem)
    for name in LAYERS:
        conductance = LayerConductance(model, model.get_submodule(name))
        each = conductance.attribute(images, target=labels, n_steps=STEPS, method="riemann_trapezoid")
        assert found[name] == pytest.approx(float(each.detach().double().abs().sum()) / len(images), rel=RELATIVE)


def test_moments_and_singular_values_are_scipys_and_numpys(tiny):
    for name in LAYERS:
        weight = tiny.model.get_submodule(name).weight.detach().double().numpy()
        values = np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)
        assert score("kurtosis", tiny)[name] == pytest.approx(stats.kurtosis(weight, axis=None, fisher=False), rel=1e-9)
        assert score("spectral_norm", tiny)[name] == pytest.approx(values[0], rel=1e-9)
        assert score("stable_rank", tiny)[name] == pytest.approx((weight**2).sum() / values[0] ** 2, rel=1e-9)
        assert score("peak_to_std", tiny)[name] == pytest.approx(np.abs(weight).max() / weight.std(), rel=1e-9)


@pytest.mark.parametrize("decimals", [8, 1], ids=["all weights differ", "many are equal"])
def test_lamp_share_is_brute_forces(tiny, decimals):
    model = deepcopy(tiny.model)
    with torch.no_grad():
        for name in LAYERS:
            model.get_submodule(name).weight.round_(decimals=decimals)
    magnitudes = {
        name: sorted(model.get_submodule(name).weight.detach().double().abs().flatten().tolist()) for name in LAYERS
    }
    lamp = {name: [w**2 / sum(v**2 for v in each[i:]) for i, w in enumerate(each)] for name, each in magnitudes.items()}
    n_kept = round(0.1 * sum(map(len, lamp.values())))
    threshold = sorted((value for each in lamp.values() for value in each), reverse=True)[n_kept - 1]
    expected = {name: np.mean([value >= threshold for value in each]) for name, each in lamp.items()}
    assert sum(len(lamp[name]) * share for name, share in expected.items()) == n_kept
    assert score("lamp_share", Network(model, *tiny.evaluation, calibration=tiny.calibration)) == pytest.approx(expected)


def test_synflow_adds_up_all_paths_of_a_linear_network():
    """Without biases every path crosses every layer: each layer's flow is the product of all absolute matrices."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 5, bias=False), nn.Linear(5, 2, bias=False))
    first, second, third = (model[i].weight.detach().double().abs().numpy() for i in (0, 2, 3))
    paths = sum(
        third[l, k] * second[k, j] * first[j, i]
        for i in range(3)
        for j in range(4)
        for k in range(5)
        for l in range(2)  # noqa: E741
    )
    found = criteria()["synflow"](model.eval(), [(torch.randn(2, 3), torch.tensor([0, 1]))])
    assert found == pytest.approx(dict.fromkeys(("0", "2", "3"), paths), rel=1e-9)


def test_synflow_is_what_the_layer_adds_to_the_output_of_ones():
    """With everything positive the output is linear in each layer's weight: its flow is what is lost with it."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    conv, norm, head = model[0], model[1], model[4]
    for buffer in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        buffer.uniform_(-0.3, -0.1)

    def output(conv_weight, head_weight):
        a = [tensor.detach().double().abs() for tensor in (conv.bias, norm.running_mean, norm.running_var, norm.weight)]
        x = F.conv2d(torch.ones(1, 2, 4, 4, dtype=torch.float64), conv_weight, a[0])
        x = (x - a[1].view(-1, 1, 1)) / (a[2].view(-1, 1, 1) + norm.eps).sqrt() * a[3].view(-1, 1, 1)
        x = x + norm.bias.detach().double().abs().view(-1, 1, 1)
        assert not bool(conv_weight.any()) or bool((x > 0).all())
        return float((x.flatten(1) @ head_weight.T + head.bias.detach().double().abs()).sum())

    first, last = conv.weight.detach().double().abs(), head.weight.detach().double().abs()
    expected = {
        "0": output(first, last) - output(torch.zeros_like(first), last),
        "4": output(first, last) - output(first, torch.zeros_like(last)),
    }
    found = criteria()["synflow"](model, [(torch.randn(2, 2, 4, 4), torch.tensor([0, 1]))])
    assert found == pytest.approx(expected, rel=1e-9)


def test_bit_density_counts_bits_of_twos_complement(tiny):
    for name, found in score("bit_density", tiny).items():
        weight = tiny.model.get_submodule(name).weight.detach().double().flatten().tolist()
        step = max(map(abs, weight)) / 127
        assert found == pytest.approx(np.mean([bin(round(w / step) & 255).count("1") / 8 for w in weight]))
