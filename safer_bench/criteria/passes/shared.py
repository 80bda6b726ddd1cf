"""Passes that several criteria need are made once a sweep, and charged in full to each that uses them."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol, TypeVar

from torch import Tensor

from safer_bench.criteria.passes.cost import Cost, Meter

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class _Product:
    """A result with its own cost, that of the products it used left out."""

    value: Any
    cost: Cost
    used: frozenset[Hashable]


@dataclass(slots=True)
class Bill:
    """What one computation used; its cost is as if it had been alone, each product paid once.

    Attributes:
        used: keys of the products.
        nested: cost of the products that were made within it.
        cost: known once the computation has ended.
    """

    used: set[Hashable] = field(default_factory=set)
    nested: Cost = field(default_factory=Cost)
    cost: Cost = field(default_factory=Cost)


class Passes(Protocol):
    """A shorter way to logits than passes of the model."""

    def prepare(self) -> None:
        """Do what has to be done once."""

    def clean(self, batches: Any) -> Tensor | None:
        """Return the unperturbed logits ``(n, n_classes)``; None where it does not know."""

    def perturbed(self, batches: Any, layer: str, weight: Tensor) -> Tensor | None:
        """Return the logits ``(n, n_classes)`` with a layer's weight replaced; None where it does not know."""


class Shared:
    """Keeps the products of one model's criteria.

    Args:
        meter: its clocks.
        passes: the same model's logits by a shorter way.
        side_by_side: what criteria make of the logits of the same passes, by the ``id`` of their batches.
    """

    def __init__(
        self, meter: Meter, passes: Passes | None = None, side_by_side: Mapping[int, Sequence[Any]] | None = None
    ) -> None:
        self.meter, self.passes, self.side_by_side = meter, passes, side_by_side or {}
        self._products: dict[Hashable, _Product] = {}
        self._bills: list[Bill] = []

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return the product of a key, computed when it is first asked for."""
        if key not in self._products:
            with self._open() as bill:
                value = compute()
            self._products[key] = _Product(value, bill.cost.without(bill.nested), frozenset(bill.used))
        if self._bills:
            self._bills[-1].used |= {key, *self._products[key].used}
        return self._products[key].value

    def put(self, key: Hashable, value: Any, cost: Cost) -> None:
        """Keep what was made beside a product that is being computed: it is charged to those that ask for it alone."""
        self._products[key] = _Product(value, cost, frozenset())
        self._bills[-1].nested += cost

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make ``shared`` functions keep their products here within the block."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    @contextmanager
    def billed(self) -> Iterator[Bill]:
        """Write a bill of what the block costs when it is made alone, each product that it uses paid once."""
        with self._open() as bill:
            yield bill
        bill.cost = bill.cost.without(bill.nested)
        for key in bill.used:
            bill.cost += self._products[key].cost

    @contextmanager
    def _open(self) -> Iterator[Bill]:
        bill, start = Bill(), self.meter.read()
        self._bills.append(bill)
        try:
            yield bill
        finally:
            self._bills.pop()
            bill.cost = self.meter.read().since(start)
            if self._bills:
                self._bills[-1].nested += bill.cost


_CURRENT: ContextVar[Shared | None] = ContextVar("shared", default=None)


def shared(function: F) -> F:
    """Make ``function(model, batches, *further)`` run once a sweep for each model, batches and further arguments.

    Outside a sweep it runs at each call. Its result belongs to all who ask: nobody may change it.
    """

    @wraps(function)
    def call(model: Any, batches: Any, *further: Any) -> Any:
        current = _CURRENT.get()
        if current is None:
            return function(model, batches, *further)
        key = (function, id(model), id(batches), *further)  # a sweep keeps both alive
        return current.once(key, lambda: function(model, batches, *further))

    return call  # type: ignore[return-value]


def spend(forwards: float) -> None:
    """Count work that is no pass of the model, in units of one example's forward pass."""
    current = _CURRENT.get()
    if current is not None:
        current.meter.forwards += forwards


def current_sweep() -> Shared | None:
    """Return what the sweep shares; None outside a sweep."""
    return _CURRENT.get()
