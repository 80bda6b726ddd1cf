"""A board's page as a static Space of the Hugging Face Hub: the page, the board as CSV, and the card that a Space needs."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from safer_bench.dataset.release import Release
from safer_bench.errors import BadInput, MissingData
from safer_bench.links import LINKS

PAGE, LISTING = "leaderboard.html", "leaderboard.csv"
HEAD = 10_000  # characters of a page within which its title stands


def read_space(board: Path) -> Release:
    """Return what to publish of a board: ``index.html``, ``leaderboard.csv``, and a card made here.

    Args:
        board: folder that ``evaluate --out`` wrote.

    Raises:
        MissingData: it holds no board.
        BadInput: its page is none of ours.
    """
    found = {name: board / name for name in (PAGE, LISTING)}
    missing = next((name for name, path in found.items() if not path.is_file()), None)
    if missing is not None:
        raise MissingData(f"{board}: holds no {missing}; name a folder that `safer-bench evaluate --out` wrote")
    if "<title>safer-bench leaderboard</title>" not in found[PAGE].read_text(encoding="utf-8", errors="replace")[:HEAD]:
        raise BadInput(f"{found[PAGE]}: not a leaderboard's page; write it again: safer-bench evaluate --out {board}")
    return Release(
        board, "space", {"README.md": _card().encode(), "index.html": found[PAGE], "leaderboard.csv": found[LISTING]}
    )


def _card() -> str:
    texts = Environment(loader=FileSystemLoader(Path(__file__).parent / "documents"), undefined=StrictUndefined)  # noqa: S701
    return texts.get_template("space.md.j2").render(links=LINKS) + "\n"
