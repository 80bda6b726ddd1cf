"""The page on a desk, a tablet, a phone and paper, in light and dark, with and without scripts."""

from pathlib import Path

import pytest

from tests.conftest import ROOT

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
COMMITTED = ROOT / "docs" / "board" / "leaderboard.html"
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
WIDTHS = "box => [box.scrollWidth, box.clientWidth]"


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_never_scrolls_sideways(visit, width):
    """Not with a row open either; the table itself does, under a name that stays."""
    page = visit(viewport={"width": width, "height": 740})
    page.evaluate(OPEN_ALL)
    page.get_by_role("button", name="good", exact=True).click()
    page.check("#show-networks")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#board").locator("..")
    box.evaluate("box => box.scrollTo(400, 0)")
    assert box.evaluate("box => box.scrollLeft") > 0
    left = page.locator("#board tbody th").first.evaluate("cell => cell.getBoundingClientRect().left")
    assert abs(left - box.evaluate("box => box.getBoundingClientRect().left")) < 5


def test_the_published_page_opens_with_its_results_on_a_desk_a_tablet_and_a_phone(visit):
    page = visit(file=COMMITTED)
    cases = page.locator("#use-cases .scroll").first
    for width, height in ((1280, 900), (768, 1024)):
        page.set_viewport_size({"width": width, "height": height})
        scrolled, shown = cases.evaluate(WIDTHS)
        assert scrolled <= shown, width
        scrolled, shown = page.locator("#board").locator("..").evaluate(WIDTHS)
        assert scrolled <= shown, width
    page.click("#tab-all")
    for drawn in (cases.inner_html(), page.locator("#board").inner_html()):  # by the template, by the script
        assert "measured_<wbr>drop_512" in drawn, "a number alone begins no line"
    page.click("#tab-blind")
    page.set_viewport_size({"width": 390, "height": 844})
    first = page.locator(".cases tbody tr").first
    heads = page.locator(".cases thead th").all_inner_texts()[:4]
    assert heads == ["use case", "best blind", "best aware", "ceiling"]
    assert first.bounding_box()["y"] + first.bounding_box()["height"] < 844 / 2
    ceiling = first.locator("> *").nth(3).bounding_box()
    assert ceiling["x"] + ceiling["width"] <= 390 - 12
    mean = page.locator("#board tbody td.mean").first.bounding_box()
    assert mean["x"] + mean["width"] <= 390 - 12
    assert page.locator("#choices select:visible, #choices input:visible").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_on_paper_nothing_is_to_press_and_everything_is_whole(visit):
    page = visit(file=COMMITTED, color_scheme="dark", viewport={"width": 1030, "height": 740})
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for pressed in ("nav", ".choices", "#tracks", "#download", ".readout"):
        assert page.locator(pressed).first.is_hidden(), pressed
    assert page.locator("#board .name").first.is_visible()
    assert page.locator("#board-caption").inner_text().startswith("fashion_mnist, test, blind: ")
    for table in (".cases", "#board", "#heat"):
        assert page.locator(table).first.bounding_box()["width"] <= 1030, table
        assert (
            page.locator(".scroll", has=page.locator(table)).first.evaluate("box => getComputedStyle(box).overflowX")
            == "visible"
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_paper(visit, scheme):
    """WCAG asks 4.5 to 1; heat cells come down to 4.4 where black and white ink are equally good."""
    page = visit(color_scheme=scheme)
    page.evaluate(OPEN_ALL)
    assert (page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate(CONTRAST) == []
    nameless = """() => [...document.querySelectorAll("select, input, button, a, summary")].filter((each) =>
      !(each.labels?.length || each.textContent.trim() || each.getAttribute("aria-label"))).length"""
    assert page.evaluate(nameless) == 0
    assert page.locator("[tabindex='0']:not([aria-label]):not(pre, [role='tab'])").count() == 0


def test_whoever_wants_no_motion_gets_none(visit):
    page = visit()
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_without_scripts_the_boards_are_plain_tables(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#static table").count() == 2
    assert page.locator("#static").is_visible()
    assert page.locator("#static h3").first.inner_text() == "made, test"
    assert page.locator(".cases").is_visible()
    page.click("#how summary")
    assert "Unadjusted: each interval holds by itself." in page.locator("#how").inner_text()
    for scripted in ("#choices", "#cost", "#tracks"):
        assert not page.locator(scripted).is_visible()
