"""Small networks of the architectures that people bring: are they replayed, how fast: python -m benchmarks.architectures.

All have random weights. Transformers are built from configurations of the library transformers, which has to be installed.
"""

import argparse
import resource
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from safer_bench.measurement.design import Probe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plain import PlainEngine
from safer_bench.measurement.rows import Weights
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation

N, LENGTH, WORDS, PIXELS = 24, 16, 50, 32
CHANGED = 0.2  # share of labels that are not the network's own answers
COUNTS = ("n_answers", "correct_clean", "broken", "fixed", "predictions_changed", "changed_entries", "weight_digest")
SPECS = ("gaussian_noise:1,30", "int8_bit_flip:0.01", "quantize:4")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
WORDS_AND_PLACES = {"vocab_size": WORDS, "max_position_embeddings": 64, "pad_token_id": 0}
WIDTHS = {"hidden_size", "intermediate_size", "head_dim", "dim", "hidden_dim", "n_embd", "d_model", "encoder_ffn_dim"}
DEPTHS = {"num_hidden_layers", "n_layers", "n_layer", "encoder_layers"}
Build = Callable[..., Network]


def scaled(config: dict[str, Any], times: int) -> dict[str, Any]:
    """Return a configuration so many times as wide, and twice as deep where it is not once."""
    factors = {**dict.fromkeys(WIDTHS, times), **dict.fromkeys(DEPTHS, 2 if times > 1 else 1)}
    return {key: value * factors.get(key, 1) if isinstance(value, int) else value for key, value in config.items()}


def _ids() -> torch.Tensor:
    return torch.randint(1, WORDS, (N, LENGTH), generator=torch.Generator().manual_seed(1))


def _mask() -> torch.Tensor:
    lengths = torch.randint(4, LENGTH + 1, (N, 1), generator=torch.Generator().manual_seed(2))
    return (torch.arange(LENGTH) < lengths).long()


def _images(pixels: int = PIXELS, channels: int = 3) -> torch.Tensor:
    return torch.randn(N, channels, pixels, pixels, generator=torch.Generator().manual_seed(3))


def labelled(name: str, model: nn.Module, inputs: Any, counted: torch.Tensor | None = None, **how: Any) -> Network:
    """Return a network whose labels are its own answers, some of them changed; positions that do not count are left out."""
    model = model.eval().float()
    with torch.no_grad():
        returned = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    output = how.get("output")
    logits = output(returned) if output else getattr(returned, "logits", returned)
    axis = how.get("class_axis", 1) if logits.ndim > 2 else 1
    labels = logits.argmax(axis)
    others = torch.rand(labels.shape, generator=torch.Generator().manual_seed(4)) < CHANGED
    labels = torch.where(others, (labels + 1) % logits.shape[axis], labels)
    labels = labels if counted is None else labels.masked_fill(~counted, NOT_COUNTED)
    return Network(model, inputs, labels, name=name, **how)


def _text(kind: str, model: str, *, causal: bool = False, **config: Any) -> Build:
    """Return what builds a model of transformers over words: a class a text, or the next word at each position."""

    def build(times: int = 1) -> Network:
        import transformers

        torch.manual_seed(0)
        settings = getattr(transformers, f"{kind}Config")(**scaled(config, times))
        made = getattr(transformers, model)(settings)
        if hasattr(settings, "num_local_experts"):
            made.set_experts_implementation("batched_mm")  # the default one has no float64
        inputs = {"input_ids": _ids(), "attention_mask": _mask()}
        if causal:
            return labelled(kind.lower(), made, inputs, counted=_mask() > 0, class_axis=-1)
        return labelled(kind.lower(), made, inputs)

    return build


def _vision(kind: str, **config: Any) -> Build:
    def build(times: int = 1) -> Network:
        import transformers

        torch.manual_seed(0)
        settings = getattr(transformers, f"{kind}Config")(**scaled(config, times))
        made = getattr(transformers, f"{kind}ForImageClassification")(settings)
        return labelled(kind.lower(), made, {"pixel_values": _images()})

    return build


class _Heard(nn.Module):
    """Whisper's encoder with a head over what it heard."""

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(width, 5)

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        heard = self.encoder(input_features).last_hidden_state
        logits: torch.Tensor = self.head(heard.mean(1))
        return logits


def _whisper(times: int = 1) -> Network:
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    sizes = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64}
    config = transformers.WhisperConfig(**scaled(sizes, times), num_mel_bins=16, max_source_positions=20)
    spectrum = torch.randn(N, 16, 40, generator=torch.Generator().manual_seed(5))
    return labelled("whisper", _Heard(WhisperEncoder(config), config.d_model), {"input_features": spectrum})


def _timm(name: str, **how: Any) -> Build:
    def build() -> Network:
        import timm

        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=10, **how)
        for parameter in model.get_classifier().parameters():
            nn.init.normal_(parameter)  # some begin with zeros, which answer all images alike
        return labelled(name, model, _images(how.get("img_size", PIXELS)))

    return build


def _segmentation(name: str) -> Build:
    def build() -> Network:
        import torchvision

        torch.manual_seed(0)
        model = getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None, num_classes=4)
        return labelled(name, model, _images(), output=lambda returned: returned["out"])

    return build


