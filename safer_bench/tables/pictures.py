"""Pictures as bytes: the one place that knows matplotlib, which is imported when the first is drawn.

Figures are made without pyplot: nothing has to be closed, and a caller's own backend stays as it is.
"""

from io import BytesIO
from typing import Any

DPI = 150


def new_figure(width: float, height: float, n_rows: int = 1, n_columns: int = 1) -> tuple[Any, list[Any]]:
    """Return an empty figure and its axes, row by row.

    Args:
        width, height: of the whole figure, in inches.
        n_rows, n_columns: of axes.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; ``needs_torch`` round the call names the extra.
    """
    figure = _library().figure.Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(n_rows, n_columns, squeeze=False).ravel())


def encoded(figure: Any, ending: str = ".png", dpi: int = DPI) -> bytes:
    """Return a figure as the bytes of a file with this ending: .png, .svg or .pdf; the same figure gives the same bytes."""
    picture, when = BytesIO(), {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with _library().rc_context({"svg.hashsalt": ""}):
        figure.savefig(picture, dpi=dpi, format=ending.removeprefix("."), metadata=when.get(ending))
    return picture.getvalue()


def _library() -> Any:
    import matplotlib.figure

    return matplotlib
