"""One folder of submissions/: a card (submission.yaml), scores (scores.parquet or scores.csv) and, if it likes, code.

The card names the criteria that the scores hold and pins the weights they were computed on. Submitters never send metrics.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from safer_bench.dataset.submissions.card import SubmissionCard as SubmissionCard
from safer_bench.dataset.submissions.card import read_card
from safer_bench.dataset.submissions.code import code_of
from safer_bench.dataset.submissions.plain_files import MOST_ROWS, Kind, is_there, read_columns
from safer_bench.dataset.submissions.plain_files import BadSubmission as BadSubmission
from safer_bench.errors import BadInput
from safer_bench.tables import controls, files, schema, score_table
from safer_bench.tables.facts import TruthFacts, read_facts
from safer_bench.tables.text import folded, odd_character, visible
from safer_bench.tables.together import settle, write_together

KINDS: dict[str, Kind] = {
    **dict.fromkeys(("criterion", "network", "layer", "perturbation"), "text"),
    **dict.fromkeys(("level", "score", "spread"), "number"),
}  # the columns of scores
COSTS: dict[str, Kind] = {
    **dict.fromkeys(("criterion", "network"), "text"),
    **dict.fromkeys(("seconds", "memory", "forward_equivalents"), "number"),
}
NULLS = {"text": pa.string(), "number": pa.float64()}
MOST_COSTS = 10_000  # rows of a file of costs that are of no criterion of the card: nobody asks for them


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked submission: its card, its ``scores`` table, and what the scores cost where it says so."""

    card: SubmissionCard
    scores: pa.Table
    costs: pa.Table | None


def read_submission(folder: Path, truth: Mapping[str, pa.Table]) -> Submission:
    """Read and check one submission.

    Args:
        folder: holds ``submission.yaml`` and ``scores.parquet`` or ``scores.csv``; neither it nor its files may be links.
        truth: holds the tables ``layers``, ``perturbations`` and ``networks``; the card's weights must be the truth's. Where
            it holds ``scores`` of a criterion of that name, they must be the submission's too.

    Raises:
        BadInput: there is no such folder.
        BadSubmission: what is wrong with it, to the row.
    """
    check_folder(folder)
    card = read_card(folder / "submission.yaml")
    _check_names(card, truth, folder)
    _check_weights(card, truth["networks"], folder)
    _check_levels(card, truth["perturbations"], folder)
    code_of(folder, card)
    facts = read_facts(truth)
    path = _scores_file(folder)
    rows = _with_tracks(_read_scores(path, card, facts), card, path)
    try:
        score_table.check_table(rows, facts, str(path))
        complete = score_table.complete_table(rows, facts)
        _check_own(complete, truth, folder)
    except BadInput as error:
        raise BadSubmission(str(error)) from error
    return Submission(card, complete, _read_costs(folder / "costs.parquet", card, facts))


def check_folder(folder: Path) -> None:
    """Refuse what is no folder of a submission, by its name and kind; finish what `score` was writing there.

    Raises:
        BadInput: there is no such folder.
        BadSubmission: it is a link, has an odd name, or holds half of what was written.
    """
    odd = odd_character(folder.name.replace("\n", "\r"))
    if odd:  # every message names the folder, on a terminal too
        raise BadSubmission(f"{visible(str(folder))}: the folder's name holds the control character {odd}; rename it")
    if folder.is_symlink():
        raise BadSubmission(f"{folder}: a symbolic link; expected the folder itself: links are not followed")
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected submissions/NAME with submission.yaml and scores")
    try:
        settle(folder)  # our own `score` may have been cut short
    except BadInput as error:
        raise BadSubmission(str(error)) from error


