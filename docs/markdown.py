"""Markdown of pages that are made, whole or in part, from the code and the tables."""

from collections.abc import Iterable, Sequence

BEGIN, END = "<!-- made by make findings -->\n", "<!-- end of what is made -->\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped.

    Args:
        header: titles of the columns.
        rows: cells, as many a row as there are titles.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def filled(page: str, made: str) -> str:
    """Return a page with what stands between ``BEGIN`` and ``END`` replaced.

    Raises:
        ValueError: the page has no such place.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place between {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}{made}{end}{after}"
