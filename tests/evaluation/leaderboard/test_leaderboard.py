"""The pages: complete, self-contained, escaped, the same each time."""

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import safer_bench as sb
from safer_bench.dataset.budgets import read_budgets
from safer_bench.dataset.contents import network_revisions
from safer_bench.dataset.submissions.gather import gather, submission_folders
from safer_bench.dataset.tree import load_tree
from safer_bench.errors import BadInput
from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.leaderboard.page import script_json
from safer_bench.evaluation.leaderboard.write import plain, write_leaderboard
from safer_bench.links import LINKS
from tests.conftest import COMMITTED, ROOT
from tests.made_up.boards import HOSTILE, budget_of, everything
from tests.made_up.truth import made_up_scores, made_up_truth

FILES = ("results.parquet", "leaderboard.html", "leaderboard.md", "leaderboard.csv")


@pytest.fixture(scope="module")
def small_page(small_tree, tmp_path_factory):
    results = sb.evaluate(small_tree, small_tree["scores"])
    return write_leaderboard(tmp_path_factory.mktemp("small") / "board", results, small_tree)


@pytest.fixture(scope="module")
def full_page(tmp_path_factory):
    truth, results, extras = everything()
    return write_leaderboard(tmp_path_factory.mktemp("full") / "board", results, truth, **extras)


def embedded(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def test_all_files_are_written(small_page):
    assert sorted(path.name for path in small_page.parent.iterdir()) == sorted(FILES)
    assert pq.read_table(small_page.parent / "results.parquet").num_rows > 0


def test_the_spreadsheet_lists_the_boards_by_every_metric(full_page):
    truth, results, _ = everything()
    rows = pyarrow.csv.read_csv(full_page.parent / "leaderboard.csv").to_pylist()
    for metric in ("spearman", "partial_spearman"):
        for board in boards(results, truth, metric, reported=["Bad"]):
            title = f"{board.dataset}, {board.split}{'' if board.headline else ' (networks of fewer than ten layers)'}"
            listed = {row["criterion"]: row for row in rows if (row["board"], row["metric"]) == (title, metric)}
            assert len(listed) == len({row.criterion for row in board.rows})
            for row in board.rows:
                found = listed[row.criterion]
                assert (found["value"] is None) == (row.value is None)
                assert row.value is None or found["value"] == round(row.value, 9)
                assert (found["low"], found["high"]) == (row.interval or (None, None))
                ceiling = board.ceilings[row.track].value
                assert found["ceiling"] == (None if ceiling is None else round(ceiling, 9))
                assert (found["best_rank"], found["worst_rank"]) == (row.ranks or (None, None))
                assert found["undefined_cells"] == row.n_undefined
                assert (found["ceiling_note"] or "") == board.ceiling_note(row.track)


def test_a_ceiling_of_a_part_of_the_cells_says_so_everywhere(full_page):
    assert "| *ceiling* (over 6 of 9 cells) | level_aware | 0.90 |" in (full_page.parent / "leaderboard.md").read_text()
    shown = '<th scope="row">ceiling (over 6 of 9 cells)</th><td class="text">level_aware</td><td>0.90</td>'
    assert shown in full_page.read_text()
    rows = pyarrow.csv.read_csv(full_page.parent / "leaderboard.csv").to_pylist()
    of_spearman = [row for row in rows if row["metric"] == "spearman"]
    notes = {(row["board"], row["ceiling"], row["ceiling_note"]) for row in of_spearman if row["track"] != "blind"}
    assert notes == {("made, test", 0.9, ""), ("other, test", 0.9, "over 6 of 9 cells")}
    assert all(row["ceiling"] <= 0.9 for row in of_spearman if row["track"] == "blind")


@pytest.fixture(scope="module")
def made_again(tmp_path_factory):
    """The board of the committed truth, as `make board` makes it."""
    out, tree = tmp_path_factory.mktemp("again"), load_tree(COMMITTED)
    found = gather(tree, submission_folders(ROOT / "submissions"))
    results = sb.evaluate(tree, found.scores)
    budget = read_budgets(ROOT / "docs" / "budgets", network_revisions(tree["layer_drops"]))
    write_leaderboard(out, results, tree, scores=found.scores, costs=found.costs, marks=found.marks, budget=budget)
    return out


@pytest.mark.long
def test_the_committed_board_is_made_again_to_the_same_bytes(made_again):
    """The packages are those of constraints.txt. By default it runs as the oldest processor would."""
    for name in FILES[1:]:
        assert (made_again / name).read_bytes() == (ROOT / "docs" / "board" / name).read_bytes(), f"{name}: make board"


@pytest.mark.long
def test_every_interval_lies_within_the_limits_of_its_mean(made_again):
    """Of 113,004 intervals 1,824 were infinite once, and 13,000 left their metric's range."""
    columns = ["network", "perturbation", "criterion", "value", "low", "high", "lowest", "highest"]
    rows = pq.read_table(made_again / "results.parquet", columns=columns)
    means = rows.filter(pc.field("network").is_null())
    value, low, high, lowest, highest = (means[name].to_numpy() for name in columns[3:])
    known = ~np.isnan(low)
    assert len(low) > 100_000
    assert known.mean() > 0.95
    assert np.array_equal(known, ~np.isnan(high))
    assert np.all(lowest[known] <= low[known])
    assert np.all(low[known] <= value[known] + 5e-7)  # ends are rounded to six digits
    assert np.all(value[known] <= high[known] + 5e-7)
    assert np.all(high[known] <= highest[known])
    constant = known & (means["criterion"].to_numpy(zero_copy_only=False) == "constant")
    assert constant.sum() > 1000
    assert not np.any(low[constant] != 0.0)
    assert not np.any(high[constant] != 0.0)


def test_the_page_holds_every_criterion_network_and_layer(small_page, small_tree):
    page = small_page.read_text()
    for table, column in (("scores", "criterion"), ("networks", "network"), ("layers", "layer")):
        for name in small_tree[table].column(column).unique().to_pylist():
            assert name in page
    assert small_tree.revision in page
    assert "so the order of the rows is no ranking of criteria" in page


def test_the_page_names_no_address_but_the_files_beside_it_and_the_projects_own(full_page):
    found = re.findall(r"""(?:src|href|action)\s*=\s*["']([^"'#]+)|url\(([^)]*)|(@import)""", full_page.read_text())
    beside = ["data:,", "leaderboard.csv", "leaderboard.md"]
    assert sorted({"".join(each) for each in found}) == sorted([*beside, *LINKS.values()])
    assert "default-src 'none'" in full_page.read_text()


@pytest.mark.parametrize("which", ["small_page", "full_page"])
def test_the_page_is_well_formed(which, request):
    open_tags = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "link", "br", "wbr", "input"}:
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(request.getfixturevalue(which).read_text())
    assert open_tags == []


