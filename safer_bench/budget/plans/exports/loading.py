"""Exports by the names of their tools."""

from collections.abc import Mapping

from safer_bench.budget.plans.exports.exporter import Exporter
from safer_bench.errors import UnknownName
from safer_bench.registry import collect, suggestion


def exporters() -> Mapping[str, Exporter]:
    """Return all exports by name."""
    return collect("safer_bench.budget.plans.exports", Exporter)


def exporter_called(name: str) -> Exporter:
    """Return the export to a tool.

    Raises:
        UnknownName: there is none; near misses are suggested.
    """
    known = exporters()
    if name not in known:
        raise UnknownName(f"no export to {name!r}.{suggestion(name, known)} There are: {', '.join(known)}")
    return known[name]
