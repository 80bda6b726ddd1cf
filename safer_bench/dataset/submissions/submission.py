"""One folder of submissions/: a card (submission.yaml), scores (scores.parquet or scores.csv) and, if it likes, code.

The card names the criteria that the scores hold and pins the weights they were computed on. Submitters never send metrics.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import Repr
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from safer_bench.errors import BadInput, text_of
from safer_bench.registry import Track
from safer_bench.tables import files, schema, score_table
from safer_bench.tables.columns import NAME
from safer_bench.tables.controls import ADDED
from safer_bench.tables.facts import read_facts
from safer_bench.tables.together import settle, write_together

COLUMNS = ("criterion", "network", "layer", "perturbation", "level", "score", "spread")
CSV = pyarrow.csv.ConvertOptions(
    null_values=[""],  # "nan" is a bad score, not an absent one
    column_types=dict.fromkeys(("criterion", "network", "layer", "perturbation"), pa.string()),  # a layer may be called 0
)
CODE = r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\.py:[A-Za-z_][A-Za-z0-9_]{0,79})?$"  # a file of the folder itself
MAX_BYTES = 1_000_000  # of a card, or of code


_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80  # a few lines of YAML can nest without end


class BadSubmission(BadInput):
    """A submission that ``check`` refuses."""


class CriterionCard(BaseModel):
    """What a submission says of one criterion."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=f"^{NAME}$")
    track: Track = "blind"
    needs: str = Field(default="", max_length=200)
    formula: str = Field(default="", max_length=500)
    source: str = Field(default="", max_length=500)
    code: str = Field(default="", pattern=CODE, description="FILE.py:FUNC in the folder, of a criterion submitted as code")


class SubmissionCard(BaseModel):
    """What ``submission.yaml`` holds."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=f"^{NAME}$")
    description: str = Field(default="", max_length=2000)
    authors: list[str] = Field(default_factory=list, max_length=100)
    licence: str = Field(default="CC-BY-4.0", max_length=100)
    criteria: list[CriterionCard] = Field(min_length=1, max_length=1000)
    calibration_sets: int = Field(
        default=1,
        ge=1,
        le=100,
        validation_alias=AliasChoices("calibration_sets", "probe_sets"),  # the latter in cards of before
        description="disjoint sets of calibration examples that scores are means over",
    )
    weights: dict[str, str] = Field(default_factory=dict, description="network -> SHA-256 of the weights scored")
    levels: dict[str, list[float]] = Field(
        default_factory=dict, description="perturbation -> levels that aware criteria were asked about"
    )


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked submission: its card, its ``scores`` table, and what the scores cost where it says so."""

    card: SubmissionCard
    scores: pa.Table
    costs: pa.Table | None


def read_submission(folder: Path, truth: Mapping[str, pa.Table]) -> Submission:
    """Read and check one submission.

    Args:
        folder: holds ``submission.yaml`` and ``scores.parquet`` or ``scores.csv``.
        truth: holds the tables ``layers``, ``perturbations`` and ``networks``; the card's weights must be the truth's. Where
            it holds ``scores`` of a criterion of that name, they must be the submission's too.

    Raises:
        BadInput: there is no such folder.
        BadSubmission: what is wrong with it, to the row.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected submissions/NAME with submission.yaml and scores")
    settle(folder)
    card = _read_card(folder / "submission.yaml")
    _check_names(card, folder)
    _check_weights(card, truth["networks"], folder)
    _check_levels(card, truth["perturbations"], folder)
    for item in card.criteria:
        _check_code(item, folder)
    path, table = _read_scores(folder, card)
    rows = _with_tracks(table, card, path)
    try:
        facts = read_facts(truth)
        score_table.check(rows, facts, str(path))
        complete = score_table.complete(rows, facts)
        _check_own(complete, truth, folder)
    except BadInput as error:
        raise BadSubmission(str(error)) from error
    return Submission(card, complete, _read_costs(folder / "costs.parquet"))


def _check_names(card: SubmissionCard, folder: Path) -> None:
    taken = [item.name for item in card.criteria if item.name in ADDED]
    if taken:
        raise BadSubmission(
            f"{folder / 'submission.yaml'}: {taken[0]!r} is the name of a control that evaluation adds; give the criterion "
            "another name"
        )


def _check_own(scores: pa.Table, truth: Mapping[str, pa.Table], folder: Path) -> None:
    """Refuse another criterion under the name of one of the truth's own: no submission could be evaluated beside it."""
    if "scores" in truth:
        own = truth["scores"]
        own = own.filter(pc.is_in(own["criterion"], scores["criterion"].unique()))
        score_table.agreed([(score_table.OWN, own.to_pylist()), (str(folder), scores.to_pylist() if own.num_rows else [])])


def _check_code(item: CriterionCard, folder: Path) -> None:
    path = folder / item.code.partition(":")[0]
    if item.code and (path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BYTES):
        raise BadSubmission(
            f"{folder / 'submission.yaml'}: code of {item.name!r} is in {path.name}; expected a file of the folder, no "
            f"link, of {MAX_BYTES:,} bytes at most"
        )


