"""What there is: names and facts of networks, perturbations, criteria and metrics, with or without torch."""

from typing import Any

from safer_bench.errors import BadInput, MissingData, has_torch
from safer_bench.registry import look_up, suggestion
from safer_bench.tables.controls import ADDED

KINDS = ("networks", "perturbations", "criteria", "metrics")


def list_entries(kind: str) -> list[str]:
    """Return the names of all entries of a kind.

    Args:
        kind: ``networks``, ``perturbations``, ``criteria`` or ``metrics``. Without torch, networks and criteria are those
            of the dataset tree in ``data_cards/safer-bench``.

    Raises:
        BadInput: there is no such kind.
    """
    return list(_entries(kind))


def _entries(kind: str) -> dict[str, Any]:
    if kind == "perturbations":
        from safer_bench.perturbations.loading import perturbations

        return dict(perturbations())
    if kind == "metrics":
        from safer_bench.judging import METRICS

        return {metric.name: metric for metric in METRICS}
    if kind not in KINDS:
        raise BadInput(f"kind {kind!r}; expected one of {', '.join(KINDS)}.{suggestion(kind, KINDS)}")
    return _torch_entries(kind) if has_torch() else _published(kind)


def _torch_entries(kind: str) -> dict[str, Any]:
    if kind == "networks":
        from safer_bench.networks.loading import zoo_networks

        return dict(zoo_networks())
    from safer_bench.criteria.loading import criteria

    return dict(criteria())


def _published(kind: str) -> dict[str, Any]:
    """Return rows of the dataset tree by name; none where there is no tree."""
    from safer_bench.dataset.tree import load_tree

    column = "network" if kind == "networks" else "criterion"
    try:
        tree = load_tree()
    except MissingData:
        return {}
    if kind not in tree:  # one without scores
        return {}
    long = [name for name in ("clean_outcomes", "answers_of_example") if name in tree[kind].schema.names]
    rows = tree[kind].drop_columns(long).to_pylist()
    found = {row[column]: row for row in rows}
    for layer in tree["layers"].to_pylist() if kind == "networks" else ():
        found[layer["network"]][f"layer {layer['layer']}"] = layer["weight_shape"]
    return found


def describe(name: str) -> dict[str, Any]:
    """Return what is known of an entry of any kind or of an added control, as ordered facts; ``kind`` comes first.

    Raises:
        UnknownName: no entry of any kind has that name.
    """
    everything: dict[str, tuple[str, Any]] = {name: ("added control", facts) for name, facts in ADDED.items()}
    everything |= {key: (kind, entry) for kind in KINDS for key, entry in _entries(kind).items()}
    kind, entry = look_up(everything, name, "entry")
    return {"kind": kind, "name": name} | (entry if isinstance(entry, dict) else _FACTS[kind](entry))


def _perturbation_facts(entry: Any) -> dict[str, Any]:
    return {
        "what": entry.description,
        "formula": entry.formula,
        "levels": ", ".join(f"{level:g}" for level in entry.levels),
        "unit": entry.unit,
        "scale": entry.scale,
        "direction": entry.direction,
        "draws": "one (deterministic)" if entry.deterministic else "random",
        "source": entry.source,
    }


def _criterion_facts(entry: Any) -> dict[str, Any]:
    return {
        "what": entry.description,
        "formula": entry.formula,
        "track": entry.track,
        "needs": entry.needs,
        "cost": f"{entry.cost} forward passes of one example" if entry.cost else "not stated",
        "examples": f"at most {entry.examples}" if entry.examples else "as many as asked for",
        "source": entry.source,
    }


def _network_facts(entry: Any) -> dict[str, Any]:
    from safer_bench.networks.layers import candidate_weights

    weights = [(name, tuple(weight.shape)) for name, weight in candidate_weights(entry.build())]
    facts = {"dataset": entry.dataset, "family": entry.family, "split": entry.split, "n_layers": len(weights)}
    shapes = {name.removesuffix(".weight"): "x".join(map(str, shape)) for name, shape in weights}
    return facts | {f"layer {name}": shape for name, shape in shapes.items()}


def _metric_facts(entry: Any) -> dict[str, Any]:
    return {"what": entry.description}


_FACTS = {
    "networks": _network_facts,
    "perturbations": _perturbation_facts,
    "criteria": _criterion_facts,
    "metrics": _metric_facts,
}
