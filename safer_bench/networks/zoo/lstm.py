"""Small recurrent networks over bytes (Hochreiter and Schmidhuber 1997): LSTM layers with shortcuts."""

from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


class LSTM(nn.Module):
    """LSTM layers, each around a shortcut: bytes ``(n, length)`` to logits ``(n, length, n_bytes)`` of what comes next."""

    def __init__(self, width: int, depth: int, n_bytes: int = 256) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_bytes, width)
        self.cells = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_bytes)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for cell in self.cells:
            x = x + cell(x)[0]
        return self.head(self.norm(x))


@network(dataset="text", family="lstm", class_axis=-1, recipe=Recipe(2, 64, "adamw", 4e-3, 0.01, bfloat16=True))
def text_lstm() -> nn.Module:
    """Four LSTM layers of 112 units, of two weights each: ten layers."""
    return LSTM(width=112, depth=4)
