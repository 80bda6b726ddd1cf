"""Networks made up for tests whose weights are in recurrent layers, tables, and matrices of the user's own."""

import torch
from torch import nn
from torch.nn import functional as F


class Recurrent(nn.Module):
    """A recurrent layer over 5 steps of 3 values, and a head."""

    def __init__(self, kind: type[nn.Module], **options: object) -> None:
        super().__init__()
        self.rnn = kind(3, 6, batch_first=True, **options)
        width = (options.get("proj_size") or 6) * (1 + bool(options.get("bidirectional")))
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Lstm(Recurrent):
    def __init__(self) -> None:
        super().__init__(nn.LSTM, num_layers=2)


class ProjectedLstm(Recurrent):
    def __init__(self) -> None:
        super().__init__(nn.LSTM, proj_size=2, bidirectional=True)


class Gru(Recurrent):
    def __init__(self) -> None:
        super().__init__(nn.GRU, bidirectional=True)


class Elman(Recurrent):
    def __init__(self) -> None:
        super().__init__(nn.RNN, nonlinearity="relu")


class Cells(nn.Module):
    """A loop over steps by cells of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru, self.rnn = nn.LSTMCell(3, 6), nn.GRUCell(6, 6), nn.RNNCell(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        h, c, g, r = (x.new_zeros(len(x), 6) for _ in range(4))
        for step in x.unbind(1):
            h, c = self.lstm(step, (h, c))
            g = self.gru(h, g)
            r = self.rnn(g, r)
        return self.head(r)


class Bilinears(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.head = nn.Bilinear(3, 2, 6), nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.pair(x[:, 0], x[:, 1, :2]).tanh())


class Bags(nn.Module):
    """An embedding bag, and a table of the user's own, looked up by what the images are."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.table = nn.EmbeddingBag(7, 6, mode="sum"), nn.Parameter(torch.randn(5, 6))
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        codes = x.mul(2).long().clamp(-2, 2) + 2
        return self.head(self.bag(codes[:, 0]) + self.table[codes[:, 1, 0]])


class Conv1D(nn.Module):
    """GPT-2's linear map: its weight is (in, out)."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(0.5 * torch.randn(n_inputs, n_outputs)), nn.Parameter(torch.zeros(n_outputs))

    def forward(self, x):
        return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


class Gpt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.proj = Conv1D(3, 8), Conv1D(8, 4)
        self.positions = nn.Embedding(5, 8)

    def forward(self, x):
        places = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        return self.proj(F.gelu(self.fc(x) + self.positions(places))).mean(1)


class Matrices(nn.Module):
    """A user's own matrices, multiplied in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.right = nn.Parameter(torch.randn(3, 5))
        self.left = nn.Parameter(torch.randn(6, 5))
        self.heads = nn.Parameter(torch.randn(2, 6, 7))
        self.batched = nn.Parameter(torch.randn(1, 14, 8))
        self.pieces = nn.ParameterList([torch.randn(5, 8), torch.randn(3, 8)])
        self.named = nn.ParameterDict({"up": torch.randn(2, 9), "down": torch.randn(8, 2)})
        self.kernel = nn.Parameter(torch.randn(4, 9))
        self.token, self.gate = nn.Parameter(torch.randn(1, 1, 3)), nn.Parameter(torch.randn(1, 5))

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = x @ self.right * self.gate
        x = torch.einsum("bni,hio->bnho", torch.tanh(x @ self.left.T), self.heads).flatten(2)
        x = torch.bmm(x.tanh(), self.batched.expand(len(x), -1, -1)).tanh()
        x = F.linear(x, torch.cat(list(self.pieces))).tanh()
        x = x @ (self.named["down"] @ self.named["up"])
        return F.conv1d(x.tanh(), self.kernel.view(4, 3, 3)[:, :, :].repeat(1, 2, 1)).mean(2)


class Standardised(nn.Conv1d):
    """A convolution whose weight is made zero on average at every pass."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2), keepdim=True)
        return F.conv1d(x, weight / weight.std((1, 2), keepdim=True), self.bias)


class Odd(nn.Module):
    """Weights that are computed entry by entry, low-rank updates, cast and reordered ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Standardised(5, 6, 2)
        self.base, self.down, self.up = (nn.Parameter(torch.randn(shape)) for shape in ((6, 8), (6, 2), (2, 8)))
        self.reordered = nn.Parameter(torch.randn(4, 8))
        self.register_buffer("order", torch.tensor([2, 0, 3, 1]))

    def forward(self, x):
        x = self.first(x).mean(2)
        x = x @ (self.base + 0.5 * self.down @ self.up)
        return F.linear(x.tanh(), self.reordered.double().to(x.dtype)[self.order])


class HandAttention(nn.Module):
    """Attention by hand with relative positions: one packed projection, cut in three."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Parameter(torch.randn(3, 18)), nn.Parameter(torch.randn(4, 6))
        self.relative = nn.Parameter(torch.randn(9, 1))
        self.register_buffer("offsets", torch.arange(5)[:, None] - torch.arange(5) + 4)

    def forward(self, x):
        q, k, v = (x @ part for part in self.qkv.split(6, 1))
        bias = self.relative[self.offsets].squeeze(-1)
        return ((q @ k.transpose(1, 2) + bias).softmax(-1) @ v).mean(1) @ self.out.t().contiguous()


KINDS = (Lstm, ProjectedLstm, Gru, Elman, Cells, Bilinears, Bags, Gpt, Matrices, Odd, HandAttention)
