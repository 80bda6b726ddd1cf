"""A real browser for the page's tests: Debian's Chromium, one for all of them."""

import os
from pathlib import Path

import pytest

from safer_bench.evaluation.leaderboard.write import write_leaderboard
from tests.made_up.boards import everything

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")  # not longer: playwright's event loop would be running under every other test
def browser():
    """Chromium; without it these tests are skipped, but never under CI."""
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip("Chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET, headless=True)
        yield running
        running.close()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory):
    """The page with everything that it can show."""
    truth, results, extras = everything()
    return write_leaderboard(tmp_path_factory.mktemp("shown") / "board", results, truth, **extras)


@pytest.fixture
def visit(browser, page_file):
    """Open the page, or another file, at an address; at the end nothing was requested but files and what the page made itself, and nothing went wrong."""
    contexts, wrong = [], []

    def opened(at="", file=page_file, **settings):
        settings = {"viewport": {"width": 1280, "height": 900}, **settings}
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)  # a busy machine once took more than ten seconds to load a page
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if _local(request.url) else wrong.append(f"request: {request.url}"))
        page.goto(file.as_uri() + at)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _local(url):
    return url.startswith(("file:", "data:", "blob:"))
