"""How many bits of the stored codes are one."""

import numpy as np
from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights
from safer_bench.perturbations.quantize import codes


@criterion(
    formula="share of ones among the bits of the int8 codes (two's complement)",
    source="codes: Jacob et al. 2018, arXiv 1712.05877; bits: Rakin et al. 2019, arXiv 1903.12269",
    cost="0",
)
def bit_density(model: nn.Module, batches: Batches) -> Scores:
    """Share of the bits of the layer's 8-bit codes that are one."""
    scores = {}
    for name, weight in layer_weights(model, batches).items():
        stored = codes(weight.detach().double().cpu().numpy(), 8).astype(np.int8).view(np.uint8)
        scores[name] = float(np.unpackbits(stored).mean())
    return scores
