"""Scores that order the layers as the truth itself does: no criterion gets there by itself; no I/O."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from safer_bench.evaluation.scores import Entry, ScoreArrays
from safer_bench.evaluation.truths import NetworkTruth, network_truths
from safer_bench.tables.facts import read_facts
from safer_bench.tables.text import number_of

Array = np.ndarray
MIN_VALUES = 8  # true areas that differ: fewer come into their order by chance
MIN_NETWORKS = 3  # half of fewer is one small network, whose order a criterion finds by chance
MANY_LAYERS = 12  # in 0.1.0, 28 of 85 criteria had the order of one to four networks of ten layers, none of any with more


def copied_from_the_truth(scores: pa.Table, truth: Mapping[str, pa.Table]) -> list[str]:
    """Return a note for each criterion that orders layers as the truth does, wherever the truth differs.

    It says so of half of several networks or more, or of one that has so many layers that no criterion finds their order.
    Blind scores are held against the areas under each perturbation and against their mean, aware ones against the areas
    under all that they name.

    Args:
        scores: a checked ``scores`` table.
        truth: tables ``networks``, ``layers``, ``layer_sensitivity``, ``cells`` and ``perturbations``.
    """
    facts = read_facts(truth)
    arrays = ScoreArrays(scores, facts)
    alike: dict[Entry, list[int]] = {}  # of each network the layers that stand in the truth's order: all, or 0
    for network in network_truths(truth, facts):
        for entry, same in _of_network(network, arrays):
            alike.setdefault(entry, []).append(len(network.layers) if same else 0)
    return [_note(*entry, same) for entry, same in sorted(alike.items()) if _is_telling(same)]


def _is_telling(same: Sequence[int]) -> bool:
    several = len(same) >= MIN_NETWORKS and 2 * int(np.count_nonzero(same)) >= len(same)
    return several or max(same) >= MANY_LAYERS


def _note(name: str, track: str, same: Sequence[int]) -> str:
    against = "under one perturbation or in the mean over them" if track == "blind" else "under all perturbations they name"
    alike = f"{np.count_nonzero(same)} of {number_of(len(same), 'network')}"
    return f"{name}: a note: these scores order the layers as the truth itself does on {alike}, {against}"


def _of_network(network: NetworkTruth, arrays: ScoreArrays) -> list[tuple[Entry, bool]]:
    areas = [i for i, (_, summary, _) in enumerate(network.cells) if summary == "area"]
    values = network.truth.values[areas]
    telling = np.array([len(np.unique(row)) >= MIN_VALUES for row in values], dtype=bool)
    if not telling.any():
        return []
    found = []
    for members, scored in arrays.of_network(network.network, network.layers, [network.cells[i] for i in areas]):
        for entry, own in zip((arrays.entries[i] for i in members), scored, strict=True):
            if own.ndim == 1:  # blind
                found.append((entry, any(_same_order(each, own) for each in (*values[telling], values.mean(0)))))
            elif (named := telling & np.isfinite(own).all(-1)).any():
                found.append((entry, all(map(_same_order, values[named], own[named]))))
    return found


def _same_order(true: Array, scores: Array) -> bool:
    """Tell whether of two layers ``(n_layers,)`` whose true values differ the more sensitive one always scores higher."""
    order = np.lexsort((scores, true))
    rises = np.diff(true[order]) > 0
    return bool((np.diff(scores[order])[rises] > 0).all())
