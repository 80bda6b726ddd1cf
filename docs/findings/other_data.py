"""Whether the criteria that rank layers best on some networks do so on others and on other data."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from docs.findings.chosen import best, candidates, is_aware, is_blind
from docs.findings.data import HEADLINE, Data
from docs.findings.drawing import COLOURS, encoded, new_figure, readable
from docs.findings.families import over_families, told_of
from docs.findings.finding import Figure, Finding, Table, Value
from safer_bench.evaluation.board import Board
from safer_bench.metrics import spearman

TITLE = "Do the same criteria win on other data?"
QUESTION = "Are criteria that rank the layers of Fashion-MNIST's test networks well those that do so elsewhere?"
TRACKS = {"blind": is_blind, "aware": is_aware}
VALIDATION = (HEADLINE[0], "validation")
FEWEST, PANELS = 5, 3  # criteria that a correlation is told of; panels in a row
BEST = 20  # criteria, of more: a correlation of all comes mostly from those that rank nothing anywhere


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Other networks than the headline's.

    Attributes:
        where: dataset and split in words, with how many networks.
        board: over all use cases.
        alike: by track, the correlation of what its criteria reach there with what they reach on the headline's networks.
        alike_of_best: the same of those that are best on the headline's networks.
        reached: what the blind criterion reaches there that is best on the headline's validation networks.
        place: its place among blind criteria there, 1 for the best, and how many there are.
        behind: what the best of them reaches more, as it turned out there.
        chosen_here: whether these are the networks that it was chosen on.
    """

    where: str
    board: Board
    alike: Mapping[str, Value]
    alike_of_best: Mapping[str, Value]
    reached: Value
    place: tuple[int, int]
    behind: Value
    chosen_here: bool


def find(data: Data) -> Finding | None:
    """Return the finding; None without a criterion chosen on validation networks."""
    headline = data.board()
    criterion = best(data.board(None, *VALIDATION), is_blind, headline) if headline else None
    if headline is None or criterion is None:
        return None
    keys = sorted({(truth.dataset, truth.split) for truth in data.networks.values()} - {HEADLINE})
    found = [each for key in keys if (each := _elsewhere(data, key, headline, criterion))]
    values: dict[str, Value] = {}
    for each in found:
        values |= {f"{each.where}/{track} criteria rank alike": value for track, value in each.alike.items()}
        values |= {
            f"{each.where}/the best {track} criteria rank alike": value for track, value in each.alike_of_best.items()
        }
        values |= {f"{each.where}/{criterion}": each.reached, f"{each.where}/best - {criterion}": each.behind}
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=[_sentence(each, criterion) for each in found],
        tables=[_table(found, criterion)],
        figure=Figure(
            "What every criterion reaches on other networks against what it reaches on Fashion-MNIST's test networks, mean "
            "over use cases. On the line it reaches the same.",
            lambda: _draw(headline, found),
        ),
        values=values,
    )


def _elsewhere(data: Data, key: tuple[str, str], headline: Board, criterion: str) -> Elsewhere | None:
    board = data.board(None, *key)
    rows = candidates(board, is_blind) if board else []
    place = next((i for i, row in enumerate(rows) if row.criterion == criterion), None)
    if board is None or place is None:
        return None
    alike = {track: value for track in TRACKS if (value := _alike(headline, board, track)) is not None}
    of_best = {track: value for track in TRACKS if (value := _alike(headline, board, track, BEST)) is not None}
    own, first = rows[place].by_network, rows[0].by_network
    return Elsewhere(
        f"{readable(key[0])}, {key[1]}: {told_of(board.families, data.facts)}",
        board,
        alike,
        of_best,
        over_families(own, data.facts, ends=(-1.0, 1.0)),
        (place + 1, len(rows)),
        over_families({network: first[network] - own[network] for network in own}, data.facts, difference=True),
        key == VALIDATION,
    )


def _alike(headline: Board, other: Board, track: str, n_best: int | None = None) -> Value | None:
    """Return the correlation of what criteria reach on both, all or so many best ones; None where there are no more."""
    here, there = (
        {row.criterion: row.value or 0.0 for row in candidates(each, TRACKS[track])} for each in (headline, other)
    )
    both = sorted(set(here) & set(there), key=lambda name: (-here[name], name))
    if len(both) < FEWEST or (n_best is not None and len(both) <= n_best):
        return None
    both = both[:n_best]
    alike = float(spearman(truth=np.array([here[name] for name in both]), scores=np.array([there[name] for name in both])))
    reason = f"of the {n_best} best on the latter" if n_best else f"of {len(both)} criteria"
    return Value(alike, reason=reason) if np.isfinite(alike) else None


def _sentence(each: Elsewhere, criterion: str) -> str:
    alike = {
        track: " and ".join(str(of[track]) for of in (each.alike, each.alike_of_best) if track in of) for track in each.alike
    }
    told = [f"The order of {track} criteria correlates with that of the population: {of}." for track, of in alike.items()]
    if not each.chosen_here:
        place, n = each.place
        told.append(
            f"The chosen blind criterion, `{criterion}`, is number {place} of {n} blind ones"
            + (f", {each.behind} behind the one that turned out best." if place > 1 else ".")
        )
    return f"**{each.where}.** {' '.join(told)}"


def _table(found: list[Elsewhere], criterion: str) -> Table:
    rows: list[list[str | Value]] = [
        [
            each.where,
            *(each.alike.get(track, "-") for track in TRACKS),
            each.alike_of_best.get("blind", "-"),
            each.reached,
            f"{each.place[0]} of {each.place[1]}" + (", chosen there" if each.chosen_here else ""),
            each.behind,
        ]
        for each in found
    ]
    names = [
        *(f"{track} criteria rank alike" for track in TRACKS),
        f"{BEST} best blind ones",
        f"`{criterion}`",
        "place",
        "behind the best",
    ]
    caption = (
        "Criteria on other networks beside the population, Spearman's correlation, mean over use cases. Where "
        f"`{criterion}` was chosen, its place follows from that"
    )
    return Table(caption, ["networks", *names], rows)


def _draw(headline: Board, found: list[Elsewhere]) -> bytes:
    n_rows = -(-len(found) // PANELS)
    figure, axes = new_figure(0.4 + 2.6 * n_rows, n_rows, PANELS)
    for axis in axes[len(found) :]:
        axis.remove()
    for axis, each in zip(axes, found, strict=False):
        for colour, (track, wanted) in zip((COLOURS[6], COLOURS[1]), TRACKS.items(), strict=True):
            here, there = ({row.criterion: row.value for row in candidates(of, wanted)} for of in (headline, each.board))
            both = sorted(set(here) & set(there))
            axis.scatter([here[name] for name in both], [there[name] for name in both], s=10, color=colour, label=track)
        axis.axline((0.0, 0.0), slope=1.0, color="black", lw=0.6)
        axis.set_title(each.where.partition(":")[0], fontsize=9)
        axis.set_xlabel("fashion mnist, test", fontsize=8)
    axes[0].set_ylabel("there", fontsize=8)
    axes[0].legend(fontsize=8, frameon=False)
    return encoded(figure)
