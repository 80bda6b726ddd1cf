"""Networks of random weights, what is measured of them in tests, and how the engine's rows are compared."""

import torch

from safer_bench.measurement.design import Probe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plain import PlainEngine
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation

NARROW = "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
N_IMAGES = 37
SPECS = ("gaussian_noise:1", "gaussian_noise:1", "random_zero:0.5")


@torch.no_grad()
def network_of(case):
    """Return a network of random weights whose answers spread over the classes."""
    torch.manual_seed(3)
    model, images = case().eval(), torch.randn(N_IMAGES, *case.image_shape)
    images = images[images.flatten(1).abs().amax(1).argsort()]  # the first ones are the mildest
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, 1.5 * parameter[0].numel() ** -0.5)
    logits = model(images.clone())
    if logits.shape[1] > 1:
        model.head.weight.div_(logits.std(0)[:, None])
        model.head.bias.sub_(logits.mean(0)).div_(logits.std(0))
    labels = model(images.clone()).argmax(1)
    labels[::5] = (labels[::5] + 1) % logits.shape[1]
    return Network(model, images, labels, name=case.__name__)


def probes_of(network, start=0, n=N_IMAGES):
    chosen = [parse_perturbation(spec) for spec in SPECS]
    return [
        Probe(layer, entry, levels[0], draw, start, n)
        for layer in network.layers
        for draw, (entry, levels) in enumerate(chosen)
    ]


def integers(rows):
    return [{key: value for key, value in row.items() if key != "loss_increase"} for row in rows]


def measured_as_expected(network, probes, reasons, **options):
    """Measure with the engine, compare with the plain loop and the expected reasons; return the engine."""
    expected, engine = list(PlainEngine(network).measure(probes)), Engine(network, **options)
    assert integers(engine.measure(probes)) == integers(expected)
    assert network.n_classes == 1 or sum(row["predictions_changed"] for row in expected) > len(probes)
    assert engine.reasons.keys() == reasons.keys()
    assert all(engine.reasons[name].startswith(reason) for name, reason in reasons.items())
    return engine


def own(caplog):
    """Return the messages that safer-bench logged; torch.export logs too."""
    return [record.message for record in caplog.records if record.name.startswith("safer_bench")]
