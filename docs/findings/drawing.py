"""Figures of the page: 800 pixels wide, in one set of colours."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from docs.findings.finding import Value
from safer_bench.tables import pictures

WIDTH, DPI = 8.0, 100  # inches, pixels an inch
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#4d4d4d")  # Okabe and Ito: told apart by all
N_COLOURS = 128


def new_figure(height: float, n_rows: int = 1, n_columns: int = 1) -> tuple[Any, list[Any]]:
    """Return an empty figure of this height in inches, and its axes, row by row."""
    figure, axes = pictures.new_figure(WIDTH, height, n_rows, n_columns)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def encoded(figure: Any) -> bytes:
    """Return a figure as the bytes of a PNG file of few colours: a third of the size, and nothing to see of it."""
    picture = BytesIO()
    Image.open(BytesIO(pictures.encoded(figure, dpi=DPI))).convert("RGB").quantize(N_COLOURS).save(
        picture, format="png", optimize=True
    )
    return picture.getvalue()


def reach(values: Sequence[Value]) -> tuple[list[float], list[float]]:
    """Return how far intervals reach below and above their numbers, as error bars have it; 0 where there is none."""
    below = [0.0 if value.low is None else value.value - value.low for value in values]
    return below, [0.0 if value.high is None else value.high - value.value for value in values]


def readable(name: str) -> str:
    """Return the name of a use case, kind or perturbation in words.

    >>> readable("int8_faults")
    'int8 faults'
    """
    return name.replace("_", " ")
