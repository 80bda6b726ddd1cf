"""The leaderboard's table in a real browser: what people see, press and read."""

import csv
import re

from safer_bench.evaluation.boards import boards
from tests.made_up.boards import HOSTILE, everything


def names(page, kind=""):
    """Return the criteria shown in a group of the table, in order."""
    body = f"tbody.{kind}" if kind else "tbody[class='']"
    return page.locator(f"#board {body} .name").all_inner_texts()


def column(page, part, kind=""):
    body = f"tbody.{kind}" if kind else "tbody[class='']"
    return page.locator(f"#board {body} tr:not(.detail, .group) {part}").all_inner_texts()


def row_of(page, name):
    return page.locator("#board tr", has=page.get_by_role("button", name=name, exact=True)).first


def direction(page, key):
    return page.locator(f"th:has([data-sort='{key}'])").get_attribute("aria-sort")


def choose(page, name, label):
    page.evaluate("document.getElementById('more').open = true")
    page.select_option(f"#choose-{name}", label=label)


def two_digits(value):
    return f"{value:.2f}".replace("-", "\u2212")


def test_the_first_board_is_the_one_that_python_computed_blind_criteria_first(visit):
    page = visit()
    truth, results, _ = everything()
    board = next(board for board in boards(results, truth) if board.dataset == "made")
    row = next(row for row in board.rows if row.criterion == "good")
    good, n_blind = row_of(page, "good"), sum(row.track == "blind" for row in board.rows)
    assert good.locator("> *").nth(0).inner_text() == " to ".join(str(rank) for rank in dict.fromkeys(row.ranks))
    assert good.locator("> *").nth(1).inner_text() == "good"  # recomputed scores carry no badge
    assert good.locator(".value").inner_text() == two_digits(row.value)
    assert good.locator(".interval").inner_text() == " to ".join(map(two_digits, row.interval))
    assert good.locator(".source a").get_attribute("href") == "https://arxiv.org/abs/2001.00281"
    assert good.locator(".source").inner_text() == "Cai et al. 2020"
    assert page.locator("#note").inner_text() == board.note
    assert page.locator("#count").inner_text() == f"{n_blind} of {len(board.rows)} criteria shown"
    drawn = good.evaluate("""row => { const box = (name) => row.querySelector(name).getBoundingClientRect(), all = box(".bar");
      const at = (x) => -0.5 + 1.5 * (x - all.left) / all.width; return [at(box(".fill").right), at(box(".whisker").left), at(box(".whisker").right)]; }""")
    assert page.locator("#board .ticks span").all_inner_texts() == ["0", "1"]
    assert all(abs(a - b) < 0.02 for a, b in zip(drawn, (row.value, *row.interval), strict=True))


def test_controls_and_what_is_not_ranked_stand_apart(visit):
    page = visit()
    assert set(names(page)) == {"good", HOSTILE}
    assert names(page, "unranked") == ["part"]
    assert column(page, ".mean", "unranked") == ["not ranked"]
    assert names(page, "reported") == ["Bad"]
    assert column(page, ".who", "reported") == ["Badreported"]
    assert column(page, ".interval", "reported") == column(page, ".ranks", "reported") == ["\u2013"]
    assert page.locator("#board tbody").last.get_attribute("class") == "reported"
    assert row_of(page, "constant").locator(".value").inner_text() == "0.00*"
    page.click("#tab-all")
    assert set(names(page)) == {"good", HOSTILE, "aware"}
    assert {"parameters", "constant", "replicate"} <= set(names(page, "controls"))
    assert not {"good", "aware"} & set(names(page, "controls"))
    assert row_of(page, "aware").locator(".interval").inner_text() == "\u2013"
    assert "a dash: the families are too nearly alike for one" in page.locator(".legend").inner_text()


def test_every_column_sorts_both_ways_and_says_so(visit):
    page = visit()
    page.click("#tab-all")
    means = column(page, ".value")
    assert means == sorted(means, key=lambda text: -float(text.replace("\u2212", "-")))
    keys = page.locator("#board [data-sort]").evaluate_all("all => all.map((each) => each.dataset.sort)")
    assert keys == ["ranks", "name", "mean", "cost", "source", "track"]
    for key in keys:
        page.click(f"[data-sort='{key}']")
        first, order = direction(page, key), names(page)
        page.click(f"[data-sort='{key}']")
        assert {first, direction(page, key)} == {"ascending", "descending"}, key
        if key not in ("track", "ranks", "source"):  # with ties, which stay in the order of the board
            assert names(page) == order[::-1], key
        assert page.locator("th[aria-sort='ascending'], th[aria-sort='descending']").count() == 1
        assert page.locator(f"[data-sort='{key}']").get_attribute("title")
    page.click("[data-sort='name']")
    assert names(page) == sorted(names(page), key=str.lower)
    page.click("[data-sort='ranks']")
    best = [int(text.split()[0]) for text in column(page, ".ranks")]
    assert best == sorted(best)
    for way in ("ascending", "descending"):  # without a value: last, either way
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


def test_tracks_are_tabs_that_arrows_move_between(visit):
    page = visit()
    chosen = page.locator("#tracks [aria-selected='true']")
    assert page.locator("#tracks [role='tab']").evaluate_all("all => all.map((each) => each.firstChild.textContent)") == [
        "Blind",
        "Perturbation-aware",
        "Level-aware",
        "All tracks",
    ]
    assert page.locator("[data-sort='track']").count() == 0
    chosen.focus()
    page.keyboard.press("ArrowRight")
    assert (page.evaluate("document.activeElement.id"), chosen.get_attribute("id")) == ("tab-perturbation_aware",) * 2
    assert (names(page), page.locator("[data-sort='source']").count()) == (["aware"], 0)  # nobody here names a source
    assert page.locator("#panel").get_attribute("aria-labelledby") == "tab-perturbation_aware"
    assert page.locator("#tracks [tabindex='0']").count() == 1
    page.keyboard.press("End")
    assert chosen.get_attribute("id") == "tab-all"
    assert page.locator("[data-sort='track']").count() == 1
    page.keyboard.press("ArrowRight")
    assert chosen.get_attribute("id") == "tab-blind"