def _check_names(card: SubmissionCard, truth: Mapping[str, pa.Table], folder: Path) -> None:
    """Refuse the names of controls that evaluation adds, and those that are taken for one of the truth's or a control."""
    own = truth["scores"]["criterion"].unique().to_pylist() if "scores" in truth else []
    known = {folded(name): name for name in (*controls.CONTROLS, *own)}
    for item in card.criteria:
        if item.name in controls.ADDED:
            raise BadSubmission(
                f"{folder / 'submission.yaml'}: {item.name!r} is the name of a control that evaluation adds; give the "
                "criterion another name"
            )
        taken = known.get(folded(item.name), item.name)
        if taken != item.name:
            raise BadSubmission(
                f"{folder / 'submission.yaml'}: {item.name!r} would be taken for {taken!r}; give the criterion another name"
            )


def _check_own(scores: pa.Table, truth: Mapping[str, pa.Table], folder: Path) -> None:
    """Refuse another criterion under the name of one of the truth's own: no submission could be evaluated beside it."""
    if "scores" in truth:
        own = truth["scores"]
        own = own.filter(pc.is_in(own["criterion"], scores["criterion"].unique()))
        score_table.agreed([(score_table.OWN, own.to_pylist()), (str(folder), scores.to_pylist() if own.num_rows else [])])


def _read_costs(path: Path, card: SubmissionCard, facts: TruthFacts) -> pa.Table | None:
    """Return what scores cost, with dataset and split of each network; None where a submission says nothing of it."""
    if not is_there(path):
        return None
    table = read_columns(path, COSTS, MOST_COSTS + len(card.criteria) * len(facts.layers))
    missing = [name for name in COSTS if name not in table.schema.names]
    if missing:
        raise BadSubmission(f"{path}: column {missing[0]!r} is missing; expected {', '.join(COSTS)}")
    strange = sorted({str(name) for name in table["network"].unique().to_pylist()} - set(facts.layers))
    if strange:
        raise BadSubmission(f"{path}: {strange[0]!r} is not a network of the truth; the networks: {', '.join(facts.layers)}")
    for name in ("seconds", "memory", "forward_equivalents"):
        odd = table[name].filter(pc.invert(pc.and_(pc.is_finite(table[name]), pc.greater_equal(table[name], 0.0))))
        if len(odd):
            raise BadSubmission(f"{path}: {name} is {odd[0]}; expected what it cost, or nothing")
    return score_table.complete_table(table, facts, "costs")


def _check_weights(card: SubmissionCard, networks: pa.Table, folder: Path) -> None:
    known = {row["network"]: row["weights_sha256"] for row in networks.select(["network", "weights_sha256"]).to_pylist()}
    for network, digest in card.weights.items():
        if known.get(network, digest) != digest:
            raise BadSubmission(
                f"{folder / 'submission.yaml'}: scores of {network!r} were computed on weights {digest[:16]}, the truth has "
                f"{known[network][:16]}; score the criterion again, on all networks that it scores"
            )


def _check_levels(card: SubmissionCard, perturbations: pa.Table, folder: Path) -> None:
    """Refuse means over other levels than the truth's: the rows of a perturbation-aware criterion do not tell."""
    known = {row["perturbation"]: row["levels"] for row in perturbations.to_pylist()}
    for name, levels in card.levels.items():
        if known.get(name, levels) != levels:
            raise BadSubmission(
                f"{folder / 'submission.yaml'}: {name!r} was scored at levels {_list(levels[:20])}, the truth has "
                f"{_list(known[name])}; score again without --perturbation, which takes the truth's"
            )


def _list(levels: list[float]) -> str:
    return ",".join(map(repr, levels))


def _scores_file(folder: Path) -> Path:
    found = [folder / name for name in ("scores.parquet", "scores.csv") if is_there(folder / name)]
    if len(found) != 1:
        raise BadSubmission(f"{folder}: expected one of scores.parquet and scores.csv, found {'both' if found else 'none'}")
    return found[0]


