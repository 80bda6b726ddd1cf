"""Learns the criterion ``learned_blend`` from the truth of validation networks: ``make blend``.

Ridge regression of true ranks within a network on ranks by cheap blind criteria and layer facts. The target is the mean
of the ranks by area, over the perturbations of a use case, then over use cases, as boards average; families weigh the same.
Features are taken from ``CANDIDATES`` one by one, each time with the penalty that is best, as long as what is reached on
families left out rises. What the whole procedure reaches on families that are left out of the choice too is written beside
the coefficients, with what a single criterion, the best on the other families, reaches there. No test network is looked at.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import safer_bench as sb
from safer_bench.dataset.contents import network_revisions
from safer_bench.errors import BadInput
from safer_bench.evaluation.aggregation import MIN_LAYERS, group_weights, number_cells
from safer_bench.evaluation.controls import ridge
from safer_bench.evaluation.scores import ScoreArrays
from safer_bench.evaluation.truths import NetworkTruth, network_truths
from safer_bench.ranks import of_length_1, scaled_ranks, weighted_sum
from safer_bench.tables.facts import TruthFacts, read_facts

Array = np.ndarray
CANDIDATES = (  # of every nature; each costs three forward passes at most and takes inputs of any type
    *("parameters", "depth", "macs"),
    *("l2_norm", "mean_magnitude", "spectral_norm", "stable_rank", "kurtosis"),
    *("activation_energy", "activation_sparsity", "activation_fisher"),
    *("gradient_norm", "gradient_mean", "snip", "gradient_weight_l2", "taylor_filter"),
    *("empirical_fisher", "fisher_l2", "fisher_mean", "corruption_indicator_l2", "corruption_indicator_linf"),
)
PENALTIES = (0.01, 0.1, 1.0, 10.0)  # where rows weigh 1 in all
MOST = 8  # features
FAMILIES = 3  # one is left out of the choice, one of each choice's trials, and one is learnt from
DECIMALS = 4
TREE = Path(__file__).parents[1] / "data_cards" / "safer-bench"
OUT = Path(sb.__file__).parent / "criteria" / "learned_blend.json"


@dataclass(frozen=True, slots=True)
class Lesson:
    """A validation network to learn from.

    Attributes:
        network, family: of the network.
        ranks: scaled ones by each candidate ``(n_candidates, n_layers)``.
        target: mean of the scaled ranks by true area, as boards average ``(n_layers,)``.
        direction: the same mean of centred ranks of length 1, whose product with a ranking's is Spearman's correlation
            in a board's mean ``(n_layers,)``.
    """

    network: str
    family: str
    ranks: Array
    target: Array
    direction: Array


Learner = Callable[[Sequence[Lesson]], Array]  # lessons -> coefficients (n_candidates,), 0 of those that are not used


def lessons(truth: Mapping[str, pa.Table]) -> list[Lesson]:
    """Return the validation networks of boards, by name.

    Args:
        truth: tables ``networks``, ``layers``, ``layer_sensitivity``, ``cells``, ``perturbations`` and ``scores``.

    Raises:
        BadInput: they are of too few families, or a candidate did not score one of them.
    """
    facts = read_facts(truth)
    validation = pc.field("split") == "validation"
    scores = ScoreArrays(truth["scores"].filter(validation & pc.field("criterion").isin(CANDIDATES)), facts)
    tables = {name: truth[name].filter(validation) for name in ("layers", "layer_sensitivity", "cells")}
    networks = [network for network in network_truths(tables, facts) if len(network.layers) >= MIN_LAYERS]
    found = len({network.family for network in networks})
    if found < FAMILIES:
        raise BadInput(f"validation networks of {found} families; expected {FAMILIES} or more to learn from")
    return [_lesson(network, scores, facts) for network in networks]


def _lesson(network: NetworkTruth, scores: ScoreArrays, facts: TruthFacts) -> Lesson:
    scored = {
        scores.entries[member][0]: own
        for members, each in scores.of_network(network.network, network.layers, network.cells)
        for member, own in zip(members, each, strict=True)
    }
    missing = [name for name in CANDIDATES if name not in scored]
    if missing:
        raise BadInput(f"network {network.network!r}: no scores by {missing[0]!r}; expected all candidates: score it first")
    areas = [i for i, (name, summary, _) in enumerate(network.cells) if summary == "area" and facts.use_cases[name]]
    cells = [(network.network, network.cells[i][0]) for i in areas]
    weights = group_weights(number_cells(cells, facts.families, facts.use_cases), np.zeros(1, dtype=np.int64))[0][:, None]
    true = network.truth.values[areas]
    return Lesson(
        network.network,
        network.family,
        ranks=scaled_ranks(np.array([scored[name] for name in CANDIDATES])),
        target=np.sum(weights * scaled_ranks(true), axis=0),
        direction=np.sum(weights * of_length_1(true), axis=0),
    )


def fit(given: Sequence[Lesson], features: tuple[int, ...], penalty: float) -> Array:
    """Return the coefficients ``(n_candidates,)`` of a ridge regression, their absolute values summing to 1.

    Args:
        given: what is learnt from; families weigh the same, and so do their networks, and the layers of these.
        features: places in ``CANDIDATES``.
        penalty: of the regression, whose rows weigh 1 in all.
    """
    families = [lesson.family for lesson in given]
    rows, targets = [], []
    for lesson in given:
        root = (len(set(families)) * families.count(lesson.family) * len(lesson.target)) ** -0.5
        rows.append(root * lesson.ranks[list(features)].T)
        targets.append(root * lesson.target)
    coefficients = np.zeros(len(CANDIDATES))
    coefficients[list(features)] = ridge(np.concatenate(rows), np.concatenate(targets), penalty)
    return coefficients / max(float(np.abs(coefficients).sum()), 1e-9)


def reached(coefficients: Array, lesson: Lesson) -> float:
    """Return Spearman's correlation of a blend with the areas of a network, in the mean of a board."""
    return float(np.sum(lesson.direction * of_length_1(weighted_sum(coefficients, lesson.ranks))))


