"""What README shows of the findings: three sentences, and a picture of one network's truth beside the board."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from docs.findings.chosen import best, is_aware, is_blind, row_of
from docs.findings.costs import ALL
from docs.findings.data import Data
from docs.findings.drawing import COLOURS, encoded, new_figure, readable
from docs.findings.finding import Finding, Value, told
from docs.findings.one_ranking import AMONG, ODD, odd_one
from docs.markdown import filled
from safer_bench.evaluation.board import Board, BoardRow
from safer_bench.evaluation.leaderboard.overview import SIMPLE
from safer_bench.tables.controls import MEASURING

NETWORK = "resnet20"  # of the picture: a test network whose layers many know by name
MEASURED = "measured_drop_128"
HEIGHT, SMALL, LARGE = 4.8, 6.5, 8.5  # inches, points


def with_findings(readme: str, data: Data, findings: Mapping[str, Finding | None]) -> str:
    """Return README with its three findings anew.

    Raises:
        ValueError: README has no place for them.
    """
    return filled(readme, "".join(f"- {sentence}\n" for sentence in sentences(data, findings)))


def sentences(data: Data, findings: Mapping[str, Finding | None]) -> list[str]:
    """Return one paragraph a finding; those that the truth lacks are left out."""
    made = (_seen(data, findings), _one_ranking(findings), _concentrated(findings))
    return [paragraph for paragraph in made if paragraph]


def _seen(data: Data, findings: Mapping[str, Finding | None]) -> str:
    chosen = _chosen(data)
    if len(chosen) < 3:
        return ""
    blind, aware, measured = chosen
    gap, priced = _beside(findings, blind.criterion)
    beats = told(gap, "beats", "loses against", "is not told from") if gap else "stands beside"
    return (
        f"**Running the perturbed network {beats} looking at the intact one, in the mean.** The blind criterion chosen on "
        f"validation networks, `{blind.criterion}`, reaches {_told(blind)}. Measuring on 128 examples reaches "
        f"{_told(measured)}. `{aware.criterion}`, which compares outputs before and after, reaches {_told(aware)}.{priced}"
    )


def _beside(findings: Mapping[str, Finding | None], blind: str) -> tuple[Value | None, str]:
    """Return measuring minus a blind criterion, and what it costs and in how many use cases it is told to be better."""
    found = findings.get("measuring")
    cost = found.values.get(f"{MEASURED}/forward passes") if found else None
    if found is None or cost is None:
        return None, ""
    gaps = {key.partition("/")[0]: value for key, value in found.values.items() if f"/{MEASURED} - blind " in key}
    alone = [value for case, value in gaps.items() if case != ALL]
    n_told = sum(value.low is not None and value.low > 0 for value in alone)
    return found.values.get(f"{ALL}/{MEASURED} - blind {blind}"), (
        f" A single use case tells less: in {n_told} of {len(alone)} is measuring surely better than the blind criterion "
        f"that validation networks chose for it. For all levels it takes {cost.value:.0f} {cost.unit} a network, in the "
        "median."
    )


def _told(row: BoardRow) -> Value:
    if row.value is None or row.interval is None:
        raise ValueError(f"{row.criterion}: no interval on the board")
    return Value(row.value, *row.interval)


def _one_ranking(findings: Mapping[str, Finding | None]) -> str:
    found = findings.get("one_ranking")
    if found is None or "single ranking reaches" not in found.values:
        return ""
    values, odd = found.values, odd_one(found.values)
    apart = (
        f"Corrected for noise, rankings under {readable(odd)} correlate with those of other use cases at "
        f"{values[f'{odd}{ODD}']}, and those of the others with each other at {values[AMONG]}. "
        if odd
        else ""
    )
    reached = values["single ranking reaches"]
    return f"**No single ranking serves all.** {apart}The best single ranking reaches {reached} with the measured ones."


def _concentrated(findings: Mapping[str, Finding | None]) -> str:
    found = findings.get("concentration")
    if found is None:
        return ""
    return (
        "**A few layers bear the damage.** The most fragile tenth of the layers, rounded up, bears "
        f"{found.values['all use cases: top']} of the accuracy that single layers cost. If all lost alike, it would bear "
        f"{found.values['if all lost alike: top'].value:.0f} %."
    )


def _chosen(data: Data) -> list[BoardRow]:
    """Return the blind and the aware criterion that are best on validation networks, and a short measurement."""
    test, validation = data.board(), data.board(split="validation")
    if test is None or not test.has_intervals:
        return []
    names = [*(best(validation, of_track, test) for of_track in (is_blind, is_aware)), MEASURED]
    rows = [row_of(test, name) for name in names if name is not None]
    return [row for row in rows if row is not None and row.interval is not None]


def picture(data: Data) -> bytes:
    """Return the picture, PNG: area of each layer of a network under each perturbation; the board's rows with intervals."""
    figure, (left, right) = new_figure(HEIGHT, 1, 2)
    _heat_map(left, data)
    _board(right, data)
    return encoded(figure)


