"""What is said of the data in every tree: how they came about, what they are for, and what not to conclude from them.

The card and ``croissant.json`` say the same, so both take it from here. Of data that the package does not know, such as a
user's own, nothing is claimed: whoever measured them states it.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from safer_bench.tables.columns import FOLDED

IMAGES = {
    "digits": ("handwritten digits", "digits"),
    "fashion_mnist": ("Fashion-MNIST", "clothing"),
}  # its name, what it shows
TEXTS = {"text": "the King James Version"}
PHOTOGRAPHS = {"imagenet": "ImageNet-1k"}
ABSTRACT_ALONE = {"2308.04753": "Yvinec et al. 2023"}  # papers by arXiv number whose full text was not at hand

DESCRIPTION = (
    "Measured sensitivity of every layer of trained networks. One layer at a time was perturbed (noise, pruning, "
    "quantization, bit flips, worst-case corruption). The network's right and wrong answers to the same evaluation "
    "examples were counted before and after. The data also have the reliability of each ranking of layers, and the "
    "scores of criteria that try to predict it."
)
LICENCE = "https://creativecommons.org/licenses/by/4.0/"
COLLECTION = (
    "Computed by safer-bench, not observed. Each row of layer_drops is one probe: the perturbation of one layer's "
    "weight at one level by one draw of a keyed random stream. It was judged on consecutive evaluation examples in "
    "canonical arithmetic (float64 with the range of float32), so that any machine gets the same integers."
)
NOT_FOLDED = "Layers are never folded with their batch norm."
SOME_FOLDED = f"Batch norms are folded into the layers before them in networks called NAME{FOLDED}, and in no others."
PREPROCESSING_OF_IMAGES = (
    "Images are those of the source datasets, standardised. "
    "Criteria see calibration images only. The truth is of evaluation images. Networks were trained on neither."
)
PREPROCESSING_OF_TEXT = (
    "The text is cut into sequences of bytes, none of which spans two chapters. Criteria see calibration sequences only. "
    "The truth is of evaluation sequences. Networks were trained on chapters of neither."
)
PREPROCESSING_OF_PHOTOGRAPHS = (
    "Photographs are cut and standardised as each network's authors do. Criteria see calibration images only. The truth is "
    "of evaluation images. Others trained the networks, probably also on images of the public sample of one image a class. "
    "So the share that is right without perturbation is not a validation accuracy."
)
NOT_PUBLISHED = (
    "The tables hold counts, bits of right and wrong, digests and names: no example, no logit, no weight. Networks' weights "
    "and inputs are pinned by SHA-256 in `networks`, perturbed weights by digests in `layer_drops`. Whoever has networks "
    "and examples can measure rows again by `safer-bench verify`."
)
SPLIT_RULES = (
    "All networks of a family are in one split. On `validation` levels, signs, reductions and hyper-parameters are chosen. "
    "On `test` one score is made."
)
SPLIT_BEFORE = "A family's split was fixed before any of its networks was measured."
MISSING = (
    "A null level belongs to a summary over levels. A null standard error, half or reliability means too few "
    "draws to tell. Nothing is imputed."
)
USES = (
    "Judging criteria of layer sensitivity. Levels, signs and hyper-parameters are chosen on `validation`; one "
    "score is made on `test`.",
    "Studying which layers are fragile under which perturbation, and how far rankings of layers agree between "
    "perturbations.",
    "Not for certifying that a deployed network is safe or robust. That network has to be measured itself.",
)
LIMITATIONS = (
    "Drops are those of *these* networks on *these* images. A larger network's layers need not behave alike.",
    "A difference between two layers that is within their standard errors is not a difference. A ranking of low "
    "reliability is noise.",
    "Layers are perturbed one at a time: joint damage is not the sum of single drops.",
    "Results of `quantize`, of bit flips and of pruning do not transfer to a deployment whose layers are folded with their "
    "batch norm. Those of `quantize_per_channel` do.",
    "The levels of two perturbations are on different scales: their drops at the n-th level are not comparable.",
    "`int8_bit_count` flips as many bits of a small layer as of a large one. Its levels invert all bits of the layers that "
    "have fewer, of most layers at the severest. That is alike in all draws and harms less than inverting half of them.",
)
PUBLIC = "The truth of `test` is public, so a criterion can be fitted to it: don't."
BIASES_OF_IMAGES = (
    "Small image classifiers only (under half a million parameters, ten classes, small grey images); no language, "
    "no large networks, no detection.",
    "Most families of the zoo are convolutional, and some have more networks than others. So means are taken over families.",
)
BIASES_OF_TEXT = (
    "Small language models of bytes only (under half a million parameters), of one text in one language and one style; no "
    "models of words, no large ones.",
)
BIASES_OF_PHOTOGRAPHS = (
    "Convolutional image classifiers only (at most seven million parameters, a thousand classes), trained by others.",
)
BIASES = (
    "Built-in levels were chosen on validation networks, to cost from a hundredth to most of the accuracy. "
    "Elsewhere they cost more or less. Few bits or a mantissa never cost most of it. The card says what they did cost.",
)
SOCIAL_IMPACT = (
    "Knowing which layers are fragile helps to protect a network against faults and to compress it. It also tells an "
    "attacker who can write to weights where to begin."
)
MAINTENANCE = (
    "A changed number is a new version: a new tag on the Hub that never moves, told under Data in the CHANGELOG "
    "of safer-bench. Each release adds networks; old revisions stay. `safer-bench verify` measures rows of any "
    "revision again."
)
MAINTENANCE_BY_OTHERS = (
    "A changed number is a new revision. How older ones are kept is not known here. Whoever measured these data states it. "
    "`safer-bench verify` measures rows again where the networks are at hand."
)


@dataclass(frozen=True, slots=True)
class Statements:
    """What is said of one tree, as far as it depends on whose data it is of.

    Attributes:
        ours: whether all its data are those that the package knows; of others neither licence, authors nor home are claimed.
        annotation, preprocessing, personal, splits, maintenance: a few sentences each.
        limitations, biases: one item each.
    """

    ours: bool
    annotation: str
    preprocessing: str
    personal: str
    splits: str
    maintenance: str
    limitations: tuple[str, ...]
    biases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is said of known data of one kind."""

    called: str
    annotation: str
    preprocessing: str
    personal: str
    biases: tuple[str, ...]


