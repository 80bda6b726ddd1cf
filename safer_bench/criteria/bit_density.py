"""How many bits of the stored codes are one."""

import numpy as np
from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, layer_weights


@criterion(
    formula="share of ones among the bits of round(W/s) as int8 (two's complement), s = max abs(W)/127",
    source="codes: Jacob et al. 2018, arXiv 1712.05877; bits: Rakin et al. 2019, arXiv 1903.12269",
    cost="0",
)
def bit_density(model: nn.Module, batches: Batches) -> Scores:
    """Share of the bits of the layer's 8-bit codes that are one."""
    scores = {}
    for name, weight in layer_weights(model, batches).items():
        values = weight.detach().double().cpu().numpy()
        step = np.abs(values).max() / 127 or 1.0
        scores[name] = float(np.unpackbits(np.rint(values / step).astype(np.int8).view(np.uint8)).mean())
    return scores
