"""Plans made up for tests: of any network, without a measurement."""

from collections.abc import Mapping

from safer_bench.budget.plans.menu import PLANNED
from safer_bench.budget.plans.plan import Interval, Measured, Plan, PlannedLayer, Point, Source
from safer_bench.networks.layers import owners
from safer_bench.networks.network import Network

NOTHING = Interval(value=0.0, low=None, high=None)
POINT = Point(budget=0.5, spent=0.5, accuracy=NOTHING, drop=NOTHING)


def made_up_plan(
    network: Network, amounts: Mapping[str, float], task: str = "quantize", perturbation: str | None = None
) -> Plan:
    """Return a plan that gives each layer of ``network`` what ``amounts`` says by its name."""
    owning = [owners(network.model, layer.parameter) for layer in network.layers]
    return Plan(
        version=1,
        task=task,
        perturbation=perturbation or PLANNED[task][0],
        level=0.01 if task == "protect" else None,
        network=network.name,
        weights_sha256=network.weights_sha256,
        folded=None if network.folding is None else network.folding.into,
        activations="float32",
        source=Source(by="truth", truth_revision=None, protocol=""),
        max_drop=None,
        met=None,
        measured=Measured(
            n_examples=len(network.labels),
            draws=1,
            unchanged=NOTHING,
            chance=0.1,
            plan=POINT,
            curve=[POINT],
            uniform=[POINT],
            rounds=[],
        ),
        layers=[
            PlannedLayer(
                name=layer.name,
                parameter=layer.parameter,
                kind=kinds.pop(layer.parameter),
                tied=kinds,
                shape=list(layer.shape),
                output_axis=layer.output_axis,
                fan_in=layer.fan_in,
                amount=float(amounts[layer.name]),
                predicted_drop=None,
            )
            for layer, kinds in zip(network.layers, owning, strict=True)
        ],
    )
