"""The page in a real browser: what people see, press and read."""

import csv
import re
from pathlib import Path

import pytest

from safer_bench.evaluation.boards import boards
from tests.made_up.boards import HOSTILE, everything

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}


def names(page, kind=""):
    """Return the criteria shown in a group of the table, in order."""
    body = f"tbody.{kind}" if kind else "tbody[class='']"
    return page.locator(f"#board {body} .name").all_inner_texts()


def column(page, place, kind=""):
    body = f"tbody.{kind}" if kind else "tbody[class='']"
    return page.locator(f"#board {body} tr:not(.detail, .group) > :nth-child({place})").all_inner_texts()


def direction(page, key):
    return page.locator(f"th:has([data-sort='{key}'])").get_attribute("aria-sort")


def choose(page, name, label):
    page.select_option(f"#choose-{name}", label=label)


def test_the_first_board_is_the_one_that_python_computed(visit):
    page = visit()
    truth, results, _ = everything()
    board = next(board for board in boards(results, truth) if board.dataset == "made")
    rows = {row.criterion: row for row in board.rows}
    good = page.locator("#board tr", has=page.get_by_role("button", name="good", exact=True)).first
    texts = good.locator("> *").all_inner_texts()
    ends = " to ".join(f"{end:.2f}".replace("-", "\u2212") for end in rows["good"].interval)
    ranks = " to ".join(str(rank) for rank in dict.fromkeys(rows["good"].ranks))
    assert texts[1] == f"{rows['good'].value:.2f}".replace("-", "\u2212")
    assert texts[3:5] == [ends, ranks]
    assert page.locator("#note").inner_text() == board.note
    assert page.locator("#count").inner_text() == f"{len(board.rows)} of {len(board.rows)} criteria shown"


def test_controls_and_what_is_not_ranked_stand_apart(visit):
    page = visit()
    assert set(names(page)) == {"good", HOSTILE, "aware"}
    assert {"parameters", "constant", "replicate"} <= set(names(page, "controls"))
    assert not {"good", "aware"} & set(names(page, "controls"))
    assert names(page, "unranked") == ["part"]
    assert column(page, 2, "unranked") == ["not ranked"]
    assert names(page, "reported") == ["Bad"]
    assert column(page, 4, "reported") == ["\u2013"]  # no interval, and no ranks
    assert column(page, 5, "reported") == ["\u2013"]
    assert page.locator("#board tbody").last.get_attribute("class") == "reported"
    assert page.locator("#board tr", has_text="constant").first.locator("td").first.inner_text() == "0.00*"


def test_every_column_sorts_both_ways_and_says_so(visit):
    page = visit()
    means = column(page, 2)
    assert means == sorted(means, key=lambda text: -float(text.replace("\u2212", "-")))
    for key in page.locator("#board [data-sort]").evaluate_all("all => all.map((each) => each.dataset.sort)"):
        page.click(f"[data-sort='{key}']")
        first, order = direction(page, key), names(page)
        page.click(f"[data-sort='{key}']")
        assert {first, direction(page, key)} == {"ascending", "descending"}, key
        if key == "interval":  # "aware" is perfect in every family, which supports none: last, either way
            assert (order[-1], names(page)[-1]) == ("aware", "aware")
            assert names(page)[:-1] == order[-2::-1]
        elif key not in ("track", "ranks"):  # with ties, which stay in the order of the board
            assert names(page) == order[::-1], key
        assert page.locator("th[aria-sort='ascending'], th[aria-sort='descending']").count() == 1
    page.click("[data-sort='name']")
    assert names(page) == sorted(names(page), key=str.lower)
    page.click("[data-sort='ranks']")
    best = [int(text.split()[0]) for text in column(page, 5)]
    assert best == sorted(best)


def test_rows_without_a_value_are_last_whichever_way_the_others_are(visit):
    page = visit()
    for way in ("ascending", "descending"):
        page.click("[data-sort='cost']")
        assert direction(page, "cost") == way
        assert set(names(page, "controls")[-2:]) == {"replicate", "reversed_replicate"}


