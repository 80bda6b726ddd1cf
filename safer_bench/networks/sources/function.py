"""``FILE.py:FUNC`` as data: a user's function that returns examples, ready for the model or as texts and images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from safer_bench.errors import BadInput
from safer_bench.networks.reading import is_reader, read_examples
from safer_bench.networks.sources.hub import is_dataset, records_of
from safer_bench.networks.sources.records import Kind, Records
from safer_bench.registry import error_text, load_function
from safer_bench.user_files import beside

EXPECTED = (
    "expected (inputs, labels), a DataLoader or Dataset, texts, or pairs of an image or text and its label, in the order of "
    "the head's classes"
)


def read(spec: str) -> Records:
    """Return what a user's function, called without arguments, gives.

    Raises:
        BadInput: the file or function is not there, raises, or returns something else.
    """
    function = load_function(spec)
    try:
        with beside(Path(spec.rpartition(":")[0])):
            given = function()
    except (Exception, SystemExit) as error:
        raise BadInput(f"{spec}: the function raised {error_text(error)}") from error
    return _records(given, spec)


def _records(given: Any, where: str) -> Records:
    if is_dataset(given) and _holds_raw(given):
        return records_of(given, where)
    if isinstance(given, Dataset) and not isinstance(given, DataLoader) and hasattr(given, "__len__") and len(given):
        kind = _kind(given[0][0]) if isinstance(given[0], Sequence) and len(given[0]) else None
        if kind is not None:  # by number, so that only what is chosen is read
            targets = getattr(given, "targets", None)  # of torchvision's, which need not be opened for their labels
            labels = [given[row][1] for row in range(len(given))] if targets is None else list(targets)
            return Records(where, kind, len(given), lambda row: given[row][0], _title(where), labels)
    if is_reader(given):
        return _ready(read_examples(given, where), where)
    if isinstance(given, tuple) and len(given) == 2 and not _is_pair_of_texts(given):
        inputs, labels = given
        kind = _kind(inputs[0]) if isinstance(inputs, list | tuple) and len(inputs) else None
        if kind is not None:
            return _listed(inputs, list(labels), kind, where)
        return _ready(given, where)
    if isinstance(given, list) and given:
        return _of_list(given, where)
    raise BadInput(f"{where}: returned a {type(given).__name__}; {EXPECTED}")


def _of_list(given: list[Any], where: str) -> Records:
    """Return texts alone, or pairs of an item and its label."""
    if isinstance(given[0], str):
        return _listed(given, None, "texts", where)
    kind = _kind(given[0][0]) if isinstance(given[0], tuple | list) and len(given[0]) == 2 else None
    if kind is None:
        raise BadInput(f"{where}: returned a list of {type(given[0]).__name__}; {EXPECTED}")
    return _listed([item for item, _ in given], [label for _, label in given], kind, where)


def _listed(items: Sequence[Any], labels: list[Any] | None, kind: Kind, where: str) -> Records:
    if labels is not None and len(labels) != len(items):
        raise BadInput(f"{where}: returned {len(items)} {kind} and {len(labels)} labels; expected as many")
    return Records(where, kind, len(items), lambda row: items[row], _title(where), labels)


def _ready(given: tuple[Any, Any], where: str) -> Records:
    """Return inputs and labels that a model takes as they are."""
    try:
        n = len(given[1])
    except TypeError as error:
        raise BadInput(f"{where}: returned labels of {type(given[1]).__name__}; {EXPECTED}") from error
    return Records(where, "inputs", n, _no_item, _title(where), inputs=given)


def _no_item(_: int) -> Any:
    raise LookupError("inputs that are ready have no items")


def _holds_raw(dataset: Any) -> bool:
    """Tell whether a dataset of Hugging Face holds images or texts, which have yet to become numbers."""
    import datasets

    return any(
        isinstance(feature, datasets.Image) or getattr(feature, "dtype", "") in ("string", "large_string")
        for feature in dataset.features.values()
    )


def _kind(item: Any) -> Kind | None:
    if isinstance(item, str) or _is_pair_of_texts(item):
        return "texts"
    return "images" if type(item).__module__.startswith("PIL.") else None


def _is_pair_of_texts(item: Any) -> bool:
    return isinstance(item, tuple | list) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _title(where: str) -> Any:
    return lambda row: f"{where}, example {row}"
