"""Submitted code, judged on networks and truths that nobody has seen: what is told is means, and no word of the code's."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from safer_bench.criteria.loading import criteria
from safer_bench.dataset.submissions.card import CriterionCard, SubmissionCard
from safer_bench.dataset.submissions.with_code import read_code
from safer_bench.dataset.tree import Tree
from safer_bench.errors import BadInput
from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.evaluation.held_out_means import MIN_NETWORKS, Aggregate, aggregates
from safer_bench.measurement.progress import OnProgress
from safer_bench.networks.network import Network
from safer_bench.networks.of_truth import networks_of_truth
from safer_bench.scoring import rehearsal
from safer_bench.scoring.by_code import Guard, Task, Unprotected, scores_by_code
from safer_bench.scoring.recompute import row_of
from safer_bench.scoring.same import Key
from safer_bench.scoring.sweep import Levels
from safer_bench.tables import controls, schema


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What may be told of submissions on a held-out truth.

    Attributes:
        rows: means over networks and families.
        n_left_out: boards of fewer networks than ``MIN_NETWORKS``.
        judged: submissions whose criteria are in the rows, by folder.
        without: those that bring no code.
        refused: what is said of each of the others; of code that failed, no more than that.
    """

    rows: list[Aggregate]
    n_left_out: int
    judged: list[Path]
    without: list[Path]
    refused: dict[Path, str]


def judge_held_out(
    tree: Tree,
    specs: Sequence[str],
    folders: Sequence[Path],
    levels: Levels,
    guard: Guard,
    report: OnProgress = lambda *_: None,
) -> HeldOut:
    """Score held-out networks by submitted code, each submission in a process of its own, and judge what comes out.

    The criteria that the tree has scores of, and the controls of every board, are judged beside them. A submission's own
    scores, of published networks, are not read; nothing is written.

    Args:
        tree: the held-out truth.
        specs: what builds those of its networks that are not of the zoo.
        folders: of the submissions.
        levels: the perturbations and levels of the truth.
        guard: how the code is kept apart; the tree is hidden from it.
        report: called with (step, done, total); a step names a submission and nothing of the truth.

    Raises:
        BadInput: the networks are not those of the truth, or cannot be handed to another process; or no board has
            networks enough.
        Unprotected: the system cannot keep the code apart.
    """
    networks = networks_of_truth(tree, specs)
    own = (tree["scores"] if "scores" in tree else schema.build("scores", [])).cast(schema.TABLES["scores"])
    report("judging the truth's own criteria", 0, len(folders))
    _told(tree, own, {})  # before any code runs
    found = read_code(folders, {*controls.CONTROLS, *criteria(), *own["criterion"].unique().to_pylist()})
    guard = replace(guard, hidden=(*guard.hidden, tree.path))
    if found.cards:
        report("rehearsing", 0, len(found.cards))
        _rehearse(networks, guard)
    tables, refused = {}, dict(found.refused)
    for done, (folder, card) in enumerate(found.cards.items()):
        report(f"scoring by {card.name}", done, len(found.cards))
        try:
            tables[folder] = _scored(folder, card, networks, levels, guard)
        except BadInput:
            refused[folder] = f"{folder}: its code failed"  # what it said may hold layers' names, or whole images
    brought = {item.name: card.name for card in found.cards.values() for item in card.criteria}
    rows, n_left_out = _told(tree, schema.in_order(pa.concat_tables([own, *tables.values()])), brought)
    return HeldOut(rows, n_left_out, list(tables), found.without, refused)


def _told(tree: Tree, scores: pa.Table, submissions: Mapping[str, str]) -> tuple[list[Aggregate], int]:
    """Return what may be told of scores, and how many boards it leaves out.

    Raises:
        BadInput: it leaves out all of them.
    """
    made = boards(evaluate(tree, scores), tree)
    rows = aggregates(made, submissions)
    if not rows:
        raise BadInput(f"{tree.path}: no board has {MIN_NETWORKS} networks or more, and what fewer reach is not told")
    return rows, sum(len(board.families) < MIN_NETWORKS for board in made)


def _rehearse(networks: Sequence[Network], guard: Guard) -> None:
    """Run a criterion of ours as submitted code is run: whatever fails after it is the submission's, and told in no words.

    Raises:
        BadInput: a network cannot be handed over or scored.
        Unprotected: the system cannot keep code apart.
    """
    place = Path(rehearsal.__file__)
    item = CriterionCard(name=place.stem, code=f"{place.name}:{place.stem}")
    card = SubmissionCard(name=place.stem, criteria=[item])
    try:
        _scored(place.parent, card, networks, [], guard)
    except Unprotected:
        raise
    except BadInput as error:
        raise BadInput(f"these networks cannot be scored in a process of their own: {error}") from error


def _scored(folder: Path, card: SubmissionCard, networks: Sequence[Network], levels: Levels, guard: Guard) -> pa.Table:
    """Return the scores of all networks by a submission's code, of schema ``scores``."""
    tracks = {item.name: item.track for item in card.criteria}
    tasks = [
        Task(network, name, [] if track == "blind" else levels, _keys(network, track, levels))
        for network in networks
        for name, track in tracks.items()
    ]
    rows = []
    with closing(scores_by_code(folder, card, tasks, guard)) as scores:
        for task, found in zip(tasks, scores, strict=True):
            rows += [row_of(task, key, *each) | {"track": tracks[task.criterion]} for key, each in found.items()]
    return schema.build("scores", rows)


def _keys(network: Network, track: str, levels: Levels) -> frozenset[Key]:
    """Return what a criterion of a track scores."""
    cells: Mapping[str, list[tuple[str | None, float | None]]] = {
        "blind": [(None, None)],
        "perturbation_aware": [(perturbation.name, None) for perturbation, _ in levels],
        "level_aware": [(perturbation.name, level) for perturbation, each in levels for level in each],
    }
    return frozenset((*cell, layer.name) for cell in cells[track] for layer in network.layers)
