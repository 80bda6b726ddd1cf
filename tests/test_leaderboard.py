"""The pages: complete, self-contained, escaped."""

import re
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest

import safer_bench as sb
from safer_bench import schema
from safer_bench.board import boards
from safer_bench.leaderboard import FILES, render_html, write_leaderboard
from tests.synthetic import made_up_scores, made_up_truth

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def page(small_tree, tmp_path):
    results = sb.evaluate(small_tree, small_tree["scores"])
    return write_leaderboard(tmp_path, results, small_tree).read_text()


def test_all_files_are_written(page, tmp_path, small_tree):
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    assert pq.read_table(tmp_path / "results.parquet").num_rows > 0


def test_the_page_holds_every_criterion_network_and_layer(page, small_tree):
    for table, column in (("scores", "criterion"), ("networks", "network"), ("layers", "layer")):
        for name in small_tree[table].column(column).unique().to_pylist():
            assert name in page
    assert small_tree.revision in page
    assert "so the order of the rows is no ranking of criteria" in page


def test_the_page_loads_nothing_from_anywhere(page):
    assert re.findall(r"""(?:src|href|action)\s*=\s*(?!["']?data:)\S+|url\(|@import|<script""", page) == []


def test_the_page_is_well_formed(page):
    open_tags = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "link", "br"}:
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(page)
    assert open_tags == []


def test_markdown_and_page_agree(page, tmp_path):
    markdown = (tmp_path / "leaderboard.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (-?[\d.]+\*?) \|", markdown, re.MULTILINE)
    assert len(rows) == 10 + 5  # two boards of five criteria, replicates, and size_depth where it could learn
    for name, _, value in rows:
        assert name in page
        assert value in page


def test_names_are_escaped(small_tree):
    layers = [row["layer"] for row in small_tree["layers"].to_pylist() if row["network"] == "digits_mlp"]
    results = sb.evaluate(small_tree, {HOSTILE: {("digits_mlp", layer): i for i, layer in enumerate(layers)}})
    page = render_html({metric: boards(results, small_tree, metric) for metric in schema.METRICS}, small_tree)
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


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
    assert page.count('<td class="text">parameters</td>') == 2
    assert "good minus parameters: " in (tmp_path / "leaderboard.md").read_text()
