"""Text that is shown: numbers with their nouns; of strangers, what it may hold, how Markdown and spreadsheets take it."""

import re
from unicodedata import category, normalize

# turn what follows round, or are seen by no one: marks and overrides of direction, and tag characters
INVISIBLE = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
CONTROLS = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of pairs, separators of lines and paragraphs
MARKDOWN = re.compile(r"[\\`*\[\]<>|~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.", re.IGNORECASE)
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")  # what a spreadsheet calculates; also wide signs


def odd_character(text: str) -> str | None:
    r"""Return the first character that is no text, such as ``U+202E``; None where all are. Lines may end.

    >>> odd_character("two\nlines"), odd_character("a\u202eb"), odd_character("\ud800")
    (None, 'U+202E', 'U+D800')
    """
    odd = (char for char in text if char != "\n" and (category(char) in CONTROLS or INVISIBLE.match(char)))
    return next((f"U+{ord(char):04X}" for char in odd), None)


def visible(text: str) -> str:
    r"""Return a text on one line, what is no text as its number.

    >>> visible("a\n b\u202ec")
    'a b\\u202ec'
    """
    return "".join(
        char.encode("unicode_escape").decode() if odd_character(char) else char for char in " ".join(text.split())
    )


def number_of(n: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun; the plural of most is one letter longer.

    >>> number_of(1, "network"), number_of(2, "criterion", "criteria")
    ('1 network', '2 criteria')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def folded(name: str) -> str:
    """Return what names that are taken for each other have in common.

    >>> folded("Snip") == folded("\uff33NIP") == "snip"
    True
    """
    return normalize("NFKC", normalize("NFKC", name).casefold())


def plain(text: str) -> str:
    r"""Return a text as Markdown that shows it as it is, in a table too.

    >>> plain("a|b <i> `c` l2_norm _d_ http://e")
    'a\\|b \\<i\\> \\`c\\` l2_norm \\_d\\_ http\\://e'
    """
    return MARKDOWN.sub(r"\\\g<0>", visible(text))


def code(text: str) -> str:
    r"""Return a text as a code span of a Markdown table.

    >>> code("|W|"), code("a`b")
    ('`\\|W\\|`', '``a`b``')
    """
    shown = visible(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    gap = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{gap}{shown}{gap}{fence}".replace("|", r"\|")


def spreadsheet(text: str) -> str:
    """Return a text as a cell that no spreadsheet calculates: a quotation mark goes before what would be a formula.

    >>> spreadsheet("=1+1"), spreadsheet("snip"), spreadsheet(" @a")
    ("'=1+1", 'snip', "' @a")
    """
    return f"'{text}" if FORMULA.match(text) else text
