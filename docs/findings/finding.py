"""What a finding is: numbers with their intervals, sentences composed from them, tables and a figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

JSON_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Value:
    """A number and how surely it is known.

    Attributes:
        value: in the unit.
        low, high: ends of its 95 % interval; None where there is none.
        unit: follows the number, as ``%``, ``points`` or ``times``; may be empty.
        digits: after the point, in text.
        reason: why there is no interval, as it stands in brackets behind the number; empty where there is one.
    """

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    digits: int = 2
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.low is None or self.high is None) != bool(self.reason):
            raise ValueError(f"{self.value}: either an interval or the reason why there is none")

    def __str__(self) -> str:
        """Return the number with its interval.

        >>> str(Value(0.561, 0.423, 0.706)), str(Value(6.84, 5.1, 9.0, "times", 1))
        ('0.56 (0.42 to 0.71)', '6.8 times (5.1 to 9.0)')
        >>> str(Value(12.0, unit="points", digits=0, reason="2 networks: 10 to 14"))
        '12 points (2 networks: 10 to 14)'
        """
        number = f"{written(self.value, self.digits)} {self.unit}".strip()
        if self.low is None or self.high is None:
            return f"{number} ({self.reason})"
        return f"{number} ({written(self.low, self.digits)} to {written(self.high, self.digits)})"

    def as_json(self) -> dict[str, float | str | None]:
        """Return value, low, high, unit and reason, numbers rounded."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high")}
        rounded = {name: None if number is None else round(number, JSON_DIGITS) + 0.0 for name, number in numbers.items()}
        return {**rounded, "unit": self.unit, "reason": self.reason}


def written(value: float, digits: int) -> str:
    """Return a number with so many digits after the point.

    >>> written(-0.001, 2)
    '0.00'
    """
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no negative zero


def told(value: Value, above: str, below: str, neither: str, than: float = 0.0) -> str:
    """Return what a sentence may say of a number: ``above`` or ``below`` only where the interval leaves out ``than``.

    >>> told(Value(0.3, 0.1, 0.5), "is higher", "is lower", "cannot be told apart")
    'is higher'
    """
    if value.low is not None and value.low > than:
        return above
    return below if value.high is not None and value.high < than else neither


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page.

    Attributes:
        caption: what it is of, with its population.
        header: of each column.
        rows: cells as text; a ``Value`` shows its interval.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Value]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page.

    Attributes:
        caption: what it shows.
        draw: returns it as the bytes of a PNG file, of less than 60 kB.
    """

    caption: str
    draw: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer that the tables give.

    Attributes:
        title: of its section.
        question: that it answers.
        sentences: the answer, composed from ``values``.
        limits: what the answer does not say, or depends on; also sentences.
        tables: beneath it.
        figure: beside it.
        values: every number of the answer, by a short key; nothing else may be told.
    """

    title: str
    question: str
    sentences: Sequence[str]
    tables: Sequence[Table]
    figure: Figure
    values: Mapping[str, Value] = field(default_factory=dict)
    limits: Sequence[str] = ()
