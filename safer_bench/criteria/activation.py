"""What the activations around a layer say, without labels or gradients."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.activations import squared_inputs, statistics
from safer_bench.criteria.passes.layers import Batches, layer_weights


@criterion(
    needs="data",
    formula="mean y^2",
    source="Molchanov et al. 2017, arXiv 1611.06440 (activation criterion), squared",
    cost="N",
)
def activation_energy(model: nn.Module, batches: Batches) -> Scores:
    """Mean square of the layer's outputs."""
    return {name: found.output_energy for name, found in statistics(model, batches).items()}


@criterion(needs="data", formula="-(share of zeros in x)", source="Hu et al. 2016, arXiv 1607.03250 (APoZ)", cost="N")
def activation_sparsity(model: nn.Module, batches: Batches) -> Scores:
    """Negative share of zeros among the layer's inputs: an input that is mostly off makes weights redundant."""
    return {name: -found.input_zeros for name, found in statistics(model, batches).items()}


@criterion(
    needs="data",
    formula="sum_ij abs(W_ij) * norm2(X_j), X_j all values that input j takes, its norm divided by sqrt(N)",
    source="Sun et al. 2023, arXiv 2306.11695, equation 1, summed over the layer",
    cost="4*N",
)
def wanda(model: nn.Module, batches: Batches) -> Scores:
    """Magnitude of each weight times the norm of the input it meets, summed."""
    inputs = squared_inputs(model, batches)
    weights = layer_weights(model, batches)
    return {name: float((w.detach().double().abs() * inputs[name].sqrt()).sum()) for name, w in weights.items()}