HEADS = {"num_key_value_heads": 2, **SMALL}
TRANSFORMERS: dict[str, Build] = {
    "bert": _text("Bert", "BertForSequenceClassification", **SMALL, **WORDS_AND_PLACES),
    "roberta": _text("Roberta", "RobertaForSequenceClassification", **SMALL, **WORDS_AND_PLACES),
    "distilbert": _text(
        "DistilBert", "DistilBertForSequenceClassification", dim=32, n_layers=2, n_heads=4, hidden_dim=64, vocab_size=WORDS
    ),
    "vit": _vision("ViT", **SMALL, image_size=PIXELS, patch_size=8, num_labels=5),
    "swin": _vision("Swin", image_size=PIXELS, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=4),
    "convnext": _vision("ConvNext", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_labels=5),
    "whisper": _whisper,
    "gpt2": _text("GPT2", "GPT2LMHeadModel", causal=True, n_embd=32, n_layer=2, n_head=4, vocab_size=WORDS, n_positions=64),
    "llama": _text("Llama", "LlamaForCausalLM", causal=True, **HEADS, **WORDS_AND_PLACES),
    "qwen3": _text("Qwen3", "Qwen3ForCausalLM", causal=True, **HEADS, **WORDS_AND_PLACES, head_dim=8),
    "gemma": _text("Gemma", "GemmaForCausalLM", causal=True, **HEADS, **WORDS_AND_PLACES, head_dim=8),
    "mixtral": _text(
        "Mixtral", "MixtralForCausalLM", causal=True, **HEADS, **WORDS_AND_PLACES, num_local_experts=4, num_experts_per_tok=2
    ),
}
OTHERS: dict[str, Build] = {
    **{name: _timm(name) for name in ("mobilenetv4_conv_small", "edgenext_xx_small", "convnextv2_atto", "mobileone_s0")},
    **{name: _timm(name, img_size=PIXELS) for name in ("mixer_s32_224", "xcit_nano_12_p16_224")},
    "fastvit_t8": _timm("fastvit_t8"),
    "resnet10t": _timm("resnet10t", zero_init_last=False),
    **{name: _segmentation(name) for name in ("lraspp_mobilenet_v3_large", "fcn_resnet50")},
}
ARCHITECTURES = TRANSFORMERS | OTHERS


def probes_of(network: Network, n_layers: int, draws: int = 1) -> list[Probe]:
    """Return probes of evenly chosen layers, all examples."""
    layers = network.layers[:: max(1, -(-len(network.layers) // n_layers))]
    parsed = [parse_perturbation(spec) for spec in SPECS]
    n = len(network.labels)
    return [
        Probe(layer, entry, level, draw, 0, n)
        for layer in layers
        for entry, levels in parsed
        for level in levels
        for draw in range(draws)
    ]


@torch.no_grad()
def plain_loop(network: Network, probes: list[Probe]) -> list[int]:
    """Return how many answers are wrong under each probe, as people count: set the weight, run all in float32, restore."""
    wrong, weights, model = [], Weights(network, 0), deepcopy(network.model)
    for probe in probes:
        inputs, labels = network.examples(probe.example_start, probe.n_examples)
        parameter = model.get_parameter(probe.layer.parameter)
        before = parameter.detach().clone()
        parameter.copy_(torch.from_numpy(weights.perturbed(probe).weight))
        right = model(inputs).argmax(1) == labels
        wrong.append(int((labels != NOT_COUNTED).sum() - right.sum()))
        parameter.copy_(before)
    return wrong


def main() -> None:
    """Print one row an architecture: layers, how many are replayed, speed, equal counts, memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="architectures; all by default")
    parser.add_argument(
        "--times", type=int, default=1, help="width of transformers, in units of 32; twice as deep from 2 on"
    )
    columns = ("layers", "replayed", "x plain loop", "x whole float64 passes", "rows equal to these", "peak memory, GB")
    print("| architecture |", " | ".join(columns), "|")
    print("| --- |", " | ".join(["---"] * len(columns)), "|")
    wanted = parser.parse_args()
    for name in wanted.names or ARCHITECTURES:
        network = ARCHITECTURES[name](wanted.times) if name in TRANSFORMERS else ARCHITECTURES[name]()
        engine, plain, probes = Engine(network), PlainEngine(network), probes_of(network, 12, draws=4)
        list(engine.measure(probes))  # traced, admitted, bands calibrated
        ours, rows = _timed(lambda engine=engine, probes=probes: list(engine.measure(probes)))
        canonical, others = _timed(lambda plain=plain, probes=probes: list(plain.measure(probes)))
        loop, _ = _timed(lambda network=network, probes=probes: plain_loop(network, probes))
        equal = sum(all(a[key] == b[key] for key in COUNTS if key in a) for a, b in zip(rows, others, strict=True))
        n_whole = len(network.layers) if "" in engine.reasons else len(engine.reasons)
        found = [
            f"{name}",
            len(network.layers),
            len(network.layers) - n_whole,
            f"{loop / ours:.1f}",
            f"{canonical / ours:.1f}",
        ]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print("|", " | ".join(map(str, [*found, f"{equal} of {len(probes)}", f"{memory:.1f}"])), "|", flush=True)
        for layer, reason in engine.reasons.items():
            print(f"    {layer}: {reason}")


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    done = work()
    return time.process_time() - began, done


if __name__ == "__main__":
    main()
