"""The sentences of a Markdown page, and how many words each has."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

ABBREVIATIONS = {"al.", "e.g.", "i.e.", "vs."}
MARKDOWN = MarkdownIt("commonmark").enable("table")
OUTSIDE = {"heading_open": "heading_close", "table_open": "table_close"}  # what is no running text


def sentences(page: str) -> Iterator[tuple[int, str]]:
    """Yield (line, sentence) of the running text, without code blocks, tables, headings and HTML.

    A code span is one word, ``X``. A paragraph and an item of a list end a sentence.
    """
    closing = ""
    for token in MARKDOWN.parse(page):
        closing = closing or OUTSIDE.get(token.type, "")
        if token.type == "inline" and not closing:
            yield from _of_block(token)
        if token.type == closing:
            closing = ""


def n_words(sentence: str) -> int:
    """Return the number of words: what blanks set apart and holds a letter or a digit.

    >>> n_words("A probe takes 14 ms - at most.")
    7
    """
    return sum(any(char.isalnum() for char in word) for word in sentence.split())


def _of_block(block: Token) -> Iterator[tuple[int, str]]:
    line, words = (block.map or [0])[0] + 1, []
    text = "".join(_plain(child) for child in block.children or [])
    for number, row in enumerate(text.split("\n")):
        for word in row.split():
            words.append((line + number, word))
            if re.search(r"[.?!][\"')*]*$", word) and word.lstrip("(") not in ABBREVIATIONS:
                yield words[0][0], " ".join(word for _, word in words)
                words = []
    if words:
        yield words[0][0], " ".join(word for _, word in words)


def _plain(token: Token) -> str:
    return {"text": token.content, "code_inline": "X", "softbreak": "\n", "hardbreak": "\n"}.get(token.type, "")
