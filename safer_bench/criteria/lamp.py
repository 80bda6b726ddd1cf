"""What magnitude pruning with layers adapted to would leave of each layer."""

import torch
from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, layer_weights

KEPT = 0.1  # of all weights


@criterion(
    formula="share of the layer among the 10 % of all weights with the largest W_u^2 / (W_u^2 + those sorted above it)",
    source="Lee et al. 2021, arXiv 2010.07611",
    cost="0",
)
def lamp_share(model: nn.Module, batches: Batches) -> Scores:
    """Share of a layer's weights that survive when the network is pruned to a tenth by LAMP scores."""
    scores = {}
    for name, weight in layer_weights(model, batches).items():
        squares = weight.detach().double().square().flatten().sort(descending=True).values
        scores[name] = squares / squares.cumsum(0).clamp_min(torch.finfo(torch.float64).tiny)
    everything = torch.cat(list(scores.values()))
    threshold = everything.topk(max(1, round(KEPT * len(everything)))).values[-1]
    return {name: float((each >= threshold).double().mean()) for name, each in scores.items()}