def _read_costs(path: Path) -> pa.Table | None:
    if not path.is_file():
        return None
    try:
        table = files.read_parquet(path)
        schema.check_schema(table, "costs", str(path))
    except (pa.ArrowException, OSError, BadInput) as error:
        raise BadSubmission(f"{path}: cannot be read ({text_of(error)})") from error
    for name in ("seconds", "memory", "forward_equivalents"):
        odd = [value for value in table[name].to_pylist() if value is not None and not (math.isfinite(value) and value >= 0)]
        if odd:
            raise BadSubmission(f"{path}: {name} is {odd[0]}; expected what it cost, or nothing")
    return table


def _read_card(path: Path) -> SubmissionCard:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadSubmission(f"{path}: {path.stat().st_size:,} bytes; expected {MAX_BYTES:,} at most")
        card = SubmissionCard.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError as error:
        raise BadSubmission(f"{path}: missing; `safer-bench score CRITERION --out {path.parent}` writes one") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise BadSubmission(f"{path}: {field}: {first['msg']} (found {_SHORT.repr(first['input'])})") from error
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:  # PyYAML raises ValueError for odd dates
        raise BadSubmission(f"{path}: no YAML: {text_of(error)}") from error
    names = [item.name for item in card.criteria]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise BadSubmission(f"{path}: criterion {repeated[0]!r} is listed twice")
    return card


def _check_weights(card: SubmissionCard, networks: pa.Table, folder: Path) -> None:
    known = {row["network"]: row["weights_sha256"] for row in networks.to_pylist()}
    for network, digest in card.weights.items():
        if known.get(network, digest) != digest:
            raise BadSubmission(
                f"{folder / 'submission.yaml'}: scores of {network!r} were computed on weights {digest[:16]}, the truth has "
                f"{known[network][:16]}; score the criterion again: safer-bench score --network {network} ..."
            )


def _check_levels(card: SubmissionCard, perturbations: pa.Table, folder: Path) -> None:
    """Refuse means over other levels than the truth's: the rows of a perturbation-aware criterion do not tell."""
    known = {row["perturbation"]: row["levels"] for row in perturbations.to_pylist()}
    for name, levels in card.levels.items():
        if known.get(name, levels) != levels:
            raise BadSubmission(
                f"{folder / 'submission.yaml'}: {name!r} was scored at levels {_list(levels)}, the truth has "
                f"{_list(known[name])}; score again with --perturbation {name}:{_list(known[name])}"
            )


def _list(levels: list[float]) -> str:
    return ",".join(map(repr, levels))


def _read_scores(folder: Path, card: SubmissionCard) -> tuple[Path, pa.Table]:
    parquet, csv = folder / "scores.parquet", folder / "scores.csv"
    if parquet.is_file() == csv.is_file():
        raise BadSubmission(
            f"{folder}: expected one of scores.parquet and scores.csv, found {'both' if csv.is_file() else 'none'}"
        )
    path = parquet if parquet.is_file() else csv
    try:
        table = files.read_parquet(path) if path is parquet else pyarrow.csv.read_csv(path, convert_options=CSV)
    except (pa.ArrowException, OSError) as error:
        raise BadSubmission(f"{path}: cannot be read ({text_of(error)})") from error
    missing = [name for name in ("network", "layer", "score") if name not in table.schema.names]
    if len(card.criteria) > 1 and "criterion" not in table.schema.names:
        missing.append("criterion")
    if missing:
        raise BadSubmission(f"{path}: column {missing[0]!r} is missing; expected {', '.join(COLUMNS)}")
    return path, table


def _with_tracks(table: pa.Table, card: SubmissionCard, path: Path) -> list[dict[str, Any]]:
    tracks = {item.name: item.track for item in card.criteria}
    only = card.criteria[0].name if len(card.criteria) == 1 else None
    rows = []
    for number, row in enumerate(table.to_pylist(), start=1):
        name = row.get("criterion", only)
        if name not in tracks:
            raise BadSubmission(f"{path}, row {number}: criterion {name!r} is not in submission.yaml ({', '.join(tracks)})")
        values = {key: row.get(key) for key in ("network", "layer", "perturbation", "level", "score")}
        values |= {key: _number(values[key]) for key in ("score", "level")}
        values["perturbation"] = values["perturbation"] or None
        values["spread"] = _spread(_number(row.get("spread")), f"{path}, row {number}")
        if values["level"] is not None and not isinstance(values["level"], int | float):
            raise BadSubmission(f"{path}, row {number}: level is {values['level']!r}; expected a number")
        rows.append({"criterion": name, "track": tracks[name], **values})
    unscored = set(tracks) - {row["criterion"] for row in rows}
    if unscored:
        raise BadSubmission(f"{path}: criterion {min(unscored)!r} of submission.yaml has no scores")
    return rows


def _spread(value: Any, place: str) -> Any:
    """Return the standard deviation of a score, where it is given."""
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
        raise BadSubmission(f"{place}: spread is {value!r}; expected a standard deviation, or nothing")
    return value


def _number(value: Any) -> Any:
    """Return a number for a text that is one, None for none: a single bad row makes a whole CSV column text."""
    try:
        return (float(value) if value else None) if isinstance(value, str) else value
    except ValueError:
        return value


def write_submission(
    folder: Path,
    card: SubmissionCard,
    table: pa.Table,
    costs: pa.Table | None = None,
    code: Mapping[str, bytes] | None = None,
) -> None:
    """Write a submission's folder, all of it or nothing; costs of an earlier one are removed where there are none.

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
    write_together(folder, made, () if costs is not None else ("costs.parquet",))