def test_the_table_is_sorted_by_keyboard_alone(visit):
    """Tab reaches the skip link first; Enter on a heading sorts, and the focus stays on it, visibly."""
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.sort") == "name":
            break
    page.keyboard.press("Enter")
    assert direction(page, "name") == "ascending"
    assert page.evaluate("document.activeElement.dataset.sort") == "name"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Space")
    assert direction(page, "name") == "descending"


def test_names_and_tracks_filter(visit):
    page = visit()
    page.fill("#filter", "bAD")
    assert (names(page), names(page, "reported")) == ([], ["Bad"])
    assert page.locator("#count").inner_text().startswith("1 of ")
    page.fill("#filter", "")
    choose(page, "track", "perturbation aware")
    assert names(page) == ["aware"]
    page.fill("#filter", "no such thing")
    assert page.locator("#board tbody").count() == 0


def test_a_choice_without_numbers_is_greyed_and_a_new_board_falls_back(visit):
    page = visit()
    choose(page, "use-case", "noise")
    assert page.locator("#choose-gate option").evaluate_all("all => all.map((each) => each.disabled)") == [False, True, True]
    choose(page, "summary", "level 2")
    assert page.locator("#choose-metric option:not([disabled])").all_inner_texts() == ["spearman"]
    assert page.locator("#board-caption").inner_text() == "made, test: mean spearman, level 2"
    choose(page, "board", "other, test")
    assert "too few for an interval" in page.locator("#note").inner_text()
    assert page.locator("[data-sort='ranks']").count() == 0


def test_metric_perturbation_and_level_change_the_numbers_to_those_of_python(visit):
    page = visit()
    truth, results, _ = everything()
    scopes = [
        ({"metric": "partial_spearman"}, {"metric": "partial spearman"}),
        ({"use_case": "rot"}, {"use-case": "rot"}),
        ({"use_case": "rot", "perturbation": "rot_linf"}, {"perturbation": "rot linf"}),
        ({"level_rank": 1}, {"summary": "level 1"}),
        ({"gate": 0.5}, {"gate": "0.5 or more"}),
    ]
    for scope, choices in scopes:
        page.reload()
        for name, label in choices.items():
            choose(page, name, label)
        board = next(board for board in boards(results, truth, **scope) if board.dataset == "made")
        wanted = next(row.value for row in board.rows if row.criterion == "Bad")
        cell = page.locator("#board tr", has=page.get_by_role("button", name="Bad", exact=True)).first.locator("td").first
        assert cell.inner_text().rstrip("*") == f"{wanted:.2f}".replace("-", "\u2212"), scope
        assert page.locator("#note").inner_text() == board.note


def test_a_gate_shows_how_many_places_it_moves(visit):
    page = visit()
    assert page.locator("[data-sort='change']").count() == 0
    choose(page, "gate", "0.8 or more")
    texts = [row.split("\t") for row in page.locator("#board tbody[class=''] tr:not(.detail)").all_inner_texts()]
    assert all(re.fullmatch(r"[▲▼] \d+|=", row[5]) for row in texts)
    assert "are left out: their reliability is under 0.8 or unknown" in page.locator("#note").inner_text()


def test_a_ceiling_of_a_part_of_the_cells_says_so_and_one_of_few_is_not_drawn(visit):
    page = visit()
    name, caption = page.locator("#ceiling-name"), page.locator("#cost-plot figcaption").last
    assert name.inner_text() == "ceiling"
    assert caption.inner_text().startswith("Rings are controls; the dotted line is the ceiling. ")
    choose(page, "board", "other, test")
    assert name.inner_text() == "ceiling (over 6 of 9 cells)"
    titles = {each.get_attribute("title") for each in page.locator("#board .ceiling").all()}
    assert all(re.fullmatch(r"ceiling \(over 6 of 9 cells\) 0\.\d\d", title) for title in titles)
    assert page.locator("#cost-plot .ceiling").count() == len(titles) > 0
    choose(page, "use-case", "noise")
    assert name.inner_text() == "ceiling (none: 0 of 3 cells have one)"
    assert caption.inner_text().startswith("Rings are controls. ")
    assert page.locator("#board .ceiling, #cost-plot .ceiling").count() == 0


