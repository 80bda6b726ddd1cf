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

This page is made from the registry by `make docs`. `safer-bench info NAME` shows one entry. Terms are explained in the
[glossary](glossary.md). Higher scores mean more sensitive. The formulas use these symbols:

- W is a layer's weight of n entries, W' the perturbed one, and z is standard normal.
- L is the mean loss over N calibration examples. g is its gradient, g_i that of example i, and H the Hessian.
- x and y are the layer's input and output, p the softmax answers.

diag(H) is estimated in two parts. The first is the diagonal of the Gauss-Newton matrix: the curvature with the logits
taken as linear in all weights. It is estimated by random signs of the answers. The rest is zero in weights in which the
logits are piecewise linear, as between ReLUs. Elsewhere the rest is estimated by random sign vectors. These are four an
example on average, most of them for examples that are answered wrongly. They are doubled until two halves rank the layers
alike, or there are 32. Alike means that Spearman's correlation of trace, mean curvature and diag(H) * W^2 is 0.98. So
where activations are ReLUs, `obd` differs from `ggn_diagonal` by noise alone.

Four criteria refuse language models. `synflow` and `layer_conductance` take inputs of floating point, so no tokens.
`ggn_diagonal` and `true_fisher` take a backward pass for each class of each answer, and refuse more than 4,096 an example.
"""
TITLES = {
    "blind": ("Blind criteria", "They do not see the perturbation, and give each layer one score."),
    "perturbation_aware": (
        "Perturbation-aware criteria",
        "They see the perturbed weight, and give each layer one score a perturbation, averaged over levels as in the area.",
    ),
    "level_aware": ("Level-aware criteria", "They see the perturbed weight, and give each layer a score for each level."),
}
NUMBERS = """\
## Which random number meets which weight

Each probe has a random stream of its own. It is numpy's `Philox`, keyed by the first 16 bytes of a SHA-256, which are read
as two little-endian words of 64 bits. The SHA-256 is that of the texts (`repr`) of seed, network, layer, perturbation,
level (a float) and draw, with a byte 1f between them. Each number takes the next 64-bit word:

- A *uniform* is (the word's upper 52 bits + 1/2) / 2^52.
- A *normal* is the standard normal quantile of the uniform (AS 241).
- *Bernoulli(p)* is true where the uniform is below p.
- A *sign* is -1 where the uniform is below 1/2, else +1.

Numbers and entries are counted from 0, entries in C order (the last axis fastest).
"""
ZEROS = """\
An entry that is set to zero becomes +0, whatever its sign was. So does an entry whose int8 code is 0 after faults. An entry
that quantization rounds to zero keeps its sign. Any float32 NaN becomes 7fc00000.
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

Cost is in forward passes of one example, for N examples, L layers and C classes. That of an aware criterion is for one
level. A backward pass counts as two, the backward pass through that one as four. The one pass that finds the layers is left
out. A sweep over several criteria makes shared passes once. The table `costs`, and the boards' column of forward passes,
say what each takes by itself: that first pass counts there, and so do three sets of 512 calibration examples. So `snip`,
3*N here, comes to about 3 x 512 x 3 = 4,608.
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
            f"`{entry.use_case}`" if entry.use_case else "-",
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
        "An attribution gives each weight a number, a reduction makes one score of a layer's numbers. The table has the "
        "criterion of every attribution under every reduction. A criterion that is known under another name has that one."
    )
    return f"## The grid of attributions and reductions\n\n{text}\n\n{table(header, rows)}"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(render(), encoding="utf-8")
