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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(n_rows, n_columns, squeeze=False).ravel())


def encoded(figure: Any, ending: str = ".png", dpi: int = DPI) -> bytes:
    """Return a figure as the bytes of a file with this ending: .png, .svg or .pdf."""
    picture = BytesIO()
    figure.savefig(picture, dpi=dpi, format=ending.removeprefix("."))
    return picture.getvalue()
