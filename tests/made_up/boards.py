"""A made-up truth with levels, reliabilities, scores and costs: what the page can show, small."""

from functools import cache

import numpy as np
import pyarrow as pa

import safer_bench as sb
from safer_bench.evaluation.leaderboard.page import BUDGET_COLUMNS
from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts
from tests.made_up.truth import made_up_scores, made_up_truth

HOSTILE = "</script><!--<script>alert(1)</script>|`x`"
LEVELS = (1.0, 2.0)
GOOD = {
    "criterion": "good",
    "track": "blind",
    "needs": "data",
    "formula": "f",
    "source": "Cai et al. 2020, arXiv 2001.00281",
}
KINDS = dict.fromkeys(
    ("criterion", "track", "network", "dataset", "split", "task", "perturbation", "verdict"), pa.string()
) | {"n_examples": pa.int32()}


def with_levels(truth, reliability=lambda row: 0.9):
    """Return the truth with sensitivities and cells at two levels, and a reliability for every cell."""
    rng = np.random.default_rng(1)
    sensitivity, cells = truth["layer_sensitivity"].to_pylist(), truth["cells"].to_pylist()
    for level in LEVELS:
        at = {"summary": "level", "level": level}
        sensitivity += [
            row | at | {"value": row["value"] + rng.normal() / level} for row in sensitivity if row["level"] is None
        ]
        cells += [row | at for row in cells if row["level"] is None]
    cells = [row | {"reliability": reliability(row)} for row in cells]
    return truth | {
        "layer_sensitivity": schema.build("layer_sensitivity", sensitivity),
        "cells": schema.build("cells", cells),
    }


def criteria_of(truth, names=("good", "Bad", HOSTILE)):
    """Return ``{name: scores}`` of falling quality, then the controls parameters and constant."""
    facts = truth["layers"].to_pylist()
    found = {name: made_up_scores(truth, 0.2 + 2.0 * i, i) for i, name in enumerate(names)}
    found["parameters"] = {(row["network"], row["layer"]): row["parameters"] for row in facts}
    found["constant"] = {(row["network"], row["layer"]): 1.0 for row in facts}
    found["part"] = {key: value for key, value in found[names[0]].items() if key[0] == facts[-1]["network"]}
    found["aware"] = {
        (row["network"], row["layer"], row["perturbation"]): row["value"]
        for row in truth["layer_sensitivity"].to_pylist()
        if row["summary"] == "area"
    }
    return found


def scores_of(entries, truth):
    """Return the entries as one table of schema ``scores``."""
    from safer_bench.tables.score_table import from_mapping

    facts = read_facts(truth)
    return pa.concat_tables([from_mapping(name, entry, facts) for name, entry in entries.items()])


def costs_of(entries, truth):
    """Return costs of the entries on every network, each ten times as dear as the one before."""
    networks = truth["networks"].to_pylist()
    rows = [
        row | {"criterion": name, "seconds": 1.0, "memory": 0.0, "forward_equivalents": 10.0**i}
        for i, name in enumerate(entries)
        for row in networks
    ]
    return schema.build("costs", rows)


def budget_of(truth):
    """Return a made-up table of budgets: two tasks, one of two perturbations, one of these at two levels; ten lines."""
    network = truth["networks"].to_pylist()[0]
    rows = [
        {key: network[key] for key in ("network", "dataset", "split")}
        | {
            "criterion": f"line{max(line, 1)}",
            "track": "blind" if line else "level_aware",
            "task": task,
            "perturbation": perturbation,
            "budget": budget,
            "level": level,
        }
        | {
            "accuracy": 0.9 - budget / 4 - line / 50,
            "low": 0.88 - budget / 4 - line / 50,
            "high": 0.92 - budget / 4 - line / 50,
        }
        | {"spent": budget - line / 500, "gain": 0.1, "gain_low": 0.05, "gain_high": 0.15, "verdict": "beats uniform"}
        | {"regret": line / 50, "regret_low": None, "regret_high": None}
        | {"n_examples": 2500, "truth_guided_share": line / 10 if line else None}
        for task, perturbation, levels in (
            ("prune", "magnitude_prune", (None,)),
            ("protect", "int8", (0.01, 0.1)),
            ("protect", "float32", (0.01,)),
        )
        for level in levels
        for line in range(10)
        for budget in (0.5, 0.7, 0.9)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, KINDS.get(name, pa.float64())) for name in BUDGET_COLUMNS]))


@cache
def everything():
    """Return (truth, results, arguments of write_leaderboard) with all that the page can show.

    On the dataset ``other`` no cell under ``noise`` has a ceiling.
    """
    parts = [made_up_truth(7), made_up_truth(2, dataset="other", seed=5)]
    networks = parts[1]["networks"].to_pylist()
    truth = {name: pa.concat_tables([part[name] for part in parts]) for name in parts[0]} | {
        "perturbations": parts[0]["perturbations"]
    }
    renamed = {row["network"] for row in networks}
    truth = {name: _renamed(name, table, renamed) for name, table in truth.items()}
    gone = {"ceiling_spearman": None}
    cells = [
        row | gone if (row["dataset"], row["perturbation"]) == ("other", "noise") else row
        for row in truth["cells"].to_pylist()
    ]
    truth["cells"] = schema.build("cells", cells)
    truth["criteria"] = schema.build("criteria", [GOOD])
    truth = with_levels(truth, lambda row: 0.3 if row["perturbation"] == "noise" or row["level"] == 1.0 else 0.9)
    entries = criteria_of(truth)
    scores = scores_of(entries, truth)
    extras = {
        "scores": scores,
        "costs": costs_of(entries, truth),
        "marks": {"good": "recomputed", "Bad": "reported"},
        "budget": budget_of(truth),
    }
    return truth, sb.evaluate(truth, scores), extras


def _renamed(name, table, twice):
    """Return a table whose networks of the dataset ``other`` have names of their own: names are unique across datasets."""
    if "network" not in table.schema.names:
        return table
    rows = [
        row | {"network": f"other_{row['network']}"} if row["dataset"] == "other" and row["network"] in twice else row
        for row in table.to_pylist()
    ]
    return schema.build(name, rows)
