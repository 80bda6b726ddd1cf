"""(truth, scores) -> results: how well each criterion ranks the layers of each network; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from safer_bench.errors import BadInput
from safer_bench.evaluation.controls import Lesson, from_layers, size_depth
from safer_bench.evaluation.results import Judged, results_table
from safer_bench.evaluation.scores import ScoreArrays
from safer_bench.evaluation.truths import NetworkTruth, network_truths
from safer_bench.judging import METRICS, CellTruth
from safer_bench.stream import Stream
from safer_bench.tables import controls, schema, score_table
from safer_bench.tables.facts import TruthFacts, read_facts

Array = np.ndarray
EXACT_EXPECTATION = "random"  # this criterion enters with its expectation, 0 for every chance-corrected metric
SPEARMAN = schema.METRIC_NAMES.index("spearman")
HALF_IS_KNOWN = np.array([name.startswith("protected_gain") for name in schema.METRIC_NAMES])  # nothing is left to guess


def evaluate(truth: Mapping[str, pa.Table], entries: Mapping[str, Mapping[score_table.Key, float]] | pa.Table) -> pa.Table:
    """Score criteria, and the controls that the truth's tables give, against the truth.

    Args:
        truth: tables ``networks``, ``layers``, ``layer_sensitivity``, ``cells``, ``perturbations`` and, where there is one,
            the revision ``truth.revision``; what ``load_tree`` returns.
        entries: a ``scores`` table, or ``{name: {(network, layer[, perturbation[, level]]): score}}``.

    Returns:
        Table ``results``: one row for each criterion, network, perturbation, summary, level and metric, ``value`` null
        where the metric is undefined. Where six families or more support an interval, also their means with ``low`` and
        ``high`` (``results.family_means``), ``network`` null. The controls of ``controls`` are among the criteria;
        a score of ``entries`` stands for that of a control of its name.

    Raises:
        BadInput: unknown, missing, duplicate or non-finite scores, or the name of a control that is added here.
    """
    missing = [name for name in ("networks", "layers", "layer_sensitivity", "cells", "perturbations") if name not in truth]
    if missing:
        raise BadInput(f"the truth has no table {missing[0]!r}; give the whole truth, as load_tree returns it")
    facts = read_facts(truth)
    if isinstance(entries, pa.Table):
        score_table.check_table(entries, facts, "scores")
        table = entries
    else:
        parts = [score_table.from_mapping(name, mapping, facts) for name, mapping in entries.items()]
        table = pa.concat_tables(parts) if parts else schema.build("scores", [])
    taken = sorted(set(table["criterion"].unique().to_pylist()) & set(controls.ADDED))
    if taken:
        raise BadInput(
            f"scores: {taken[0]!r} is the name of a control that evaluation adds; give the criterion another name"
        )
    networks = network_truths(truth, facts)
    added = [_size_depth(networks, facts), *_from_layers(networks, table, facts)]
    scores = ScoreArrays(pa.concat_tables([table, *added]), facts)
    return results_table(_judged(networks, scores), facts)


def _from_layers(networks: Sequence[NetworkTruth], table: pa.Table, facts: TruthFacts) -> list[pa.Table]:
    """Return scores of the controls that need the layers alone, of each network that ``table`` has none of them for."""
    there = table.group_by(["criterion", "network"]).aggregate([]).to_pylist()
    known = {(row["criterion"], row["network"]) for row in there}
    scores: dict[str, dict[score_table.Key, float]] = {}
    for network in networks:
        of_network = from_layers(network.layers, network.truth.size_and_depth[0], network.macs)
        for name, values in of_network.items():
            if (name, network.network) not in known and np.isfinite(values).all():
                pairs = zip(network.layers, values.tolist(), strict=True)
                scores.setdefault(name, {}).update({(network.network, layer): value for layer, value in pairs})
    return [score_table.from_mapping(name, mapping, facts) for name, mapping in scores.items()]


def _size_depth(networks: Sequence[NetworkTruth], facts: TruthFacts) -> pa.Table:
    """Return scores of the control ``size_depth``, of the networks that there is something to learn from for."""
    lessons = {}
    for network in networks:
        areas = [summary == "area" for _, summary, _ in network.cells]
        if any(areas):
            sizes = np.vstack([network.truth.size_and_depth, network.macs])
            about = (network.dataset, network.split, network.family)
            lessons[network.network] = Lesson(*about, sizes, network.truth.values[areas])
    scores = {
        (name, layer): float(score)
        for name, predicted in size_depth(lessons).items()
        for layer, score in zip(facts.layers[name], predicted, strict=True)
    }
    return score_table.from_mapping(controls.SIZE_DEPTH, scores, facts) if scores else schema.build("scores", [])


def _judged(networks: Sequence[NetworkTruth], scores: ScoreArrays) -> Judged:
    entries = [*scores.entries, *((name, "level_aware") for name in controls.REPLICATES)]
    values = [_judge(network, scores, len(entries)) for network in networks]
    empty = np.zeros((len(entries), 0, len(METRICS)))
    return Judged(
        entries,
        networks,
        np.concatenate([empty, *(each.values for each in values)], axis=1),
        np.concatenate([empty > 0, *(each.known for each in values)], axis=1),
        np.concatenate([np.zeros((2, 2, 0, len(METRICS))), *(_limits(network.truth) for network in networks)], axis=2),
    )


@dataclass(frozen=True, slots=True)
class _Values:
    """Metrics of one network ``(n_entries, n_cells, n_metrics)``, and which of them there are, defined or not."""

    values: Array
    known: Array


def _judge(network: NetworkTruth, scores: ScoreArrays, n_entries: int) -> _Values:
    n_cells, n_layers = network.truth.values.shape
    shape = (n_entries, n_cells, len(METRICS))
    reached = _Values(np.full(shape, np.nan), np.zeros(shape, dtype=bool))
    wide = _each(network.truth, np.s_[:, None])  # cells x criteria
    defined = Stream("defined", n_layers).uniform((n_layers,))
    for members, scored in scores.of_network(network.network, network.layers, network.cells):
        blind = scored.ndim == 2
        random = np.array([scores.entries[i][0] == EXACT_EXPECTATION for i in members])
        known = np.isfinite(scored).all(-1, keepdims=True)
        judged = np.where(known & ~random.reshape(-1, *[1] * (scored.ndim - 1)), scored, defined)
        for i, metric in enumerate(METRICS):
            values = metric(wide, judged).T if blind else metric(network.truth, judged)
            reached.values[members, :, i] = np.where(random[:, None], 0.0 * values, values)
        reached.known[members] = True if blind else known
    _judge_replicates(network, reached)
    reached.values[~reached.known] = np.nan
    return reached


def _judge_replicates(network: NetworkTruth, reached: _Values) -> None:
    """Judge half a measurement, the last entries: by the other half, wherever the truth can be halved.

    By Spearman's correlation, where the truth's reliability is known, by the whole truth, as everything beside it is: the
    root of the half's reliability times the whole's (attenuation, Spearman 1904; the half's follows from the whole's).
    """
    truth = network.truth
    halved = _halved(truth)
    known = halved & np.isfinite(network.reliability) & (np.ptp(truth.values, axis=-1) > 0.0)
    against_whole = network.reliability[known] / np.sqrt(2.0 - network.reliability[known])
    half = replace(_each(truth, halved), values=truth.half_a[halved])
    for entry, sign in enumerate(controls.REPLICATES.values(), start=-len(controls.REPLICATES)):
        for i, metric in enumerate(METRICS):
            reached.values[entry, halved, i] = metric(half, sign * truth.half_b[halved])
        reached.values[entry, known, SPEARMAN] = sign * against_whole
        reached.known[entry] = halved[:, None] & ~HALF_IS_KNOWN


def _halved(truth: CellTruth) -> Array:
    return np.asarray(np.isfinite(truth.half_a).all(-1) & np.isfinite(truth.half_b).all(-1))


def _limits(truth: CellTruth) -> Array:
    """Return the limits of every metric, judged by the whole truth and by the half that replicates are judged by.

    Returns:
        Least and greatest for each: ``(whole or half, least or greatest, n_cells, n_metrics)``.
    """
    halved = _halved(truth)
    half = replace(_each(truth, halved), values=truth.half_a[halved])
    limits = np.zeros((2, 2, len(truth.values), len(METRICS)))
    for i, metric in enumerate(METRICS):
        limits[0, :, :, i] = metric.limits(truth)
        limits[1, :, halved, i] = np.transpose(metric.limits(half))
    return limits


def _each(truth: CellTruth, index) -> CellTruth:  # type: ignore[no-untyped-def]
    """Return a part, or another shape, of every array with cells."""
    arrays = {name: getattr(truth, name)[index] for name in ("values", "half_a", "half_b", "errors")}
    return replace(truth, **arrays)