def test_markdown_and_page_agree(small_page):
    markdown, page = (small_page.parent / "leaderboard.md").read_text(), small_page.read_text()
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (-?[\d.]+\*?) \|", markdown, re.MULTILINE)
    assert (
        len(rows) == 10 + 8 + 5
    )  # two boards of five criteria and four controls, replicates, and size_depth where it could learn
    for name, track, value in rows:
        assert f'<th scope="row">{name}</th><td class="text">{track}</td><td>{value}</td>' in page


def test_a_strangers_name_ends_no_script_and_opens_no_tag(full_page):
    """In the data every <, > and & is escaped; the one element of data and the two scripts are all there are."""
    page = full_page.read_text()
    assert HOSTILE not in page
    assert len(re.findall(r"<script", page)) == 3
    assert page.count("</script>") == 3
    assert "<!--" not in page
    assert "&lt;/script&gt;&lt;!--&lt;script&gt;alert(1)&lt;/script&gt;|`x`" in page
    assert HOSTILE in embedded(page)["criteria"]


def test_a_strangers_name_breaks_no_markdown_table(full_page):
    markdown = (full_page.parent / "leaderboard.md").read_text()
    assert HOSTILE not in markdown
    assert f"| {plain(HOSTILE)} | blind |" in markdown
    assert plain("a\n| b") == r"a \| b"


HOSTILE_TEXTS = ("=1+1", "-2", "@sum(a)", "a|b", "*c* _d_", 'e f,"g"', "https://h.example", "[i](j)", "-0.3")


@pytest.fixture(scope="module")
def hostile_board(tmp_path_factory):
    """A board whose criteria have names that are something in Markdown or in a spreadsheet."""
    truth = made_up_truth(2)
    scores = {name: made_up_scores(truth, 0.2 + i, i) for i, name in enumerate(HOSTILE_TEXTS)}
    return write_leaderboard(tmp_path_factory.mktemp("hostile"), sb.evaluate(truth, scores), truth).parent


def test_no_name_is_a_formula_in_a_spreadsheet_and_every_name_comes_back(hostile_board):
    with open(hostile_board / "leaderboard.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = {row["criterion"] for row in rows}
    assert {"'=1+1", "'-2", "'@sum(a)", "'-0.3", "a|b", 'e f,"g"'} <= names
    assert not [name for name in names if name[0] in "=+-@"]
    assert {name.removeprefix("'") for name in names} > set(HOSTILE_TEXTS)
    frame = pandas.read_csv(hostile_board / "leaderboard.csv")
    assert set(frame["criterion"]) == names
    assert any(value.startswith("-") for row in rows for value in (row["value"],))  # a negative number stays one
    assert (frame["value"] < 0).any()


def test_markdown_tables_keep_their_columns_whatever_a_name_is(hostile_board):
    lines = (hostile_board / "leaderboard.md").read_text().splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in tables}) == 1
    for shown in (r"a\|b", r"\*c\* \_d\_", 'e f,"g"', r"https\://h.example", r"\[i\](j)"):
        assert any(line.startswith(f"| {shown} | blind |") for line in tables), shown


