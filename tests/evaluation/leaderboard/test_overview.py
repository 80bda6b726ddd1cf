"""The table that the page opens with: the best of each sort in each use case, and what can be told of them."""

from dataclasses import replace

import pytest

from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.evaluation.leaderboard.overview import MEAN, overviews
from safer_bench.evaluation.leaderboard.page import Extras, make_page
from safer_bench.evaluation.leaderboard.write import render_html, render_markdown
from tests.evaluation.test_boards import two_splits, with_learned
from tests.made_up.truth import made_up_scores, made_up_truth


@pytest.fixture(scope="module")
def judged():
    truth, results = two_splits(7)
    return truth, results, overviews({case: boards(results, truth, use_case=case) for case in (None, "noise", "rot")})


def test_each_use_case_names_the_best_of_its_board(judged):
    truth, results, (test, validation) = judged
    assert [(each.board.split, [line.name for line in each.lines]) for each in (test, validation)] == [
        ("test", ["noise", "rot", MEAN]),
        ("validation", ["noise", "rot", MEAN]),
    ]
    for line in test.lines:
        [board] = [b for b in boards(results, truth, use_case=None if line.name == MEAN else line.name) if b.split == "test"]
        rows = {row.criterion: row for row in board.rows}
        assert line.blind == max((rows[name] for name in "abc"), key=lambda row: row.value)
        assert line.trivial.value == max(
            rows[name].value for name in ("parameters", "depth", "macs", "first_last", "size_depth")
        )
        assert (line.aware, line.measuring) == (None, None)
        assert line.ceilings == (board.ceilings["blind"].value, board.ceilings["level_aware"].value)


def test_the_sentence_counts_use_cases_in_which_the_corrected_interval_leaves_out_equality(judged):
    overview = judged[2][0]
    sure, unsure = (replace(line, certain=certain) for line, certain in zip(overview.lines, (True, False), strict=False))
    better = "surely better than the trivial control that validation networks chose."
    told = lambda *lines: replace(overview, lines=(*lines, overview.lines[-1])).told  # noqa: E731
    assert told(sure, unsure) == (f"In 1 of 2 use cases (noise) a blind criterion is {better} In the others none is.")
    assert told(sure, sure) == f"In 2 of 2 use cases (noise, noise) a blind criterion is {better}"
    assert told(unsure, unsure) == f"In no use case is a blind criterion {better}"
    assert told(unsure, replace(sure, control=None)) == f"In no use case is a blind criterion {better}"
    assert told(replace(sure, control=None)) == "No blind criterion is compared with a trivial control."
    noise = next(board for board in boards(judged[1], judged[0], use_case="noise") if board.split == "test")
    ends = [
        each.interval[0] for row in noise.rows if row.criterion in "abc" for name, each in row.against.items() if name != "a"
    ]
    assert overview.lines[0].certain == any(end > 0 for end in ends)
    assert overview.lines[0].control == next(name for row in noise.rows if row.criterion == "a" for name in row.against)


def test_a_learned_criterion_has_a_sentence_on_test_networks_and_is_not_the_best_where_it_learnt(judged):
    truth, results = with_learned()
    test, validation = overviews({case: boards(results, truth, use_case=case) for case in (None, "noise", "rot")})
    learned = next(row for row in test.board.rows if row.criterion == "learned_blend")
    difference = learned.against["a"]
    low, high = difference.interval
    assert test.learnt == (
        f"learned_blend, learnt on validation networks, reaches {learned.value:.2f} in the mean over use cases. One "
        f"ranking for all perturbations could reach {test.board.ceilings['blind'].value:.2f}. The best other blind criterion on "
        f"validation networks is a: the difference from it is {difference.value:.2f} "
        f"({low:.2f} to {high:.2f}, 95 %, corrected)."
    )
    page = make_page(results, truth, Extras())
    assert f"{test.told} {test.learnt}" in render_html(page)
    assert f"{test.told} {test.learnt}\n" in render_markdown(page)
    assert (validation.learnt, validation.board.rows[0].criterion) == ("", "learned_blend")
    assert [line.blind.criterion for line in validation.lines] == ["a"] * 3
    assert [each.learnt for each in judged[2]] == ["", ""]


def test_means_by_kind_are_of_the_families_of_each(judged):
    overview = judged[2][0]
    families = overview.lines[-1].blind.by_family
    first, second, *others = families
    kinds = {first: "residual", second: "attention", **dict.fromkeys(others, "residual")}
    sorted_out = replace(overview, board=replace(overview.board, kinds=kinds))
    assert sorted_out.kinds == {"residual": len(families) - 1, "attention": 1}
    row, (residual, attention) = sorted_out.by_kind[0]
    assert row == overview.lines[-1].blind
    assert attention == families[second]
    assert residual == pytest.approx((sum(families.values()) - attention) / (len(families) - 1))
    assert [each.criterion for each, _ in sorted_out.by_kind] == [row.criterion, overview.lines[-1].trivial.criterion]


def test_the_page_and_the_markdown_open_with_it(judged):
    page = make_page(judged[1], judged[0], Extras())
    html, markdown = render_html(page), render_markdown(page)
    assert page.overviews[0].told in html
    assert html.index("Use cases</h2>") < html.index("Leaderboard</h2>")
    blind = page.overviews[0].lines[0].blind
    low, high = blind.interval
    assert f"{blind.criterion} {blind.value:.2f} ({low:.2f} to {high:.2f})" in markdown
    assert "by kind of network" not in html + markdown  # the made-up networks are of no kind
    board = page.overviews[0].board
    two = {name: "attention" if i else "recurrent" for i, name in enumerate(sorted(board.kinds))}
    of_two = replace(page, overviews=[replace(page.overviews[0], board=replace(board, kinds=two))])
    assert f"| attention ({len(two) - 1} families) | recurrent (1 family) |" in render_markdown(of_two)
    assert f"{len(two) - 1} families</span>" in render_html(of_two)


def test_of_few_families_there_is_none():
    truth = made_up_truth(3)
    results = evaluate(truth, {"a": made_up_scores(truth, 1.0, 0)})
    page = make_page(results, truth, Extras())
    assert page.overviews == []
    assert "Use cases</h2>" not in render_html(page)