def test_names_filter_and_an_empty_table_says_why(visit):
    page = visit()
    page.fill("#filter", "bAD")
    assert (names(page), names(page, "reported")) == ([], ["Bad"])
    assert page.locator("#count").inner_text().startswith("1 of ")
    assert not page.locator("#nothing").is_visible()
    page.fill("#filter", "aware")
    assert not page.locator("#board").is_visible()
    nothing = "No criterion of the track blind has \u201caware\u201d in its name. Show all criteria"
    assert page.locator("#nothing").inner_text() == nothing
    page.click("#nothing button")
    assert (page.input_value("#filter"), "aware" in names(page)) == ("", True)
    assert page.locator("#board").is_visible()


def test_a_choice_without_numbers_is_greyed_and_a_new_board_falls_back(visit):
    page = visit()
    choose(page, "use-case", "noise")
    assert page.locator("#choose-gate option").evaluate_all("all => all.map((each) => each.disabled)") == [False, True, True]
    choose(page, "summary", "level 2")
    assert page.locator("#choose-metric option:not([disabled])").all_inner_texts() == ["Spearman"]
    assert page.locator("#board-caption").inner_text() == "made, test, blind: mean Spearman, noise, level 2"
    assert page.locator("#more-chosen").inner_text() == ": level 2"
    page.get_by_role("button", name="macs", exact=True).click()
    choose(page, "board", "other, test")
    assert page.locator("#board [aria-expanded='true']").all_inner_texts() == ["macs"]  # which is the next row on this board
    assert page.locator("tr.detail:visible [role='region']").get_attribute("aria-label").startswith("Values of macs ")
    assert "too few for an interval" in page.locator("#note").inner_text()
    assert page.locator("[data-sort='ranks']").count() == 0


def test_metric_perturbation_and_level_change_the_numbers_to_those_of_python(visit):
    page = visit()
    truth, results, _ = everything()
    scopes = [
        ({"metric": "partial_spearman"}, {"metric": "partial Spearman"}),
        ({"use_case": "rot"}, {"use-case": "rot"}),
        ({"use_case": "rot", "perturbation": "rot_linf"}, {"perturbation": "rot linf"}),
        ({"level_rank": 1}, {"summary": "level 1"}),
        ({"gate": 0.5}, {"gate": "0.5 or more"}),
    ]
    for scope, choices in scopes:
        page.evaluate("history.replaceState(null, '', location.pathname)")
        page.reload()
        for name, label in choices.items():
            choose(page, name, label)
        board = next(board for board in boards(results, truth, **scope) if board.dataset == "made")
        wanted = next(row.value for row in board.rows if row.criterion == "Bad")
        assert row_of(page, "Bad").locator(".value").inner_text().rstrip("*") == two_digits(wanted), scope
        assert page.locator("#note").inner_text() == board.note


def test_a_gate_shows_how_many_places_it_moves(visit):
    page = visit()
    assert page.locator("[data-sort='change']").count() == 0
    choose(page, "gate", "0.8 or more")
    texts = column(page, "> :nth-child(4)")
    assert len(texts) == 2
    assert all(re.fullmatch(r"[▲▼] \d+|=", text) for text in texts)
    assert "are left out: their reliability is under 0.8 or unknown" in page.locator("#note").inner_text()


def test_a_ceiling_of_a_part_of_the_cells_says_so_and_one_of_few_is_not_drawn(visit):
    page = visit()
    page.click("#tab-all")
    name, caption = page.locator("#ceiling-name"), page.locator("#cost-plot figcaption").last
    assert name.inner_text() == "ceiling"
    assert caption.inner_text().endswith("Rings are controls; the dotted line is the ceiling.")
    choose(page, "board", "other, test")
    assert name.inner_text() == "ceiling (over 6 of 9 cells)"
    titles = {each.get_attribute("title") for each in page.locator("#board .ceiling").all()}
    assert all(re.fullmatch(r"ceiling \(over 6 of 9 cells\) 0\.\d\d", title) for title in titles)
    assert page.locator("#cost-plot .ceiling").count() == len(titles) > 0
    choose(page, "use-case", "noise")
    assert name.inner_text() == "ceiling (none: 0 of 3 cells have one)"
    assert caption.inner_text().endswith("Rings are controls.")
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
    page.evaluate("document.getElementById('more').open = true")
    page.check("#show-networks")
    assert page.locator("#board thead th").count() == 5 + 10


def test_the_downloaded_table_is_the_one_that_is_shown(visit, tmp_path):
    page = visit()
    page.click("#tab-all")
    page.click("[data-sort='name']")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["criterion"] for row in rows] == sorted((row["criterion"] for row in rows), key=str.lower)
    assert HOSTILE in [row["criterion"] for row in rows]
    assert {row["track"] for row in rows} == {"blind", "perturbation_aware", "level_aware"}
    assert {row["board"] for row in rows} == {"made, test"}
    assert all(float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in rows if row["low"])
    assert {row["criterion"] for row in rows if not row["low"]} == {
        "aware",
        "part",
        "Bad",
        "replicate",
        "reversed_replicate",
    }


def test_a_strangers_name_is_text(visit):
    """`visit` fails on any dialog or request."""
    page = visit()
    assert HOSTILE in names(page)
    assert page.evaluate("document.querySelectorAll('script').length") == 3
