"""What corruption-resistant training is worth, by the committed tables of docs/twins.md."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from docs.findings.chosen import listed
from docs.findings.data import Data
from docs.findings.drawing import COLOURS, encoded, new_figure, reach, readable
from docs.findings.finding import Figure, Finding, Table, Value, told

TITLE = "What corruption-resistant training is worth"
QUESTION = "Are networks that were trained against the worst case more robust, and no less accurate, than their twins?"
STUDY = (
    Path(__file__).parent.parent / "twins.md"
)  # printed by `python -m benchmarks.twins`; twins are in no table of the tree
HEAD = "| resistant minus | architecture |"
CAPTION = (
    "Resistant twins minus their controls, small networks of Fashion-MNIST (docs/twins.md), with 95 % t intervals of "
    "differences paired by seed. Perturbations have what the mean layer loses"
)
DIFFERENCE = re.compile(r"([+-]\d+\.\d\d) \(([+-]\d+\.\d\d) to ([+-]\d+\.\d\d)\)")
ACCURACY, INDICATOR = "accuracy", "corruption indicator, %"
LIMITS = (
    "What layers lose is in points of the accuracy above chance.",
    "All controls are compared with the same resistant twins, so these are no independent tests.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """The resistant twins minus those of one control: 95 % t intervals of differences paired by seed.

    Attributes:
        control: which, with what it has in common with them.
        architecture: of which networks; the last row of a control is of all.
        differences: by what was measured; areas in points of the accuracy above chance.
    """

    control: str
    architecture: str
    differences: Mapping[str, Value]


def find(data: Data) -> Finding | None:  # noqa: ARG001 the study is in no table of the tree
    """Return the finding; None where the study is not there."""
    return from_study(STUDY.read_text(encoding="utf-8")) if STUDY.is_file() else None


def from_study(text: str) -> Finding | None:
    """Return the finding that a page with the study's table of differences gives; None where it has no such table."""
    rows = differences(text)
    if not rows:
        return None
    values = {f"{row.control}/{row.architecture}/{what}": value for row in rows for what, value in row.differences.items()}
    over_all = list({row.control: row for row in rows}.values())  # the last of each control
    names = list(rows[0].differences)
    table: list[list[str | Value]] = [[row.control, row.architecture, *row.differences.values()] for row in rows]
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=[*(_sentence(row) for row in over_all), _verdict(over_all)],
        limits=LIMITS,
        tables=[Table(CAPTION, ["minus", "architecture", *names], table)],
        figure=Figure(
            "Resistant twins minus each control over all architectures, with 95 % t intervals over seeds. Shown are "
            "accuracy and what the mean layer loses under perturbations of its weight, in points.",
            lambda: _draw(over_all),
        ),
        values=values,
    )


def differences(text: str) -> list[Row]:
    """Return the rows of the table of differences in a page, Markdown.

    Raises:
        ValueError: a row has no number with its interval in each column.
    """
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(HEAD)), None)
    if start is None:
        return []
    names = _cells(lines[start])[2:]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        control, architecture, *numbers = _cells(line)
        matches = [DIFFERENCE.fullmatch(number) for number in numbers]
        if len(matches) != len(names) or not all(matches):
            raise ValueError(f"{STUDY.name}: {line!r}; expected {len(names)} numbers with intervals")
        found = {
            name: _value(name, *map(float, match.groups())) for name, match in zip(names, matches, strict=True) if match
        }
        rows.append(Row(control, architecture, found))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def _value(name: str, value: float, low: float, high: float) -> Value:
    return Value(value, low, high, "%" if name == INDICATOR else "points")


def _sentence(row: Row) -> str:
    damage = {what: told(value, "more", "less", "neither") for what, value in row.differences.items() if what in _lost(row)}
    parts = []
    for side, words in (
        ("less", "lose less under"),
        ("more", "lose more under"),
        ("neither", "are not told apart under"),
    ):
        names = [f"`{what}`" for what, found in damage.items() if found == side]
        if names:
            parts.append(f"{words} {listed(names)}")
    accuracy = row.differences[ACCURACY]
    word = told(accuracy, "more", "less", "not told to be more or less")
    found = [f"Beside {row.control}, resistant twins {', and '.join(parts)}.", f"They are {word} accurate: {accuracy}."]
    if INDICATOR in row.differences:
        fall = row.differences[INDICATOR]
        found.append(f"Their corruption indicator {told(fall, 'is higher', 'is lower', 'is not told apart')}: {fall}.")
    return " ".join(found)


def _lost(row: Row) -> list[str]:
    """Return the perturbations."""
    return [what for what in row.differences if what not in (ACCURACY, INDICATOR)]


def _verdict(rows: Sequence[Row]) -> str:
    worse = sum(told(row.differences[ACCURACY], "more", "less", "neither") == "less" for row in rows)
    return f"The claim that they are no less accurate fails beside {worse} of {len(rows)} controls."


def _draw(rows: Sequence[Row]) -> bytes:
    figure, (axis,) = new_figure(3.6)
    names = [name for name in rows[0].differences if name != INDICATOR]
    for i, row in enumerate(rows):
        values = [row.differences[name] for name in names]
        places = [place + 0.2 * (i - 1) for place in range(len(names))]
        style = {"fmt": "o", "ms": 4, "capsize": 2, "color": COLOURS[i]}
        axis.errorbar([value.value for value in values], places, xerr=reach(values), label=f"minus {row.control}", **style)
    axis.axvline(0.0, color="black", lw=0.8)
    axis.set_yticks(range(len(names)), [readable(name) for name in names])
    axis.invert_yaxis()
    axis.set_xlabel("difference in points")
    axis.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=1)
    return encoded(figure)
