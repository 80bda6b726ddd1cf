"""Whose a name is among submissions: the maintainer's scores stand, and what contradicts or adds to them is refused."""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.submissions.plain_files import BadSubmission
from safer_bench.dataset.submissions.recomputed import recomputed_scores
from safer_bench.dataset.submissions.submission import Submission
from safer_bench.errors import BadInput
from safer_bench.tables import score_table
from safer_bench.tables.grouping import grouped
from safer_bench.tables.text import folded

Tables = Mapping[Path, pa.Table]  # scores, by folder


def misnamed(found: Mapping[Path, Submission]) -> dict[Path, str]:
    """Refuse cards, where there are several, that have another name than their folder."""
    if len(found) < 2:
        return {}
    return {
        folder: f"{folder / 'submission.yaml'}: name is {submission.card.name!r}; expected that of its folder, "
        f"{folder.resolve().name!r}"
        for folder, submission in found.items()
        if submission.card.name != folder.resolve().name
    }


def computed_again(found: Mapping[Path, Submission]) -> tuple[dict[Path, pa.Table], dict[Path, str]]:
    """Return the scores that the maintainer keeps of each submission, and what is wrong with those that cannot be read.

    Raises:
        BadInput: the record of them cannot be read.
    """
    tables: dict[Path, pa.Table] = {}
    refused: dict[Path, str] = {}
    for folder, submission in found.items():
        try:
            again = recomputed_scores(folder, submission)
        except BadSubmission as error:
            refused[folder] = str(error)
        else:
            tables |= {folder: again} if again is not None else {}
    return tables, refused


def _names(again: Tables, folder: Path) -> set[str]:
    """Return the criteria of a folder that the maintainer computed again."""
    return set(again[folder]["criterion"].unique().to_pylist()) if folder in again else set()


def taken(found: Mapping[Path, Submission], again: Tables) -> dict[Path, str]:
    """Refuse criteria of several submissions whose names are alike but for their spelling."""
    names = [(folded(item.name), item.name, folder) for folder, each in found.items() for item in each.card.criteria]
    spelt = grouped(names, key=itemgetter(0))
    return {
        folder: f"{folder / 'submission.yaml'}: {name!r} would be taken for {other!r} of {place}; rename one of them"
        for alike in spelt.values()
        for _, name, folder in alike
        for _, other, place in alike
        if other != name and (name not in _names(again, folder) or other in _names(again, place))
    }


def different(found: Mapping[Path, Submission], again: Tables) -> dict[Path, str]:
    """Refuse criteria of one name that several submissions score differently."""
    names = [(item.name, folder) for folder, each in found.items() for item in each.card.criteria]
    refused: dict[Path, str] = {}
    for name, claims in grouped(names, key=itemgetter(0)).items():
        folders = [folder for _, folder in claims if len(claims) > 1]
        firm = [folder for folder in folders if name in _names(again, folder)] or folders
        others = [[folder] for folder in folders if folder not in firm]
        for judged in (firm, *others):
            compared = [(folder, found[folder].scores) for folder in dict.fromkeys([*firm, *judged])]
            told = _disagreement(compared, name)
            refused |= {folder: f"{folder}: {told}" for folder in judged if told}
    return refused


def _disagreement(tables: Iterable[tuple[Path | str, pa.Table]], name: str) -> str | None:
    """Return how tables differ in the scores of a criterion; None where they do not."""
    sources = [(str(where), table.filter(pc.field("criterion") == name).to_pylist()) for where, table in tables]
    try:
        score_table.agreed(sources)
    except BadInput as error:
        return str(error)
    return None


def unlike(own: pa.Table, again: Tables) -> dict[Path, str]:
    """Refuse what came out of a submission's code where it is not the tree's own, or not another's of the same name."""
    refused: dict[Path, str] = {}
    for name in sorted({name for folder in again for name in _names(again, folder)}):
        folders = [folder for folder in again if name in _names(again, folder)]
        told = _disagreement([(folder, again[folder]) for folder in folders], name)
        refused |= {folder: f"{folder}: {told}" for folder in folders if told}
        for folder in folders:
            told = _disagreement([(score_table.OWN, own), (folder, again[folder])], name)
            refused |= {folder: f"{folder}: {told}"} if told else {}
    return refused


def cells_of(tables: Iterable[pa.Table]) -> dict[str, set[tuple[Any, ...]]]:
    """Return what each criterion of some tables scores."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for table in tables:
        keys = ["criterion", "track", "network", "perturbation", "level"]
        for row in table.select(keys).group_by(keys).aggregate([]).to_pylist():
            found.setdefault(row.pop("criterion"), set()).add(tuple(row.values()))
    return found


def added(found: Mapping[Path, Submission], again: Tables, cells: Mapping[str, set[tuple[Any, ...]]]) -> dict[Path, str]:
    """Refuse reported scores that would be added to a criterion which the maintainer computed."""
    refused: dict[Path, str] = {}
    for folder, submission in found.items():
        for name, scored in cells_of([submission.scores]).items():
            more = sorted({network for _, network, *_ in scored - cells.get(name, scored)})
            if more and name not in _names(again, folder):
                refused[folder] = (
                    f"{folder}: adds reported scores of {', '.join(more)} to {name!r}, which the maintainer computed; "
                    f"`safer-bench check {folder} --recompute` computes them too, or give the criterion another name"
                )
    return refused
