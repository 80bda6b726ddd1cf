"""The page of all perturbations and criteria, made from their registry: ``python -m docs.entries``."""

from collections.abc import Iterable
from pathlib import Path

from docs.markdown import table
from safer_bench.criteria.criterion import TRACKS, Criterion
from safer_bench.criteria.grid import ATTRIBUTIONS, NAMED, REDUCTIONS
from safer_bench.criteria.loading import criteria
from safer_bench.perturbations.loading import perturbations
from safer_bench.perturbations.perturbation import Perturbation

INTRODUCTION = """\
# Perturbations and criteria

Made from the registry by `make docs`; `safer-bench info NAME` shows one entry.

W is a layer's weight of n entries, W' the perturbed one, z standard normal; g the gradient of the mean loss L over N
calibration examples, g_i that of example i, H the Hessian; x and y the layer's input and output, p the softmax answers.
Higher scores mean more sensitive.

diag(H) is estimated: the Gauss-Newton matrix's (the curvature with the logits taken as linear in all weights) by random
signs of the answers. What is left is zero in weights in which the logits are piecewise linear, as between ReLUs. Elsewhere
it is estimated by random sign vectors, four an example on average, most of them for examples that are answered wrongly;
then twice as many, until two halves rank the layers alike (Spearman's correlation 0.98 of trace, mean curvature and
diag(H) * W^2), or 32. So `obd` is `ggn_diagonal` but for noise where activations are ReLUs.
"""
TITLES = {
    "blind": ("Blind criteria", "They do not see the perturbation: one score a layer."),
    "perturbation_aware": (
        "Perturbation-aware criteria",
        "They see the perturbed weight: one score a perturbation, its levels averaged as in the area.",
    ),
    "level_aware": ("Level-aware criteria", "As before, with a score for each level."),
}
NUMBERS = """\
## Which random number meets which weight

A probe has a stream of its own: numpy's `Philox`, keyed by the first 16 bytes of a SHA-256, read as two little-endian
words of 64 bits. Hashed are the texts (`repr`) of seed, network, layer, perturbation, level (a float) and draw, with a byte
1f between them. Each number takes the next 64-bit word. A *uniform* is (its upper 52 bits + 1/2) / 2^52, a *normal* the
standard normal quantile of that (AS 241). *Bernoulli(p)* is true where the uniform is below p; a *sign* is -1 where it is
below 1/2, else +1. Numbers and entries are counted from 0, entries in C order (the last axis fastest).
"""
ZEROS = """\
An entry that is set to zero becomes +0, whatever its sign was, and so does one whose int8 code is 0 after faults; one that
quantization rounds to zero keeps its sign. A float32 NaN becomes 7fc00000, whichever it is.
"""
STREAM = {
    ("gaussian_noise", "multiplicative_noise", "random_corruption_l2", "rerandomize"): "normal i meets entry i",
    ("random_corruption_linf",): "sign i meets entry i",
    ("random_zero", "sign_flip"): "Bernoulli number i meets entry i",
    ("float32_bit_flip",): (
        "Bernoulli number 32 i + b meets bit b of entry i, lowest first: mantissa 0 to 22, exponent 23 to 30, sign 31"
    ),
    ("float32_bit_flip_exponent",): "Bernoulli number 8 i + b meets bit 23 + b of entry i",
    ("float32_bit_flip_mantissa",): "Bernoulli number 23 i + b meets bit b of entry i",
    ("int8_bit_flip",): "Bernoulli number 8 i + b meets bit 7 - b of entry i's code: highest first, the sign",
    ("int8_bit_count",): "word 8 i + b belongs to bit 7 - b of entry i's code; the bits of the smallest words are inverted",
    ("random_corruption_l2_randk", "random_corruption_linf_randk"): (
        "word i belongs to entry i; the k entries of the smallest words, in their order, meet the next k normals or signs"
    ),
    (
        *("filter_prune", "magnitude_prune", "quantize", "quantize_per_channel", "gradient_corruption_l2"),
        *("gradient_corruption_l2_topk", "gradient_corruption_linf", "gradient_corruption_linf_topk"),
    ): "none",
}  # of each built-in perturbation
COSTS = """\
## What criteria cost

Cost is in forward passes of one example, for N examples, L layers and C classes, of an aware criterion for one level: a
backward pass counts as two, the backward pass through that one as four. The one pass that finds the layers is left out. A
sweep over several criteria makes shared passes once; the table `costs` says what each takes by itself.
"""


def render() -> str:
    """Return the page, Markdown."""
    parts = [INTRODUCTION, _perturbation_table(perturbations().values()), _stream_table(), COSTS]
    for track in TRACKS:
        title, what = TITLES[track]
        entries = [entry for entry in criteria().values() if entry.track == track]
        parts.append(f"## {title}: {len(entries)}\n\n{what}\n\n{_criterion_table(entries)}")
    return "\n".join([*parts, _grid()])


def _perturbation_table(entries: Iterable[Perturbation]) -> str:
    rows = [
        (
            f"`{entry.name}`",
            entry.description,
            entry.use_case.replace("_", " ") or "-",
            f"`{entry.formula}`",
            ", ".join(f"{level:g}" for level in entry.levels),
            f"{entry.unit}, {entry.scale}",
            ", ".join(entry.needs) or "-",
            "one" if entry.deterministic else "many",
            entry.source,
        )
        for entry in entries
    ]
    header = ("name", "what", "use case", "W'", "levels, mild to severe", "unit, scale", "needs", "draws", "source")
    return f"## Perturbations: {len(rows)}\n\n{table(header, rows)}"


def _stream_table() -> str:
    rows = [(", ".join(f"`{name}`" for name in names), numbers) for names, numbers in STREAM.items()]
    return f"{NUMBERS}\n{table(('perturbation', 'random numbers'), rows)}\n{ZEROS}"


def _criterion_table(entries: Iterable[Criterion]) -> str:
    rows = [
        (
            f"`{entry.name}`",
            entry.description,
            f"`{entry.formula}`",
            entry.needs,
            f"`{entry.cost}`" + (f", N at most {entry.examples}" if entry.examples else ""),
            entry.source,
        )
        for entry in entries
    ]
    return table(("name", "what", "score", "needs", "cost", "source"), rows)


def _grid() -> str:
    rows = [
        (
            f"`{formula}`",
            *(f"`{NAMED.get((attribution, reduction), f'{attribution}_{reduction}')}`" for reduction in REDUCTIONS),
        )
        for attribution, (_, formula, _, _) in ATTRIBUTIONS.items()
    ]
    header = ("attribution", *(title.lower() for _, title in REDUCTIONS.values()))
    text = (
        "Every attribution of a weight under every reduction to a layer; one that is known under another name has that one."
    )
    return f"## The grid of attributions and reductions\n\n{text}\n\n{table(header, rows)}"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(render())
