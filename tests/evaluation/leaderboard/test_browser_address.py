"""What is chosen stands in the page's address, and an address brings it back."""

import re

from tests.evaluation.leaderboard.test_browser import choose, direction, names
from tests.made_up.boards import HOSTILE

SHOWN = """() => [...document.querySelectorAll("select")].map((each) => each.selectedOptions[0]?.textContent)
  .concat(document.querySelector("#filter").value, document.querySelector("#board").innerText)"""

COUNT = """() => { const replace = history.replaceState; window.written = 0;
  history.replaceState = (...given) => { window.written += 1; replace.apply(history, given); }; }"""


def test_an_address_shows_the_same_again(visit):
    page = visit()
    assert "#" not in page.url
    choose(page, "board", "other, test")
    choose(page, "perturbation", "rot l2")
    page.click("#tab-all")
    page.check("#show-networks")
    page.fill("#filter", "a")
    page.click("[data-sort='name']")
    page.select_option("#choose-network", "test1a")
    page.select_option("#scatter-axis", label="true area")
    page.select_option("#budget-task", label="prune")
    assert "use-case=rot&perturbation=rot+l2" in page.url
    again = visit(at=page.url.partition("#")[1] + page.url.partition("#")[2])
    assert again.evaluate(SHOWN) == page.evaluate(SHOWN)
    assert direction(again, "name") == "ascending"
    assert again.url == page.url
    assert again.locator("#more").get_attribute("open") is not None


def test_links_choose_and_what_an_address_names_that_is_not_there_is_passed_over(visit):
    page = visit()
    page.click(".cases a >> nth=1")
    page.locator("#choose-use-case option:checked", has_text="rot").wait_for(state="attached")
    assert page.evaluate("document.querySelector('#board-title').getBoundingClientRect().top < innerHeight")
    first = names(page)
    page.evaluate(COUNT)
    page.evaluate("location.hash = 'sort=name%2C+rising&track=all&use-case=noise'")
    page.locator("#choose-use-case option:checked", has_text="noise").wait_for(state="attached")
    assert direction(page, "name") == "ascending"
    assert page.url.endswith("#use-case=noise&track=all&sort=name%2C+rising")
    page.click("#note")
    assert page.evaluate("written") == 1, "the parts in the page's own order; neither half of it nor the same again"
    page.go_back()
    page.locator("#choose-use-case option:checked", has_text="rot").wait_for(state="attached")
    assert (direction(page, "mean"), names(page)) == ("descending", first)
    page.evaluate("location.hash = 'use-case=nothing&track=none&sort=__proto__&metric=%3Cb%3E&filter='")
    page.locator("#choose-use-case option:checked", has_text="all").wait_for(state="attached")
    assert sorted(names(page)) == sorted(first)
    page.evaluate("location.hash = 'sort=a%0Ab&use-case=rot'")
    page.locator("#choose-use-case option:checked", has_text="rot").wait_for(state="attached")
    assert (direction(page, "mean"), page.url.partition("#")[2]) == ("descending", "use-case=rot")
    page.evaluate(f"location.hash = new URLSearchParams({{filter: {HOSTILE!r}}}).toString()")
    page.locator("#count", has_text=re.compile("^1 of ")).wait_for()
    assert names(page) == [HOSTILE]
    assert page.locator("th[aria-sort='descending']").inner_text().startswith("mean")
