"""Answers of examples: an answer is a label that counts, and an example may have several of them, or none; no I/O."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

Array = np.ndarray


def answers_of(network: Mapping[str, Any]) -> Array:
    """Return how many answers each evaluation example has, int64 ``(n_examples,)``, by a row of the table networks."""
    found = network["answers_of_example"]
    return np.ones(network["n_examples"], np.int64) if found is None else np.array(found, np.int64)


def told(answers: Array) -> dict[str, Any]:
    """Return what a row of the table networks says of the answers of each example ``(n_examples,)``."""
    alone = bool((answers == 1).all())
    return {"n_answers": int(answers.sum()), "answers_of_example": None if alone else answers.tolist()}


def begins(answers: Array) -> Array:
    """Return the number of each example's first answer, and that of the end of the last ``(n_examples + 1,)``.

    >>> begins(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(answers, dtype=np.int64)])


def one_each(changes: Sequence[Array]) -> Array:
    """Return the answers ``(most draws, n_examples)`` of a classifier, whose changes are given level by level."""
    return np.ones((max(map(len, changes)), changes[0].shape[-1]), np.int64)


def drop_by_draw(changes: Array, answers: Array) -> Array:
    """Return the share of answers that each draw lost ``(n_draws, n_layers)``.

    Args:
        changes: of one level ``(n_draws, n_layers, n_examples)``.
        answers: of each draw's examples ``(most draws, n_examples)``.
    """
    return np.asarray(changes.sum(-1) / answers[: len(changes)].sum(-1)[:, None])


def mean_drop(changes: Array, answers: Array) -> Array:
    """Return the share of answers that all draws of a level lost together ``(n_layers,)``; arguments as above."""
    return np.asarray(changes.sum((0, 2)) / answers[: len(changes)].sum())


def of_today(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """Return a table of before, when every example had one answer, with the columns that tell of answers.

    Args:
        table: of a run folder; one that has them, or that differs otherwise, is returned as it is.
        columns: those of today.
    """
    older = {"n_answers", "answers_of_example"} & {*columns.names}
    if not older or [name for name in columns.names if name not in older] != table.schema.names:
        return table
    none = pa.nulls(table.num_rows)
    added = {"n_answers": table["n_examples"], "answers_of_example": pa.chunked_array([none])}
    return pa.table({name: added[name] if name in older else table[name] for name in columns.names}).cast(columns)
