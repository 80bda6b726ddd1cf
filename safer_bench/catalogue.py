"""What there is: names and facts of networks, perturbations, criteria and metrics, with or without torch."""

from typing import Any, cast

from safer_bench.errors import BadInput, MissingData, UnknownName, has_torch
from safer_bench.packages import NOUNS, Kind, Offer, left_out, offers
from safer_bench.registry import look_up, suggestion
from safer_bench.tables.controls import ADDED

OF_FOLDED = ("kind", "name", "package", "loads", "dataset", "family", "split", "n_layers")  # facts that folding leaves
KINDS = ("networks", "perturbations", "criteria", "metrics")


def list_entries(kind: str) -> list[str]:
    """Return the names of all entries of a kind, built-in ones first, then those of installed packages.

    Args:
        kind: ``networks``, ``perturbations``, ``criteria`` or ``metrics``. Without torch, built-in networks and criteria are
            those of the dataset tree in ``data_cards/safer-bench``.

    Raises:
        BadInput: there is no such kind.
    """
    built_in = _entries(kind)
    return [*built_in, *_offers(kind, built_in)]


def not_listed(kind: str) -> list[str]:
    """Return a sentence for each entry that an installed package offers and that cannot be had."""
    return left_out(cast(Kind, kind), _entries(kind)) if kind in NOUNS else []


def unread() -> str | None:
    """Say why built-in networks or criteria are not known here, and how to get them; None where they are."""
    if has_torch():
        return None
    from safer_bench.dataset.tree import load_tree

    try:
        tree = load_tree()
    except MissingData as error:
        reason = str(error)
    else:
        missing = [name for name in ("networks", "criteria") if name not in tree]
        if not missing:
            return None
        reason = f"{tree.path} has no table {missing[0]!r}"
    return (
        f"without torch, built-in networks and criteria are those of a dataset tree: {reason}. "
        'Or install the torch half, which knows them all: pip install "safer-bench[measure]"'
    )


def _offers(kind: str, built_in: dict[str, Any]) -> dict[str, Offer]:
    return offers(cast(Kind, kind), built_in) if kind in NOUNS else {}


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
    found = {row[column]: {("architecture" if key == "kind" else key): value for key, value in row.items()} for row in rows}
    for layer in tree["layers"].to_pylist() if kind == "networks" else ():
        found[layer["network"]][f"layer {layer['layer']}"] = layer["weight_shape"]
    return found


def describe(name: str) -> dict[str, Any]:
    """Return what is known of an entry of any kind or of an added control, as ordered facts; ``kind`` comes first.

    A network is known as ``NAME_folded``, too, by what folding leaves as it is.

    Raises:
        UnknownName: no entry of any kind has that name.
        BadInput: it is a package's, and broken.
    """
    from safer_bench.tables.columns import FOLDED  # here, since it imports pyarrow

    built_in = {kind: _entries(kind) for kind in KINDS}
    everything: dict[str, tuple[str, Any]] = {
        key: (kind, offer) for kind in KINDS for key, offer in _offers(kind, built_in[kind]).items()
    }
    everything |= {name: ("added control", facts) for name, facts in ADDED.items()}
    everything |= {key: (kind, entry) for kind in KINDS for key, entry in built_in[kind].items()}
    stem = name.removesuffix(FOLDED)
    if name not in everything and stem != name and everything.get(stem, ("",))[0] == "networks":
        facts = {key: value for key, value in describe(stem).items() if key in OF_FOLDED or key.startswith("layer ")}
        return facts | {"name": name, "batch_norms": "folded, where they follow a layer"}
    try:
        kind, entry = look_up(everything, name, "entry")
    except UnknownName as error:
        why = unread()
        raise UnknownName(f"{error}. But {why}" if why else str(error)) from error
    facts = _offered_facts(entry) if isinstance(entry, Offer) else entry if isinstance(entry, dict) else _FACTS[kind](entry)
    return {"kind": kind, "name": name} | facts


def _offered_facts(offer: Offer) -> dict[str, Any]:
    """Return what is known of a package's entry; without torch, of a criterion or network where it comes from."""
    where = {"package": offer.package, "loads": offer.target}
    if offer.kind == "perturbations":
        from safer_bench.perturbations.loading import perturbation_called

        return _perturbation_facts(perturbation_called(offer.name)) | where
    if not has_torch():
        return where
    if offer.kind == "criteria":
        from safer_bench.criteria.loading import parse_criterion

        return _criterion_facts(parse_criterion(offer.name)) | where
    from safer_bench.networks.loading import load_network

    return _facts_of_network(load_network(offer.name)) | where


def _perturbation_facts(entry: Any) -> dict[str, Any]:
    return {
        "what": entry.description,
        "use_case": entry.use_case.replace("_", " ") or "none: it is only compared with another",
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
        "needs": entry.needs or "not stated",
        "cost": f"{entry.cost} forward passes of one example" if entry.cost else "not stated",
        "examples": f"at most {entry.examples}" if entry.examples else "as many as asked for",
        "source": entry.source,
    }


def _network_facts(entry: Any) -> dict[str, Any]:
    return _facts_of_network(entry, entry.build())


def _facts_of_network(entry: Any, model: Any = None) -> dict[str, Any]:
    from safer_bench.networks.layers import candidate_weights

    weights = [(name, tuple(weight.shape)) for name, weight in candidate_weights(model or entry.model)]
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