def _heat_map(axes: Any, data: Data) -> None:
    by_use_case = [name for names in data.use_cases.values() for name in names if data.has(NETWORK, name)]
    layers = data.networks[NETWORK].layers
    areas = np.stack([data.area(NETWORK, name) for name in by_use_case], axis=1)
    shade = axes.imshow(areas, aspect="auto", cmap="magma_r", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(by_use_case)), [readable(name) for name in by_use_case], rotation=90, fontsize=SMALL)
    axes.set_yticks(range(len(layers)), layers, fontsize=SMALL)
    axes.set_title(f"Measured: accuracy that a layer of {NETWORK} costs", fontsize=LARGE)
    bar = axes.figure.colorbar(shade, ax=axes, orientation="horizontal", aspect=40, pad=0.02)
    bar.set_label("share of the accuracy above chance that is lost, averaged over levels", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


def _board(axes: Any, data: Data) -> None:
    board, names, place = data.board(), {}, 0
    for what, rows, ceiling, colour in _groups(board) if board else []:
        axes.text(0.0, place, what, fontsize=SMALL, color=colour, weight="bold", va="center")
        places = range(place + 1, place + 1 + len(rows))
        if ceiling is not None:
            axes.plot((ceiling, ceiling), (place + 0.4, places[-1] + 0.4), ":", color=colour, linewidth=1.2)
        for at, row in zip(places, rows, strict=True):
            axes.plot(row.interval, (at, at), color=colour, linewidth=3, alpha=0.5)
            axes.plot(row.value, at, "o", color=colour, markersize=4)
            names[at] = row.criterion
        place = places[-1] + 1
    axes.set_yticks(list(names), list(names.values()), fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(place, -1), xlim=(0.0, 1.0))
    axes.spines["left"].set_visible(False)
    axes.set_title("Ranked: agreement with what was measured", fontsize=LARGE)
    axes.set_xlabel("Spearman's correlation, 95 % interval, ceiling (dotted)", fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)


def _groups(board: Board) -> list[tuple[str, list[BoardRow], float | None, str]]:
    """Return the rows of the picture by sort: its name, the highest rows, what it could reach, its colour."""
    rows = sorted((row for row in board.rows if row.interval is not None), key=lambda row: -(row.value or 0.0))
    criteria = {row.criterion for row in board.criteria}
    blind, aware = board.ceilings["blind"].value, board.ceilings["perturbation_aware"].value
    sorts: tuple[tuple[str, Callable[[BoardRow], bool], float | None, str, int], ...] = (
        ("measuring on n examples", lambda row: row.criterion in MEASURING[:2] + MEASURING[3:], aware, COLOURS[0], 3),
        ("sees the perturbed network", lambda row: row.criterion in criteria and row.track != "blind", aware, COLOURS[1], 3),
        ("does not see it", lambda row: row.criterion in criteria and row.track == "blind", blind, COLOURS[2], 5),
        ("trivial control", lambda row: row.criterion in SIMPLE, blind, COLOURS[6], 2),
    )
    found = [(name, [row for row in rows if wanted(row)][:n], ceiling, colour) for name, wanted, ceiling, colour, n in sorts]
    return [group for group in found if group[1]]
