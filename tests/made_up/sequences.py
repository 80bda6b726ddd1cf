"""Networks of several inputs or several answers an example: taggers, language models, segmenters, all untrained."""

import torch
from torch import nn
from torch.nn import functional as F

from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.network import Network

N_EVALUATION, N_CALIBRATION, LENGTH, WORDS, TAGS = 40, 40, 10, 20, 5
N_ALL = N_EVALUATION + N_CALIBRATION


class Tagger(nn.Module):
    """An LSTM that tags each word; logits have their classes on the last axis."""

    def __init__(self):
        super().__init__()
        self.words, self.lstm, self.tags = nn.Embedding(WORDS, 12), nn.LSTM(12, 12, batch_first=True), nn.Linear(12, TAGS)

    def forward(self, ids):
        return self.tags(self.lstm(self.words(ids))[0])


class Attention(nn.Module):
    """One block of fused attention: causal, or over what a mask of zeros and ones leaves; answers in an object."""

    def __init__(self):
        super().__init__()
        self.words, self.norm, self.head = nn.Embedding(WORDS, 16), nn.LayerNorm(16), nn.Linear(16, WORDS)
        self.q, self.k, self.v, self.project = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, ids, mask=None):
        x = self.words(ids)
        h = self.norm(x)
        q, k, v = (part(h).view(*ids.shape, 4, 4).transpose(1, 2) for part in (self.q, self.k, self.v))
        allowed = None if mask is None else mask[:, None, None, :] > 0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, is_causal=mask is None)
        return Answer(self.head(x + self.project(attended.transpose(1, 2).flatten(2))))


class Answer:
    """What models of transformers return, more or less."""

    def __init__(self, logits):
        self.logits = logits


class TwoInputs(nn.Module):
    """An image-like and a whole-number input, the latter by name; answers in a dictionary."""

    def __init__(self):
        super().__init__()
        self.values, self.kinds, self.head = nn.Linear(6, 16), nn.Embedding(7, 16), nn.Linear(16, 3)

    def forward(self, values, *, kind):
        return {"classes": self.head(torch.relu(self.values(values) + self.kinds(kind)))}


class Segmenter(nn.Module):
    """A class for each pixel, beside features."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, images):
        features = torch.relu(self.first(images))
        return self.last(features), features


def networks():
    """Return the networks by name; of three some answers do not count, of two their number differs by example."""
    draw = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    ids = torch.randint(0, WORDS, (N_ALL, LENGTH), generator=draw)
    lengths = torch.randint(3, LENGTH + 1, (N_ALL, 1), generator=draw)
    mask = (torch.arange(LENGTH) < lengths).long()
    values, kind = torch.randn(N_ALL, 6, generator=draw), torch.randint(0, 7, (N_ALL,), generator=draw)
    images = torch.randn(N_ALL, 1, 6, 6, generator=draw)
    return {
        "tagger": _network("tagger", Tagger(), ids, class_axis=-1, counted=mask > 0),
        "causal": _network("causal", Attention(), ids, class_axis=-1),
        "masked": _network("masked", Attention(), {"ids": ids, "mask": mask}, class_axis=-1, counted=mask > 0),
        "two_inputs": _network("two_inputs", TwoInputs(), {"values": values, "kind": kind}, output=classes),
        "segmenter": _network("segmenter", Segmenter(), images, counted=images[:, 0] > -1),
    }


def classes(returned):
    """Take the logits out of a dictionary."""
    return returned["classes"]


def _network(name, model, inputs, *, counted=None, **how):
    """Return a network whose labels are its own answers, a fifth of them changed."""
    model.eval()
    part = lambda rows: {key: value[rows] for key, value in inputs.items()} if isinstance(inputs, dict) else inputs[rows]  # noqa: E731
    with torch.no_grad():
        returned = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    logits = classes(returned) if isinstance(returned, dict) else getattr(returned, "logits", returned)
    logits = logits[0] if isinstance(logits, tuple) else logits
    labels = logits.argmax(how.get("class_axis", 1))
    changed = torch.rand(labels.shape, generator=torch.Generator().manual_seed(4)) < 0.2
    labels = torch.where(changed, (labels + 1) % 3, labels)
    labels = labels if counted is None else labels.masked_fill(~counted, NOT_COUNTED)
    evaluation, calibration = slice(N_EVALUATION), slice(N_EVALUATION, N_ALL)
    given = part(calibration), labels[calibration]
    return Network(model, part(evaluation), labels[evaluation], name=name, calibration=given, **how)