def _read_scores(path: Path, card: SubmissionCard, facts: TruthFacts) -> pa.Table:
    table = read_columns(path, KINDS, _most_rows(card, facts))
    missing = [name for name in ("network", "layer", "score") if name not in table.schema.names]
    if len(card.criteria) > 1 and "criterion" not in table.schema.names:
        missing.append("criterion")
    if missing:
        needed = ", ".join(["criterion"] * (len(card.criteria) > 1) + ["network", "layer", "score"])
        found = ", ".join(map(repr, table.schema.names)) or "none that is known"
        raise BadSubmission(f"{path}: column {missing[0]!r} is missing, found {found}; expected {needed}, by commas")
    return table


def _most_rows(card: SubmissionCard, facts: TruthFacts) -> int:
    """Return how many scores the criteria of a card can give: each layer's, for each cell that their tracks name.

    Perturbations that the card alone has count too, so that the refusal names one of them.
    """
    levels = {**card.levels, **facts.levels}
    cells = {"blind": 1, "perturbation_aware": len(levels), "level_aware": sum(map(len, levels.values()))}
    n_layers = sum(map(len, facts.layers.values()))
    return min(MOST_ROWS, n_layers * sum(cells[item.track] for item in card.criteria))


def _with_tracks(table: pa.Table, card: SubmissionCard, path: Path) -> pa.Table:
    """Return the columns of a table of scores, with the track of each criterion; absent columns are null."""
    tracks = {item.name: item.track for item in card.criteria}
    n_rows = table.num_rows
    columns = {
        name: table[name] if name in table.schema.names else pa.nulls(n_rows, NULLS[kind]) for name, kind in KINDS.items()
    }
    if len(card.criteria) == 1 and "criterion" not in table.schema.names:
        columns["criterion"] = pa.array([card.criteria[0].name] * n_rows, pa.string())
    number = pc.index_in(columns["criterion"], pa.array(list(tracks), pa.string()))
    _refuse_first(pc.is_null(number), path, lambda i: f"criterion {columns['criterion'][i].as_py()!r} is not in "
                  f"submission.yaml ({', '.join(tracks)})")  # fmt: skip
    unscored = set(tracks) - set(columns["criterion"].unique().to_pylist())
    if unscored:
        raise BadSubmission(f"{path}: criterion {min(unscored)!r} of submission.yaml has no scores")
    spread = columns["spread"]
    _refuse_first(
        pc.invert(pc.and_(pc.is_finite(spread), pc.greater_equal(spread, 0.0))),
        path,
        lambda i: f"spread is {spread[i]}; expected a standard deviation, or nothing",
    )
    named = pc.not_equal(columns["perturbation"], "")
    columns["perturbation"] = pc.if_else(named, columns["perturbation"], pa.scalar(None, pa.string()))
    return pa.table({**columns, "track": pa.array(list(tracks.values()), pa.string()).take(number)})


def _refuse_first(bad: pa.Array, path: Path, told: Callable[[int], str]) -> None:
    """Refuse the first row of which something is true; null is not true."""
    first = pc.index(bad, True).as_py()
    if first >= 0:
        raise BadSubmission(f"{path}, row {first + 1}: {told(first)}")


def write_submission(
    folder: Path,
    card: SubmissionCard,
    table: pa.Table,
    costs: pa.Table | None = None,
    code: Mapping[str, bytes] | None = None,
) -> None:
    """Write a submission's folder, all of it or nothing; what an earlier one had besides (scores.csv, costs) is removed.

    Args:
        folder: created where it is not there.
        card: what submission.yaml says.
        table: of schema ``scores``.
        costs: of schema ``costs``.
        code: files that the card names, by name.

    Raises:
        BadInput: the folder cannot be written to.
    """
    made = {"scores.parquet": files.parquet_bytes(schema.in_order(table))}
    if costs is not None:
        made["costs.parquet"] = files.parquet_bytes(costs)
    made |= code or {}
    made["submission.yaml"] = yaml.safe_dump(card.model_dump(), sort_keys=False, allow_unicode=True, width=120).encode()
    gone = ("scores.csv", *(() if costs is not None else ("costs.parquet",)))
    write_together(folder, made, gone)