def test_a_row_opens_to_its_values_by_network(visit):
    page = visit()
    page.get_by_role("button", name="good", exact=True).click()
    detail = page.locator("tr.detail:visible")
    assert "Spearman in area, minus parameters: " in detail.inner_text()
    assert detail.locator("tbody tr").count() == 10
    assert detail.locator("tbody td").first.inner_text() != ""
    page.get_by_role("button", name="good", exact=True).press("Enter")
    assert page.locator("tr.detail:visible").count() == 0
    page.check("#show-networks")
    assert page.locator("#board thead th").count() == 7 + 10


def test_the_downloaded_table_is_the_one_that_is_shown(visit, tmp_path):
    page = visit()
    page.click("[data-sort='name']")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["criterion"] for row in rows] == sorted((row["criterion"] for row in rows), key=str.lower)
    assert HOSTILE in [row["criterion"] for row in rows]
    assert {row["board"] for row in rows} == {"made, test"}
    assert all(float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in rows if row["low"])
    assert {row["criterion"] for row in rows if not row["low"]} == {
        "aware",
        "part",
        "Bad",
        "replicate",
        "reversed_replicate",
    }


def test_a_mean_without_an_interval_has_a_dash_and_the_page_says_why(visit):
    page = visit()
    aware = page.locator("#board tr", has=page.get_by_role("button", name="aware", exact=True)).first
    assert aware.locator("> *").all_inner_texts()[3] == "\u2013"
    assert "a dash: the families are too nearly alike for one" in page.locator(".legend").first.inner_text()


def test_a_strangers_name_is_text(visit):
    """`visit` fails on any dialog or request."""
    page = visit()
    assert HOSTILE in names(page)
    assert page.evaluate("document.querySelectorAll('script').length") == 3


@pytest.mark.parametrize("settings", [PHONE, {"viewport": {"width": 1280, "height": 900}}], ids=["phone", "desk"])
def test_the_page_never_scrolls_sideways(visit, settings):
    """Not with a row open either; the table itself does, under a first column that stays."""
    page = visit(**settings)
    page.get_by_role("button", name="good", exact=True).click()
    page.check("#show-networks")
    assert page.evaluate("document.documentElement.scrollWidth") <= settings["viewport"]["width"]
    box = page.locator("#board").locator("..")
    box.evaluate("box => box.scrollTo(400, 0)")
    assert box.evaluate("box => box.scrollLeft") > 0
    left = page.locator("#board tbody th").first.evaluate("cell => cell.getBoundingClientRect().left")
    assert abs(left - box.evaluate("box => box.getBoundingClientRect().left")) < 5


CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_paper(visit, scheme):
    """WCAG asks 4.5 to 1; heat cells come down to 4.4 where black and white ink are equally good."""
    page = visit(color_scheme=scheme)
    assert (page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate(CONTRAST) == []


def test_whoever_wants_no_motion_gets_none(visit):
    assert visit().evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
    assert visit(reduced_motion="reduce").evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_without_scripts_the_boards_are_plain_tables(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#static table").count() == 2
    assert page.locator("#static").is_visible()
    assert not page.locator("#choices").is_visible()
    assert not page.locator("#cost").is_visible()


def test_everything_to_press_has_a_name(visit):
    page = visit()
    nameless = """() => [...document.querySelectorAll("select, input, button, a")].filter((each) =>
      !(each.labels?.length || each.textContent.trim() || each.getAttribute("aria-label"))).length"""
    assert page.evaluate(nameless) == 0
    assert page.locator("[tabindex='0']:not([aria-label]):not(pre)").count() == 0
