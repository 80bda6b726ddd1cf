"""A criterion of ours that runs as submitted code does: what goes wrong with it is not a submission's fault."""

from torch import nn

from safer_bench.criteria.passes.layers import Batches, layer_weights


def rehearsal(model: nn.Module, batches: Batches) -> dict[str, float]:
    """Return 1 for every layer."""
    return dict.fromkeys(layer_weights(model, batches), 1.0)
