"""What is kept of the unperturbed network on one slice of examples, moved on from layer to layer."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, fx

from safer_bench.measurement.answers.replay import LayerReplay, Replay, cast, select_examples
from safer_bench.networks.inputs import Inputs, parts_of


class CleanPass:
    """A slice of examples in batches, with the values that one layer's suffix reads, in the replay's first arithmetic.

    Args:
        replay: of the network.
        batches: the inputs in batches of two or more, where they are computed.
        n: examples of the slice; what is beyond them is padding.

    Attributes:
        sizes: examples of each batch.
    """

    def __init__(self, replay: Replay, batches: Sequence[Tensor | Inputs], n: int) -> None:
        self.replay, self.n = replay, n
        self.sizes = [len(batch) for batch in batches]
        self._inputs = [tuple(cast(part, replay.dtype) for part in parts_of(batch)) for batch in batches]
        self._kept: list[dict[fx.Node, Tensor]] = [{} for _ in batches]
        self._cast: dict[torch.dtype, list[tuple[Tensor, ...]]] = {}
        self._layer: LayerReplay | None = None

    def logits(self, dtype: torch.dtype | None = None) -> Tensor:
        """Run the unperturbed network on all examples: ``(n, n_classes, ...)``."""
        wanted = dtype or self.replay.dtype
        whole = self.replay.whole(wanted)
        of = self.replay.dtype
        given = ([cast(part, wanted, of) for part in parts] for parts in self._inputs)
        return torch.cat([whole(parts, size)[0] for parts, size in zip(given, self.sizes, strict=True)])[: self.n]

    def move_to(self, layer: LayerReplay) -> None:
        """Compute what the layer's suffix reads, from what is kept of the layer before where that helps."""
        if self._layer is layer:
            return
        bridge = self.replay.bridge(self._kept[0], layer.frontier)
        moved, self._layer, self._cast = [], None, {}
        for before, parts, size in zip(self._kept, self._inputs, self.sizes, strict=True):
            known = before | dict(zip(self.replay.traced.inputs, parts, strict=True))
            values = bridge([known[node] for node in bridge.inputs], size)
            moved.append(dict(zip(layer.frontier, values, strict=True)))
        self._kept, self._layer = moved, layer  # together, so that an interrupt leaves nothing between two layers

    def run(self, layer: LayerReplay, weight: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return the logits ``(n, n_classes, ...)`` of the network with a layer's weight replaced."""
        wanted = dtype or self.replay.dtype
        prepared, suffix = layer.prepared(weight, wanted), layer.suffixes[wanted]
        batches = zip(self.frontiers(layer, wanted), self.sizes, strict=True)
        return torch.cat([suffix((*prepared, *kept), size)[0] for kept, size in batches])[: self.n]

    def run_some(self, layer: LayerReplay, weight: Tensor, rows: Tensor) -> Tensor:
        """Return the logits of some examples, given by number in ascending order, in the first arithmetic."""
        if not layer.selects:
            return self.run(layer, weight)[rows]
        prepared, suffix = layer.prepared(weight, self.replay.dtype), layer.suffixes[self.replay.dtype]
        chunks = rows.tensor_split(-(-len(rows) // self.sizes[0]))
        return torch.cat([suffix((*prepared, *self._chosen(layer, c)), max(2, len(c)))[0][: len(c)] for c in chunks])

    def frontiers(self, layer: LayerReplay, dtype: torch.dtype) -> list[tuple[Tensor, ...]]:
        """Return what a suffix in an arithmetic reads, batch by batch; kept for the next weight of the layer."""
        self.move_to(layer)
        if dtype not in self._cast:
            of = self.replay.dtype
            self._cast[dtype] = [tuple(cast(value, dtype, of) for value in kept.values()) for kept in self._kept]
        return self._cast[dtype]

    def _chosen(self, layer: LayerReplay, rows: Tensor) -> Iterator[Tensor]:
        """Yield what the suffix reads of some examples; of one it is given twice, since a graph takes two or more."""
        self.move_to(layer)
        wanted = rows if len(rows) > 1 else rows.repeat(2)
        by_batch, start = [], 0
        for parts, size in zip(self._inputs, self.sizes, strict=True):
            inside = wanted[(wanted >= start) & (wanted < start + size)]
            by_batch.append((inside - start).to(parts[0].device))
            start += size
        return (select_examples(node, [values[node] for values in self._kept], by_batch) for node in layer.frontier)
