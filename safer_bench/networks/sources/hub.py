"""``hub:ID[:CONFIG][:SPLIT]``: a dataset of the Hugging Face Hub, or of a folder that holds one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safer_bench.errors import BadInput, MissingData, text_of
from safer_bench.networks.sources.records import Records

SPLITS = ("validation", "test", "train")  # by default the first of them that is there
LABELS = ("label", "labels", "fine_label", "class", "target")
TEXTS = ("text", "sentence", "content", "document", "review")
PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("question", "sentence"))


def read(what: str) -> Records:
    """Return the rows of one split of a dataset.

    Raises:
        BadInput: it has no such config or split, or no column of images or texts.
        MissingData: it is not on this machine and cannot be fetched.
    """
    where = f"hub:{what}"
    path, *rest = what.split(":")
    if len(rest) > 2:
        raise BadInput(f"{where}: expected hub:ID[:CONFIG][:SPLIT]")
    return records_of(_split_of(path, rest, where), where)


def _split_of(path: str, rest: list[str], where: str) -> Any:
    import datasets

    try:
        is_config = bool(rest) and (len(rest) == 2 or rest[0] in datasets.get_dataset_config_names(path))
        config, wanted = (rest[0], rest[1:]) if is_config else (None, rest)
        found = datasets.load_dataset(path, config)
    except Exception as error:  # every kind of unreachable Hub, and what the library refuses
        said = f"{text_of(error):.200}"
        if Path(path).is_dir():
            raise BadInput(
                f"{where}: cannot be read as a dataset ({said}); expected files or a card as the Hub has them"
            ) from error
        raise MissingData(
            f"{where}: not on this machine and not fetched ({said}); expected an id of the Hub, or a folder"
        ) from error
    name = wanted[0] if wanted else next((each for each in SPLITS if each in found), next(iter(found)))
    if name not in found:
        raise BadInput(f"{where}: no config or split is called {name!r}; expected a split ({', '.join(found)})")
    return found[name]


def is_dataset(values: Any) -> bool:
    """Tell whether values are a dataset of Hugging Face's library with rows by number."""
    kind = type(values)
    return kind.__module__.startswith("datasets.") and kind.__name__ == "Dataset"


def records_of(dataset: Any, where: str) -> Records:
    """Return the rows of a dataset that holds images or texts.

    Raises:
        BadInput: it holds neither, or several that may be meant.
    """
    import datasets

    features = dataset.features
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    label = next((name for name in LABELS if name in features), _of_kind(features, datasets.ClassLabel))
    if images:
        column = images[0]
        return Records(
            where, "images", len(dataset), lambda row: dataset[row][column], _title(where), *_labels(dataset, label)
        )
    columns = _texts(features, label, where)
    plain = dataset.select_columns(columns).with_format(None)

    def text(row: int) -> Any:
        found = plain[row]
        return found[columns[0]] if len(columns) == 1 else tuple(found[column] for column in columns)

    return Records(where, "texts", len(dataset), text, _title(where), *_labels(dataset, label))


def _title(where: str) -> Any:
    return lambda row: f"{where}, row {row}"


def _of_kind(features: Any, kind: type) -> str | None:
    return next((name for name, feature in features.items() if isinstance(feature, kind)), None)


def _texts(features: Any, label: str | None, where: str) -> list[str]:
    strings = [name for name, feature in features.items() if getattr(feature, "dtype", "") in ("string", "large_string")]
    strings = [name for name in strings if name != label]
    known = [name for name in TEXTS if name in strings]
    pair = next((pair for pair in PAIRS if set(pair) <= set(strings)), ())
    if pair and set(known) <= set(pair):
        return list(pair)
    if known or len(strings) == 1:
        return known[:1] or strings
    raise BadInput(
        f"{where}: its columns are {', '.join(features)}; expected one of images, or of texts called {' or '.join(TEXTS)}: "
        "rename them in a FILE.py:FUNC that gives the data"
    )


def _labels(dataset: Any, label: str | None) -> tuple[Sequence[Any] | None, tuple[str, ...] | None]:
    """Return the labels of a dataset, and the names of their classes where it has them."""
    if label is None:
        return None, None
    values = dataset.select_columns([label]).with_format(None)[label][:]
    names = getattr(dataset.features[label], "names", None)
    if names is None and values and isinstance(values[0], str):
        names = sorted(set(values))
        return [names.index(value) for value in values], tuple(names)
    return values, None if names is None else tuple(names)
