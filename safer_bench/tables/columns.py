"""The published tables: Arrow schemas whose columns carry description and unit in their metadata."""

import pyarrow as pa

from safer_bench.judging import METRICS

VERSION = "1"  # raised when a column of a published table goes or changes what it means; a new one beside them does neither
SPLITS = ("validation", "test")
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"  # of a network, a criterion, a submission
FOLDED = "_folded"  # what a network's name ends in where its batch norms were folded into the layers before them

STRING, I32, I64, F32, F64 = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64()
I32_LIST = pa.list_(pa.field("element", I32))  # as a Parquet file names its entries: a content hash knows the name


def _column(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=True, metadata=metadata)


def _table(name: str, description: str, *columns: pa.Field) -> pa.Schema:
    metadata = {"safer_bench.table": name, "safer_bench.schema": VERSION, "description": description}
    return pa.schema(columns, metadata=metadata)


NETWORK = _column("network", STRING, "name of the network, unique across datasets")
DATASET = _column("dataset", STRING, "dataset the network was trained on")
SPLIT = _column("split", STRING, "validation or test, by network family")
LAYER = _column("layer", STRING, "dotted path of the module that owns the weight")
PERTURBATION = _column("perturbation", STRING, "name of the perturbation")
LEVEL = _column("level", F64, "strength of the perturbation", "the perturbation's own")
DRAW = _column("draw", I32, "number of the random draw, from 0")
SUMMARY = _column("summary", STRING, "level, area or tolerated_level")
SUMMARY_LEVEL = _column("level", F64, "the level where summary is level, else null", "the perturbation's own")
CRITERION = _column("criterion", STRING, "name of the criterion or submission")
TRACK = _column("track", STRING, "blind, perturbation_aware or level_aware: what the criterion sees")
METRIC_NAMES = tuple(metric.name for metric in METRICS)
TASK = _column("task", STRING, "prune, quantize or protect")
GIVEN = _column("perturbation", STRING, "what layers get: all of them, or those that are not protected")
BUDGET = _column("budget", F64, "global sparsity, mean bits, or share of the weights protected", "the task's own")
ACCURACY = "share of examples"  # the unit of accuracies
BIT_ERROR_RATE = _column("level", F64, "bit-error rate of what is not protected; null for other tasks", "bit-error rate")
REVISION = _column("truth_revision", STRING, "content hash of the truth, 16 hex digits")
NETWORK_REVISION = _column("truth_revision", STRING, "content hash of the network's rows of layer_drops, 16 hex digits")
# Descriptions are metadata inside published files and keep their bytes: "probe examples" there are calibration examples.
PROBE = (NETWORK, DATASET, SPLIT, LAYER, PERTURBATION, LEVEL, DRAW)