def test_reported_scores_stand_apart_in_every_file(full_page):
    """They take no rank from anyone, have none, and nobody is compared with them."""
    folder = full_page.parent
    rows = [row for row in pyarrow.csv.read_csv(folder / "leaderboard.csv").to_pylist() if row["metric"] == "spearman"]
    of_board = [row for row in rows if row["board"] == "made, test"]
    assert (of_board[-1]["criterion"], of_board[-1]["scores"], of_board[-1]["best_rank"]) == ("Bad", "reported", None)
    assert of_board[-1]["value"] is not None
    sections = (folder / "leaderboard.md").read_text().split("\n## ")
    markdown = next(section for section in sections if section.startswith("made, test"))
    ranked, _, reported = markdown.partition("Reported by their authors: not computed again from code, and not ranked.")
    assert ("| Bad |" in ranked, "| Bad |" in reported, "| good |" in reported) == (False, True, False)
    assert "Bad minus" not in markdown
    static = full_page.read_text().partition('<tbody class="reported">')[2].partition("</tbody>")[0]
    assert re.findall(r'<th scope="row">(\w+)', static) == ["Bad"]


def test_the_headline_board_is_first_on_the_page_and_the_files_keep_their_order(small_page):
    html, markdown = small_page.read_text(), (small_page.parent / "leaderboard.md").read_text()
    shown = re.findall(r"<h3>(.*?)</h3>", html.partition('<div id="static">')[2])
    assert shown == [board["title"] for board in embedded(html)["boards"]]
    assert sorted(shown) == sorted(re.findall(r"^## (.*)$", markdown, re.MULTILINE))
    assert ", test" in shown[0]
    assert "(networks of fewer than ten layers)" not in shown[0]


def test_script_json_is_json_without_signs_of_markup():
    assert json.loads(script_json([HOSTILE, "&amp;", 1.5, None])) == [HOSTILE, "&amp;", 1.5, None]
    assert not re.search(r"[<>&]", script_json([HOSTILE, "&amp;"]))


def test_the_same_results_give_the_same_bytes(full_page, tmp_path):
    truth, results, extras = everything()
    write_leaderboard(tmp_path, results, truth, **extras)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (full_page.parent / name).read_bytes(), name


def test_intervals_ranks_and_differences_are_shown_where_families_allow(tmp_path):
    truth = made_up_truth(7)
    entries = {"good": made_up_scores(truth, 0.2, 0), "bad": made_up_scores(truth, 9.0, 1)}
    entries["parameters"] = {(row["network"], row["layer"]): row["parameters"] for row in truth["layers"].to_pylist()}
    results = sb.evaluate(truth, entries)
    page = write_leaderboard(tmp_path, results, truth).read_text()
    row = next(row for row in boards(results, truth)[0].rows if row.criterion == "good")
    interval = f"{row.interval[0]:.2f} to {row.interval[1]:.2f}"
    assert f"<td>{interval}</td><td>1 to 1</td>" in page
    assert f"| good | blind | {row.value:.2f} | {interval} | 1 to 1 |" in (tmp_path / "leaderboard.md").read_text()
    assert [each[0][0] for each in embedded(page)["boards"][0]["against"] if each] == ["parameters"] * 2
    assert "good minus parameters: " in (tmp_path / "leaderboard.md").read_text()


def test_what_is_not_recomputed_is_marked_and_an_unknown_mark_is_refused(full_page, tmp_path):
    truth, results, _ = everything()
    assert '<th scope="row">Bad <span class="mark">reported</span></th>' in full_page.read_text()
    assert '<th scope="row">good</th>' in full_page.read_text()
    with pytest.raises(BadInput) as error:
        write_leaderboard(tmp_path, results, truth, marks={"good": "verified"})
    assert str(error.value) == "marks: 'good' is marked 'verified'; expected one of recomputed, reported"


def test_a_budget_table_without_a_column_is_refused(tmp_path):
    truth, results, _ = everything()
    with pytest.raises(BadInput) as error:
        write_leaderboard(tmp_path, results, truth, budget=budget_of(truth).drop_columns(["low"]))
    assert str(error.value) == (
        "budget: column 'low' is missing; expected criterion, track, network, dataset, split, task, perturbation, budget, level, "
        "spent, accuracy, low, high, n_examples, gain, gain_low, gain_high, verdict, regret, regret_low, regret_high, truth_guided_share"
    )


def test_sections_without_data_are_left_out(tmp_path):
    truth = made_up_truth(2)
    page = write_leaderboard(tmp_path, sb.evaluate(truth, {"good": made_up_scores(truth, 0.2, 0)}), truth).read_text()
    assert 'id="predicted"' not in page
    assert 'id="budget"' not in page
    assert 'id="truth"' in page
