"""Text of strangers: refused or shown as it is, never markup, a formula or another name."""

import pytest

from safer_bench.tables.text import code, folded, odd_character, plain, spreadsheet, visible


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("a\x00b", "U+0000"),
        ("a\x1b[31m", "U+001B"),
        ("a\u202etxt", "U+202E"),
        ("a\u2066b", "U+2066"),
        ("\ud800", "U+D800"),
        ("a\u2028b", "U+2028"),
        ("a\u0085b", "U+0085"),
        ("a\tb", "U+0009"),
        ("two\nlines, Größe, критерий, 層, \U0001f600", None),
    ],
)
def test_what_is_no_text_is_named(text, odd):
    assert odd_character(text) == odd
    assert odd_character(visible(text)) is None


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "\uff1d1", "\n-1"])
def test_a_cell_that_would_be_calculated_is_guarded(cell):
    assert spreadsheet(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["snip", "a=1", "", "1-2", "'=1"])
def test_other_cells_stay(cell):
    assert spreadsheet(cell) == cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("l2_norm", "l2_norm"),
        ("_a_", r"\_a\_"),
        ("a|b\nc", r"a\|b c"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[a](http://b)", r"\[a\](http\://b)"),
        ("www.b.example", r"www\.b.example"),
        ("$x$", r"\$x\$"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text, shown):
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("W + x", "`W + x`"), ("|W|", r"`\|W\|`"), ("a``b", "```a``b```"), ("`", "`` ` ``")]
)
def test_code_shows_a_text_as_it_is(text, shown):
    assert code(text) == shown


@pytest.mark.parametrize(("one", "other"), [("Snip", "snip"), ("\uff33nip", "SNIP"), ("stra\u00dfe", "STRASSE")])
def test_names_that_are_taken_for_each_other_fold_alike(one, other):
    assert folded(one) == folded(other)
    assert folded(one) != folded(f"{other}2")