TABLES: dict[str, pa.Schema] = {
    "layer_drops": _table(
        "layer_drops",
        "the truth: one row a probe (network, layer, perturbation, level, draw)",
        NETWORK,
        DATASET,
        SPLIT,
        LAYER,
        _column("layer_index", I32, "order of first use in the clean pass"),
        PERTURBATION,
        LEVEL,
        DRAW,
        _column("example_start", I32, "first evaluation example that the probe saw"),
        _column("n_examples", I32, "number of evaluation examples, consecutive", "examples"),
        _column("n_answers", I32, "counted labels of these examples: what the counts are of", "answers"),
        _column("correct_clean", I32, "right before the perturbation", "answers"),
        _column("broken", I32, "right before, wrong after", "answers"),
        _column("fixed", I32, "wrong before, right after", "answers"),
        _column("predictions_changed", I32, "predicted class changed", "answers"),
        _column("changed_entries", I64, "entries of the weight whose bits changed", "weights"),
        _column("weight_digest", STRING, "first 16 hex digits of the SHA-256 of the perturbed float32 weight"),
        _column("accuracy_drop", F64, "(broken - fixed) / n_answers", "share of answers"),
    ),
    "losses": _table(
        "losses",
        "loss increase of each probe; not canonical, outside byte comparisons",
        *PROBE,
        _column(
            "loss_increase", F32, "mean cross-entropy after minus before, each answer clipped at 16; good to 0.002", "nats"
        ),
    ),
    "outcomes": _table(
        "outcomes",
        "which answers changed between right and wrong, one row a probe",
        *PROBE,
        _column(
            "flips",
            pa.binary(),
            "bit i (most significant first): answer i of the probe's examples, example by example, changed correctness",
        ),
    ),
    "layer_sensitivity": _table(
        "layer_sensitivity",
        "how sensitive each layer is: the truth that criteria are judged by",
        NETWORK,
        DATASET,
        SPLIT,
        LAYER,
        PERTURBATION,
        SUMMARY,
        SUMMARY_LEVEL,
        _column("value", F64, "level: mean drop; area: normalised area; tolerated_level: level of a 1-point drop"),
        _column("standard_error", F64, "over draws and examples; null where one draw cannot tell", "as value"),
        _column("half_a", F64, "the value on one random half of draws and examples", "as value"),
        _column("half_b", F64, "the value on the other half", "as value"),
        _column("draws", I32, "number of draws a level"),
        _column(
            "censored",
            pa.bool_(),
            "tolerated_level only: the drop is 1 point at the mildest level already, or never; value is that end",
        ),
        _column("p_drop_over_5", F64, "level only: share of draws with a drop over 5 points", "share of draws"),
    ),
    "cells": _table(
        "cells",
        "how far the true ranking of a network under a perturbation can be trusted",
        NETWORK,
        DATASET,
        SPLIT,
        PERTURBATION,
        SUMMARY,
        SUMMARY_LEVEL,
        _column("n_layers", I32, "number of layers"),
        _column("draws", I32, "number of draws a level"),
        _column("reliability", F64, "split-half reliability of the ranking, Spearman-Brown; null where too few draws"),
        *(
            _column(f"ceiling_{name}", F64, f"{name} that the noise-free truth would reach, simulated")
            for name in METRIC_NAMES
        ),
        _column("resolved", pa.bool_(), "reliability >= 0.8; reported, excludes nothing"),
    ),
    "networks": _table(
        "networks",
        "the measured networks",
        NETWORK,
        DATASET,
        _column("family", STRING, "network family; families, not networks, are split"),
        _column(
            "kind", STRING, "kind of architecture, of which families resemble each other; declared after results were seen"
        ),
        SPLIT,
        _column("n_layers", I32, "number of measured layers"),
        _column("parameters", I64, "trainable entries, biases and norms included"),
        _column("macs", I64, "multiply-accumulates of all layers for one example"),
        _column("n_examples", I32, "evaluation examples", "examples"),
        _column("n_answers", I32, "their counted labels", "answers"),
        _column("clean_correct", I32, "answers right in canonical arithmetic", "answers"),
        _column(
            "chance_accuracy",
            F64,
            "the largest class's share of the answers; before version 1.0: 1 / classes",
            "share of answers",
        ),
        _column("clean_outcomes", pa.binary(), "bit i (most significant first): answer i, example by example, is right"),
        _column("answers_of_example", I32_LIST, "counted labels of each evaluation example; null: one each", "answers"),
        _column("weights_sha256", STRING, "over names, shapes and bytes of the state"),
        _column("inputs_sha256", STRING, "over evaluation and probe examples"),
        _column("licence", STRING, "licence of the weights"),
        _column("source", STRING, "where the weights come from"),
    ),
    "layers": _table(
        "layers",
        "the layers of every network",
        NETWORK,
        DATASET,
        SPLIT,
        LAYER,
        _column("layer_index", I32, "order of first use in the clean pass"),
        _column("kind", STRING, "class of the owning module"),
        _column("weight_shape", STRING, "shape of the weight, such as 16x3x3x3"),
        _column("output_axis", I32, "axis of the weight that runs over its outputs"),
        _column("fan_in", I32, "weights that feed one output"),
        _column("parameters", I64, "entries of the weight"),
        _column("macs", I64, "multiply-accumulates of the weight for one example"),
    ),
    "perturbations": _table(
        "perturbations",
        "the perturbations and their levels",
        PERTURBATION,
        _column("perturbation_family", STRING, "what the perturbation is a variant of"),
        _column("use_case", STRING, "what the perturbation stands for: use cases have boards; null: it is no case of use"),
        _column("levels", pa.list_(F64), "levels from mild to severe", "the perturbation's own"),
        _column("scale", STRING, "linear or log10: the axis along which the area is taken"),
        _column("direction", STRING, "increasing: larger levels are worse; decreasing: smaller ones are"),
        _column("unit", STRING, "unit of the level"),
        _column("deterministic", pa.bool_(), "one draw is enough"),
        _column("formula", STRING, "the perturbed weight in terms of W and level"),
        _column("source", STRING, "where the perturbation comes from"),
    ),
    "criteria": _table(
        "criteria",
        "the built-in criteria",
        CRITERION,
        TRACK,
        _column("needs", STRING, "weights, data, gradients or measurement"),
        _column("formula", STRING, "the score in terms of W, g (gradient), x (input)"),
        _column("source", STRING, "where the criterion comes from"),
    ),
    "scores": _table(
        "scores",
        "scores of the criteria; higher means more sensitive, always",
        CRITERION,
        TRACK,
        NETWORK,
        DATASET,
        SPLIT,
        LAYER,
        PERTURBATION,
        LEVEL,
        _column("score", F64, "higher: more sensitive", "the criterion's own; only ranks are used"),
        _column(
            "spread", F64, "standard deviation over disjoint sets of probe examples; null where one was used", "as score"
        ),
    ),
    "costs": _table(
        "costs",
        "what a criterion's scores of a network cost, all sets of probe examples; not canonical, outside byte comparisons",
        CRITERION,
        NETWORK,
        DATASET,
        SPLIT,
        _column("seconds", F64, "wall clock", "s"),
        _column("memory", F64, "growth of the process's peak memory: a lower bound", "MB"),
        _column("forward_equivalents", F64, "multiply-accumulates in units of one example's forward pass", "forwards"),
    ),
    "results": _table(
        "results",
        "how well each criterion ranks the layers",
        CRITERION,
        TRACK,
        _column("network", STRING, "name of the network; null: mean over families of networks of ten layers or more"),
        DATASET,
        SPLIT,
        _column("perturbation", STRING, "name of the perturbation; null: mean over use cases"),
        SUMMARY,
        SUMMARY_LEVEL,
        _column("metric", STRING, f"one of {', '.join(METRIC_NAMES)}; all but correlations are chance-corrected"),
        _column("value", F64, "null where undefined, as for a constant criterion"),
        _column(
            "low",
            F64,
            "lower end of the 95 % interval of a mean over six families or more; null where families are fewer, or too "
            "nearly alike for resamples of them to spread",
        ),
        _column("high", F64, "upper end of that interval; null likewise"),
        _column(
            "ceiling",
            F64,
            "what the noise-free truth of this cell would reach, whatever the criterion sees",
        ),
        _column("lowest", F64, "the least that any scores reach there, of a mean in any family; 0 where undefined for all"),
        _column("highest", F64, "the most that any scores reach there, of a mean in any family; 0 where undefined for all"),
        _column("n_layers", I32, "number of layers ranked; null for means"),
        REVISION,
    ),
    "budget_results": _table(
        "budget_results",
        "the accuracy that is left when a criterion says how a budget is spent",
        *(CRITERION, TRACK, NETWORK, DATASET, SPLIT, TASK, GIVEN),
        BIT_ERROR_RATE,
        BUDGET,
        _column("spent", F64, "what the allocation comes to: sparsity, mean bits, or share protected", "as budget"),
        _column("accuracy", F64, "mean over examples and draws", ACCURACY),
        _column("low", F64, "lower end of its 95 % interval, over examples and draws", ACCURACY),
        _column("high", F64, "upper end of its 95 % interval", ACCURACY),
        _column("n_examples", I32, "examples that the truth did not use", "examples"),
        _column("draws", I32, "draws of the bit errors; 1 where nothing is random"),
        _column("gain", F64, "accuracy minus that of uniform at the same spending, paired by example and draw", ACCURACY),
        _column("gain_low", F64, "lower end of its 95 % interval; null where examples tell no spread", ACCURACY),
        _column("gain_high", F64, "upper end of its 95 % interval", ACCURACY),
        _column("gain_error", F64, "its standard error; null where examples tell no spread", ACCURACY),
        _column("verdict", STRING, "beats uniform, harms or undecided: with 95 % for all gains of the task at once"),
        _column("regret", F64, "accuracy of the best known allocation of the budget minus this one's", ACCURACY),
        _column("regret_low", F64, "lower end of its 95 % interval; null where examples tell no spread", ACCURACY),
        _column("regret_high", F64, "upper end of its 95 % interval", ACCURACY),
        _column(
            "truth_guided_share", F64, "gain / gain of truth_guided; null where the latter is not over 5 standard errors"
        ),
        NETWORK_REVISION,
    ),
    "budget_allocations": _table(
        "budget_allocations",
        "what each layer gets of a budget",
        *(CRITERION, TRACK, NETWORK, DATASET, SPLIT, LAYER, TASK, GIVEN, BUDGET),
        _column("amount", F64, "share of its weights pruned, its bits, or share of draws in which it is protected"),
    ),
    "budget_additivity": _table(
        "budget_additivity",
        "what random sets of layers lose together and one by one",
        *(NETWORK, DATASET, SPLIT, PERTURBATION, LEVEL),
        _column("set", I32, "number of the set, from 0"),
        _column("layers", STRING, "its layers, separated by spaces"),
        _column("joint_drop", F64, "accuracy lost when all are perturbed at once", ACCURACY),
        _column("sum_of_drops", F64, "sum of what is lost when each is perturbed alone", ACCURACY),
        _column("n_examples", I32, "examples that the truth did not use", "examples"),
        _column("draws", I32, "draws that both are means of; 1 where nothing is random"),
    ),
}
