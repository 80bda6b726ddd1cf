"""Which class of the data is which class of the head: by their names where both are known, else by their order."""

from collections import Counter
from collections.abc import Sequence

from safer_bench.errors import BadInput
from safer_bench.networks.sources.records import Foreign, Records
from safer_bench.registry import suggestion


def classes_of_head(records: Records, foreign: Foreign) -> tuple[list[int] | None, str]:
    """Return the head's number of each class of the data, and what to say of it; None where the data names no class.

    Raises:
        BadInput: they cannot belong together: another number of classes, or names of which the head knows some.
    """
    classes, n_head = records.classes, foreign.n_classes
    if classes is None or n_head is None:
        return None, ""
    known = [_numbers(names) for names in foreign.class_names]
    best = max(known, key=lambda names: sum(_plain(each) in names for each in classes), default={})
    found = [best.get(_plain(each)) for each in classes]
    numbers = [number for number in found if number is not None]
    if len(numbers) == len(classes):
        return numbers, ""
    if numbers:
        stranger = classes[found.index(None)]
        raise BadInput(
            f"{foreign.where}: its head knows {len(numbers)} of the {len(classes)} classes of {records.where}, and no "
            f"{stranger!r}.{suggestion(_plain(stranger), best)} Expected its classes: rename the others, or leave them out"
        )
    if len(classes) != n_head:
        raise BadInput(
            f"{foreign.where}: its head tells {n_head} classes apart, {records.where} has {len(classes)} ({_few(classes)}); "
            "expected data of its classes, or a checkpoint that was trained on these"
        )
    return list(range(n_head)), (
        f"{foreign.where}: the head's classes 0 to {n_head - 1} are taken for {_few(classes)}, in the order of "
        f"{records.where}: no name of theirs is known to say otherwise"
    )


def _numbers(names: Sequence[str]) -> dict[str, int]:
    """Return the number of each name; a name of two classes tells none."""
    plain = [_plain(name) for name in names]
    counts = Counter(plain)
    return {name: number for number, name in enumerate(plain) if counts[name] == 1}


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _few(names: Sequence[str]) -> str:
    shown = names if len(names) <= 4 else (*names[:3], "...", names[-1])
    return ", ".join(shown)
