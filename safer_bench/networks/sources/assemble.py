"""A network of a source with examples of a source: what both give, chosen, preprocessed and put together."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing import parent_process
from typing import Any

import numpy as np
import torch

from safer_bench.errors import BadInput
from safer_bench.networks.network import Network
from safer_bench.networks.sources import function, hub, imagefolder, timm, torchvision, transformers
from safer_bench.networks.sources.class_order import classes_of_head
from safer_bench.networks.sources.named import Named
from safer_bench.networks.sources.parts import choose
from safer_bench.networks.sources.records import Foreign, Records
from safer_bench.registry import is_file_spec

logger = logging.getLogger(__name__)

NETWORKS: Mapping[str, Callable[[str, Callable[[], int | None]], Foreign]] = {
    "timm": timm.load,
    "torchvision": torchvision.load,
    "transformers": transformers.load,
}
DATA: Mapping[str, Callable[[str], Records]] = {"imagefolder": imagefolder.read, "hub": hub.read}


def network_of(named: Named) -> Network:
    """Load a network of a source, and choose and preprocess its examples.

    Logs what there is to say: weights of another precision, and an order of classes that no name confirms.

    Raises:
        UnknownName, BadInput, MissingData, MissingExtra: see the sources.
    """
    records = cache(lambda: read_data(named.choice.data or ""))
    foreign = NETWORKS[named.source](named.what, lambda: _n_classes(records()))
    found, choice = records(), named.choice
    seed = choice.data_seed or 0
    evaluation, calibration = choose(found.n, choice.examples_from, choice.calibration, seed, found.where)
    inputs, labels, note = examples(foreign, found, np.concatenate([evaluation, calibration]))
    n = len(evaluation)
    network = Network(
        foreign.model,
        rows_of(inputs, slice(None, n)),
        labels[:n],
        name=named.name,
        calibration=(rows_of(inputs, slice(n, None)), labels[n:]) if len(calibration) else None,
        output=foreign.output,
        class_axis=foreign.class_axis,
        family=foreign.family,
        licence=foreign.licence,
        source=named.origin,
    )
    network.spec = named.spec
    if parent_process() is None:  # once, not by each worker
        for line in filter(None, (*foreign.notes, note)):
            logger.warning("%s", line)
    return network


def read_data(spec: str) -> Records:
    """Return the records that a data spec names."""
    if is_file_spec(spec):
        return function.read(spec)
    source, _, what = spec.partition(":")
    return DATA[source](what)


def _n_classes(records: Records) -> int | None:
    """Return how many classes the data have; None where nobody can tell."""
    if records.classes is not None:
        return len(records.classes)
    labels = records.labels if records.inputs is None else records.inputs[1]
    return None if labels is None or len(labels) == 0 else int(torch.as_tensor(np.asarray(labels)).max()) + 1


def examples(foreign: Foreign, records: Records, rows: np.ndarray) -> tuple[Any, Any, str]:
    """Return inputs and labels of some records as the network takes them, and what to say of their classes.

    Raises:
        BadInput: the network takes another kind, or its head has other classes.
    """
    if records.inputs is not None:
        return rows_of(records.inputs[0], rows), rows_of(records.inputs[1], rows), ""
    if records.kind != foreign.reads:
        takes = "tensors, which a FILE.py:FUNC gives" if foreign.reads == "inputs" else foreign.reads
        raise BadInput(f"{foreign.where}: takes {takes}; {records.where} holds {records.kind}: give data that it takes")
    numbers, note = _labels(foreign, records, rows)
    titles = [records.title(int(row)) for row in rows]
    inputs = foreign.prepare([_reader(records, int(row)) for row in rows], titles)
    return inputs, foreign.labels_of(inputs) if foreign.labels_of else numbers, note


def _reader(records: Records, row: int) -> Callable[[], Any]:
    return lambda: records.item(row)


def _labels(foreign: Foreign, records: Records, rows: np.ndarray) -> tuple[Any, str]:
    """Return the head's classes of some records, int64 ``(n,)``; none of a model that makes its labels of its inputs."""
    if foreign.labels_of is not None:
        return None, ""
    if records.labels is None:
        raise BadInput(
            f"{records.where}: holds no labels; expected the class of each example, which {foreign.where} is judged by"
        )
    numbers, note = classes_of_head(records, foreign)
    found = np.asarray([records.labels[int(row)] for row in rows])
    if found.dtype.kind not in "iub" or found.min() < 0:
        raise BadInput(
            f"{records.where}: its labels are such as {found.min()!r}; expected numbers of classes from 0 on (a split whose "
            "labels are hidden has -1: choose another)"
        )
    return torch.as_tensor(found if numbers is None else np.asarray(numbers)[found]).long(), note


def rows_of(values: Any, rows: Any) -> Any:
    """Return rows of inputs: of a tensor or array, of each of a tuple, or of each value of a dict."""
    if isinstance(values, Mapping):
        return {key: rows_of(value, rows) for key, value in values.items()}
    if isinstance(values, tuple):
        return tuple(rows_of(value, rows) for value in values)
    if isinstance(values, Sequence):
        values = np.asarray(values)
    return values[rows]