def _known(names: Collection[str]) -> list[_Known]:
    """Return what is said of those datasets that the package knows: of images, of texts, of photographs."""
    images = [IMAGES[name] for name in IMAGES if name in names]
    texts = [TEXTS[name] for name in TEXTS if name in names]
    photographs = [PHOTOGRAPHS[name] for name in PHOTOGRAPHS if name in names]
    return [
        *([_of_images(images)] if images else []),
        *([_of_texts(texts)] if texts else []),
        *([_of_photographs(photographs)] if photographs else []),
    ]


def _of_images(images: list[tuple[str, str]]) -> _Known:
    called, shown = ", ".join(name for name, _ in images), " and of ".join(what for _, what in images)
    return _Known(
        called,
        f"No human annotated anything. Right and wrong follow from the labels of the source datasets ({called}), whose "
        "label errors are in the counts.",
        PREPROCESSING_OF_IMAGES,
        f"None: images of {shown}. The tables hold no pixel of them, only counts, digests and names of layers.",
        BIASES_OF_IMAGES,
    )


def _of_texts(texts: list[str]) -> _Known:
    return _Known(
        ", ".join(texts),
        f"No human annotated anything. The right answers are the bytes that come next in the text ({', '.join(texts)}).",
        PREPROCESSING_OF_TEXT,
        "None: a published text. The tables hold no sentence of it, only counts, digests and names of layers.",
        BIASES_OF_TEXT,
    )


def _of_photographs(photographs: list[str]) -> _Known:
    called = ", ".join(photographs)
    return _Known(
        called,
        f"No human annotated anything. Right and wrong follow from the labels of {called}, whose errors are in the counts.",
        PREPROCESSING_OF_PHOTOGRAPHS,
        "Photographs of the web, which may show people. The tables hold no pixel, only counts, digests and names of layers.",
        BIASES_OF_PHOTOGRAPHS,
    )


def statements(datasets: Iterable[str], networks: Iterable[str] = ()) -> Statements:
    """Return what is said of a tree.

    Args:
        datasets: names of the datasets that its networks are judged on.
        networks: names of the networks.
    """
    names = sorted(set(datasets))
    known, others = _known(names), [name for name in names if name not in {**IMAGES, **TEXTS, **PHOTOGRAPHS}]

    def of_each(said: Callable[[_Known], Iterable[str]], unknown: str) -> tuple[str, ...]:
        several = len(known) + bool(others) > 1
        stated = tuple(f"Of {kind.called}: {text}" if several else text for kind in known for text in said(kind))
        unstated = f"Of data {', '.join(map(repr, others))}: {unknown} is not known here. Whoever measured them states it."
        return (*stated, unstated) if others else stated

    folding = SOME_FOLDED if any(name.endswith(FOLDED) for name in networks) else NOT_FOLDED
    prepared = of_each(
        lambda kind: [kind.preprocessing], "how examples were prepared, and which of them networks were trained on,"
    )
    return Statements(
        ours=not others,
        annotation=" ".join(of_each(lambda kind: [kind.annotation], "who labelled the examples")),
        preprocessing=" ".join((folding, *prepared)),
        personal=" ".join(of_each(lambda kind: [kind.personal], "whether they hold personal information")),
        splits=SPLIT_RULES if others else f"{SPLIT_RULES} {SPLIT_BEFORE}",
        maintenance=MAINTENANCE_BY_OTHERS if others else MAINTENANCE,
        limitations=LIMITATIONS if others else (*LIMITATIONS, PUBLIC),
        biases=(*of_each(lambda kind: kind.biases, "what networks and examples leave out"), *BIASES),
    )


def citation(revision: str) -> str:
    """Return the BibTeX entry of a truth, given its revision."""
    return (
        "@misc{safer_bench,\n"
        "  title = {safer-bench: true layer sensitivities of trained networks},\n"
        "  author = {{The safer-bench authors}},\n"
        f"  note = {{Revision {revision} of the truth}},\n"
        "  howpublished = {Dataset, CC-BY-4.0}\n"
        "}"
    )