def left_out(given: Sequence[Lesson], learn: Learner) -> float:
    """Return the mean over families of what is reached on each by what is learnt from the others."""
    means = []
    for family in sorted({lesson.family for lesson in given}):
        coefficients = learn([lesson for lesson in given if lesson.family != family])
        means.append(np.mean([reached(coefficients, lesson) for lesson in given if lesson.family == family]))
    return round(float(np.mean(means)), 9)  # equal ones are equal on every machine


def choose(given: Sequence[Lesson]) -> tuple[tuple[int, ...], float]:
    """Return features, places in ``CANDIDATES`` in the order of their choice, and the penalty, by families left out."""
    features: tuple[int, ...] = ()
    penalty, best = PENALTIES[0], -np.inf
    while len(features) < MOST:
        trials = product([(*features, i) for i in range(len(CANDIDATES)) if i not in features], PENALTIES)
        values = {trial: left_out(given, partial(fit, features=trial[0], penalty=trial[1])) for trial in trials}
        first = max(values, key=values.__getitem__)  # of equals
        if values[first] <= best:
            break
        (features, penalty), best = first, values[first]
    return features, penalty


def learn(given: Sequence[Lesson]) -> Array:
    """Return the coefficients of the features and the penalty that are best on families left out."""
    return fit(given, *choose(given))


def best_single(given: Sequence[Lesson]) -> Array:
    """Return a coefficient of 1 for the candidate that alone reaches most, in the mean over families."""
    singles = np.eye(len(CANDIDATES))
    return max(singles, key=lambda single: left_out(given, lambda _: single))


def learnt(truth: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Return the coefficients, and what they were learnt from, as ``learned_blend.json`` holds them.

    Args:
        truth: as for ``lessons``, with ``layer_drops``, by which the measurements of each network are named.
    """
    given, revisions = lessons(truth), network_revisions(truth["layer_drops"])
    features, penalty = choose(given)
    coefficients = fit(given, features, penalty).tolist()
    families = sorted({lesson.family for lesson in given})
    return {
        "networks": {
            family: {each.network: revisions[each.network] for each in given if each.family == family} for family in families
        },
        "candidates": list(CANDIDATES),
        "penalty": penalty,
        "spearman_on_families_left_out": {
            "learned_blend": round(left_out(given, learn), DECIMALS),
            "best_single_criterion": round(left_out(given, best_single), DECIMALS),
        },
        "coefficients": {CANDIDATES[i]: round(coefficients[i], DECIMALS) for i in features},
    }


def main() -> None:
    """Learn from a tree and write the coefficients."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learn_blend", description=__doc__)
    parser.add_argument("--truth", type=Path, default=TREE, help="a dataset tree with scores; the committed one by default")
    parser.add_argument("--out", type=Path, default=OUT, help="the criterion's own file by default")
    given = parser.parse_args()
    text = json.dumps(learnt(sb.load_tree(given.truth)), indent=1) + "\n"
    given.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
