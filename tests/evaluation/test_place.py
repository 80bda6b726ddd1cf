"""Where a criterion stands on a board."""

from dataclasses import replace

import pytest

from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.evaluation.place import TOP, excerpt, places
from safer_bench.tables.controls import CONTROLS, REPLICATES
from tests.made_up.truth import made_up_scores, made_up_truth

NAMES = [f"c{i}" for i in range(TOP + 3)]


@pytest.fixture(scope="module")
def board():
    """A board of eight criteria of falling quality beside the controls, with intervals."""
    truth = made_up_truth(7)
    entries = {name: made_up_scores(truth, 0.2 + 0.5 * i, i) for i, name in enumerate(NAMES)}
    entries["part"] = {key: value for key, value in entries[NAMES[0]].items() if key[0] == "test0a"}
    return boards(evaluate(truth, entries), truth)[0]


def test_a_place_has_the_numbers_of_the_row_and_its_neighbours(board):
    blind = [row for row in board.rows if row.track == "blind" and row.value is not None]
    assert len(blind) > len(NAMES)
    found = places([board], [row.criterion for row in blind])
    for i, (place, row) in enumerate(zip(found, blind, strict=True)):
        assert (place.criterion, place.value, place.interval, place.ranks, place.against) == (
            row.criterion,
            row.value,
            row.interval,
            row.ranks,
            row.against,
        )
        assert place.n_ranked == len(blind)
        assert place.above == ((blind[i - 1].criterion, blind[i - 1].value) if i else None)
        assert place.below == ((blind[i + 1].criterion, blind[i + 1].value) if i + 1 < len(blind) else None)
    assert found[0].against, "the declared comparisons are of criteria with intervals"


def test_controls_of_every_track_are_passed_by_a_higher_mean_alone(board):
    controls = {row.criterion: row.value for row in board.rows if row.criterion in CONTROLS}
    for place in places([board], [NAMES[0], NAMES[-1], "depth"]):
        others = {name: value for name, value in controls.items() if name != place.criterion}
        assert set(place.passed) == {name for name, value in others.items() if value < place.value}
        assert set(place.not_passed) == others.keys() - set(place.passed)
    assert {"replicate", "reversed_replicate"} == set(REPLICATES) & {*place.passed, *place.not_passed}


def test_what_scores_only_a_part_has_no_place_but_is_told(board):
    (place,) = places([board], ["part"])
    assert (place.value, place.above, place.below, place.passed) == (None, None, None, ())
    assert 0 < place.n_cells < place.n_all_cells
    assert set(place.not_passed) == {row.criterion for row in board.rows if row.criterion in CONTROLS}


def test_boards_with_intervals_come_first_and_what_is_on_none_has_no_place(board):
    without = replace(board, families=dict(list(board.families.items())[:1]))
    found = places([without, board], ["c1", "absent", "c0"])
    assert [(place.criterion, place.networks) for place in found] == [("c1", 10), ("c1", 1), ("c0", 10), ("c0", 1)]


def test_an_excerpt_has_the_controls_the_highest_of_each_track_and_ones_own(board):
    shown = [row.criterion for row in excerpt(board)]
    ranked = [row.criterion for row in board.rows if row.criterion in NAMES]
    assert set(shown) == {*ranked[:TOP], *(row.criterion for row in board.rows if row.criterion in CONTROLS)}
    assert [row.criterion for row in board.rows if row.criterion in shown] == shown, "in the board's order"
    assert set(shown) ^ {row.criterion for row in excerpt(board, {"part", ranked[-1]})} == {"part", ranked[-1]}
