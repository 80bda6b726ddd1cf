"""What is told of a truth that stays secret: means of three networks or more, to two digits."""

import csv
from dataclasses import replace

from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.evaluation.held_out_means import Aggregate, aggregates, csv_text
from tests.made_up.truth import made_up_scores, made_up_truth


def board_of(n_families, scores=None):
    truth = made_up_truth(n_families)
    entries = {"good": made_up_scores(truth, 0.2, 0), "poor": made_up_scores(truth, 2.0, 1)} if scores is None else scores
    return boards(evaluate(truth, entries), truth)[0]


def test_means_are_the_boards_in_two_digits_with_intervals_where_it_has_them():
    board = board_of(7)
    found = {row.criterion: row for row in aggregates([board], {"good": "mine"})}
    assert len(found) == len([row for row in board.rows if row.value is not None])
    for row in board.rows:
        told = found[row.criterion]
        assert (told.mean, told.low, told.high) == (round(row.value, 2), *(round(end, 2) for end in row.interval or ()))
        assert (told.networks, told.families) == (10, 7)
    assert (found["good"].submission, found["poor"].submission, found["depth"].submission) == ("mine", "", "")
    assert found["good"].low < found["good"].mean < found["good"].high


def test_a_board_of_two_networks_tells_nothing_and_one_of_three_does():
    (three, alone) = (board_of(2), board_of(1))
    assert (len(three.families), len(alone.families)) == (3, 1)
    pair = replace(three, families=dict(list(three.families.items())[:2]))
    assert aggregates([alone, pair], {}) == []
    rows = aggregates([alone, three], {})
    assert {row.networks for row in rows} == {3}
    assert {(row.low, row.high) for row in rows} == {(None, None)}


def test_the_order_of_rows_tells_no_more_than_their_means():
    board = board_of(3)
    values = board.standings.values.copy()
    values[:] = [0.301 + 0.0001 * i for i in range(len(values))]
    rows = aggregates([replace(board, standings=replace(board.standings, values=values))], {})
    assert {row.mean for row in rows} == {0.3}
    blind = [row.criterion for row in rows if row.track == "blind"]
    assert blind == sorted(blind)


def test_what_did_not_score_all_of_a_board_is_left_out():
    truth = made_up_truth(3)
    part = {key: value for key, value in made_up_scores(truth, 0.2, 0).items() if key[0] != "test0a"}
    rows = aggregates(boards(evaluate(truth, {"part": part}), truth), {})
    assert rows
    assert "part" not in {row.criterion for row in rows}


def test_csv_has_a_line_a_row_and_names_the_truth():
    row = Aggregate("own", "test", "10 or more", "good", "blind", "mine", 0.5, None, None, 3, 3)
    (read,) = csv.DictReader(csv_text([row], "abc").splitlines())
    assert (read["criterion"], read["mean"], read["low"], read["truth_revision"]) == ("good", "0.5", "", "abc")
