"""Small models whose computation a replay could get wrong: how each may be measured, and why not by replay where it may not."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

N_CLASSES = 4
NOT_READ = "no logit depends on it, as far as the trace tells"
BATCH = "its answer to an example depends on the other examples of the batch"
AGAIN = "it answers the same examples differently the second time"
EXPORT = "torch.export: "


class Convolutions(nn.Module):
    """Three convolutions and a head on images (n, 2, 6, 6); cases differ in how the middle is computed."""

    image_shape: tuple[int, ...] = (2, 6, 6)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.c, self.head = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, N_CLASSES)

    def forward(self, x):
        return self.head(self.middle(torch.relu(self.a(x))).mean((2, 3)))

    def middle(self, h):
        return torch.relu(self.c(torch.relu(self.b(h))))


class Vectors(nn.Module):
    """Linear layers on images (n, 8)."""

    image_shape: tuple[int, ...] = (8,)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, N_CLASSES)

    def forward(self, x):
        return self.head(self.middle(torch.relu(self.a(x))))

    def middle(self, h):
        return torch.relu(self.c(torch.relu(self.b(h))))


class AModuleCalledTwice(Convolutions):
    def middle(self, h):
        return self.c(torch.relu(self.b(torch.relu(self.b(h)))))


class TheSameModuleUnderTwoNames(Convolutions):
    def __init__(self):
        super().__init__()
        self.c = self.b


class TwoModulesShareAWeight(Convolutions):
    def __init__(self):
        super().__init__()
        self.c.weight = self.b.weight


class ADecoderTiedToItsEncoder(Vectors):
    def middle(self, h):
        return F.linear(torch.relu(self.b(h)), self.b.weight.t())


class InPlaceAdditionAndRelu(Convolutions):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def middle(self, h):
        y = self.b(h)
        z = self.act(y)
        z += h
        h.mul_(0.5)
        return self.c(z).add_(h).relu_() + y


class AViewIsWrittenTo(Convolutions):
    def middle(self, h):
        y = self.b(h)
        y[:, :3].relu_()
        y[:, 3:] = h[:, 3:]
        return self.c(y)


class AnotherModulesWeightIsReadBeforeItRuns(Vectors):
    def middle(self, h):
        early = F.linear(h, self.c.weight)
        return torch.relu(self.c(torch.relu(self.b(h)) + early))


class PackedAttention(Vectors):
    image_shape = (5, 8)

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        h = self.a(x)
        return self.head(self.b(h + self.attention(h, h, h)[0]).mean(1))


class ATransformerEncoder(Vectors):
    image_shape = (5, 8)

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x):
        return self.head(self.encoder(self.a(x)).mean(1))


class TimeComesFirst(Vectors):
    """nn.TransformerEncoder's default: (time, examples, features)."""

    image_shape = (5, 8)

    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16)

    def forward(self, x):
        return self.head(self.encoder(self.a(x).transpose(0, 1)).mean(0))


class Split(nn.Module):
    def forward(self, h):
        return {"halves": [h[:, :3], h[:, 3:]], "shape": (h.shape[2], h.shape[3]), "name": "h"}


class Join(nn.Module):
    def forward(self, parts):
        left, right = parts["halves"]
        return torch.cat([right, left], 1) * parts["shape"][0], parts


class ContainersBetweenModules(Convolutions):
    def __init__(self):
        super().__init__()
        self.split, self.join = Split(), Join()

    def middle(self, h):
        y, parts = self.join(self.split(self.b(h)))
        return self.c(y) + torch.cat(parts["halves"], 1)


class DropoutReturnsItsInput(Convolutions):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def middle(self, h):
        y = self.drop(h)
        return self.c(self.drop(self.b(y)).relu_()) + y.mul_(0.5)


class ABufferIsReused(Convolutions):
    def __init__(self):
        super().__init__()
        self.register_buffer("offset", torch.linspace(-1, 1, 6).reshape(6, 1, 1))

    def middle(self, h):
        return self.c(torch.relu(self.b(h + self.offset))) * self.offset


class ABufferIsWrittenTo(Convolutions):
    def __init__(self):
        super().__init__()
        self.register_buffer("n_calls", torch.zeros(()))

    def middle(self, h):
        self.n_calls += 1
        return super().middle(h)


class Remember(nn.Module):
    def forward(self, h):
        self.seen = h
        return h


class AnAttributeCarriesAValue(Convolutions):
    """One module leaves a value in an attribute, another reads it."""

    def __init__(self):
        super().__init__()
        self.remember = Remember()

    def middle(self, h):
        self.remember(torch.relu(self.b(h)))
        return self.c(h) + self.remember.seen


class AnAttributeCarriesAValueOfTheLastCall(Convolutions):
    def __init__(self):
        super().__init__()
        self.n_calls = 0

    def middle(self, h):
        self.n_calls += 1
        return super().middle(h * (1 + 1e-12 * self.n_calls))


class ATableIsMadeAtTheFirstCall(Convolutions):
    def __init__(self):
        super().__init__()
        self.table = None

    def middle(self, h):
        if self.table is None or self.table.shape[-1] != h.shape[-1]:
            self.table = torch.linspace(0, 1, h.shape[-1])
        return self.c(torch.relu(self.b(h)) * self.table)


class TheBatchIsCentred(Convolutions):
    def middle(self, h):
        return super().middle(h - h.mean(0))


class StatisticsOfTheBatch(Convolutions):
    def middle(self, h):
        return self.c(F.batch_norm(self.b(h), None, None, training=True))


class ImagesAreChangedInPlace(Convolutions):
    def forward(self, x):
        x.clamp_(-1, 1).mul_(2)
        return super().forward(x / 2)


class RandomNoise(Convolutions):
    def middle(self, h):
        return super().middle(h + torch.rand_like(h))


class DropoutThatDrops(Convolutions):
    def middle(self, h):
        return super().middle(F.dropout(h, 0.5, training=True))


class AFixedTypeInTheMidst(Vectors):
    def middle(self, h):
        return super().middle(h.float())


class ANormInSinglePrecision(Vectors):
    """As RMS norms of language models cast."""

    def middle(self, h):
        wide = h.to(torch.float32)
        return super().middle(
            (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True, dtype=torch.float32) + 1e-6)).to(h.dtype)
        )


class ANormWithTheEpsilonOfItsType(Vectors):
    """Left out, torch takes the epsilon of the type: 1e-7 in float32, 2e-16 in float64. Small values tell them apart."""

    def middle(self, h):
        return super().middle(nn.functional.rms_norm(3e-5 * h, (8,)))


class AClampByTheEpsilonOfItsType(Vectors):
    def middle(self, h):
        return super().middle(1e7 * (1e-7 * h).clamp(min=torch.finfo(h.dtype).eps))


class ASimilarityChecksTypes(Vectors):
    """Its trace holds assertions of the types that were traced."""

    def middle(self, h):
        return super().middle(h * nn.functional.cosine_similarity(h, self.b(h), dim=1).unsqueeze(1))


class ATableOfAFixedType(Vectors):
    def middle(self, h):
        return super().middle(h @ torch.eye(8))


class TheSameRandomNoiseEachTime(Convolutions):
    def middle(self, h):
        noise = torch.randn(6, 1, 1, generator=torch.Generator().manual_seed(0))
        return super().middle(h + noise)


class ControlFlowByValues(Convolutions):
    def middle(self, h):
        return super().middle(h) if h.abs().sum() >= 0 else self.b(h)


class ControlFlowByTheBatch(Convolutions):
    def middle(self, h):
        return super().middle(h) if h.sum() > 190 else self.b(h)


class ControlFlowByAWeight(Convolutions):
    def middle(self, h):
        return super().middle(h) if self.b.weight.max() > 0 else self.b(h)


class ControlFlowByTheNumberOfExamples(Convolutions):
    def middle(self, h):
        return super().middle(h) if len(h) < 1000 else self.b(h)


class AWeightIsNeverRead(Convolutions):
    def middle(self, h):
        return torch.relu(self.b(h))


class ACachedCopyOfAWeightIsRead(Convolutions):
    def __init__(self):
        super().__init__()
        self.copy = None

    def middle(self, h):
        if self.copy is None:
            self.copy = self.b.weight.detach() * 2
        return self.c(torch.relu(F.conv2d(h, self.copy.to(h.dtype), padding=1)))


class AWeightIsReadThroughAView(Vectors):
    def middle(self, h):
        return torch.relu(h @ self.b.weight.t().reshape(8, 8)[:, :8] + self.c(h))


class AnAuxiliaryHeadIsDropped(Convolutions):
    def __init__(self):
        super().__init__()
        self.auxiliary = nn.Linear(6, N_CLASSES)

    def middle(self, h):
        self.auxiliary(h.mean((2, 3)))
        return super().middle(h)


class AnAuxiliaryHeadTimesZero(AnAuxiliaryHeadIsDropped):
    def forward(self, x):
        h = torch.relu(self.a(x))
        return self.head(self.middle(h).mean((2, 3))) + 0 * self.auxiliary(h.mean((2, 3)))


class TransposedAndGroupedConvolutions(Convolutions):
    def __init__(self):
        super().__init__()
        self.b = nn.ConvTranspose2d(6, 6, 3, stride=2)
        self.c = nn.Conv2d(6, 6, 3, groups=3)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6, dilation=2, padding_mode="circular", padding=2)
        self.norm = nn.BatchNorm2d(6)

    def middle(self, h):
        return F.relu6(self.norm(self.depthwise(self.c(torch.relu(self.b(h))))))


class ConvolutionsOfSequences(nn.Module):
    image_shape = (3, 11)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(3, 6, 3), nn.Conv1d(6, 6, 3, groups=2)
        self.norm, self.up, self.head = nn.BatchNorm1d(6), nn.ConvTranspose1d(6, 4, 3), nn.Linear(4, N_CLASSES)

    def forward(self, x):
        return self.head(self.up(torch.relu(self.norm(self.b(torch.relu(self.a(x)))))).mean(2))


class ConvolutionsOfVolumes(nn.Module):
    image_shape = (1, 4, 6, 5)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Conv3d(1, 4, 3), nn.Conv3d(4, 4, 2), nn.Linear(4, N_CLASSES)
        self.norm = nn.BatchNorm3d(4)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.b(torch.relu(self.a(x))))).mean((2, 3, 4)))


class WordsAsImages(nn.Module):
    image_shape = (6,)

    def __init__(self):
        super().__init__()
        self.words, self.b, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, N_CLASSES)

    def forward(self, x):
        return self.head(torch.relu(self.b(self.words(x.abs().long().clamp(max=19)))).mean(1))


class AStandardisedWeight(Convolutions):
    def middle(self, h):
        weight = self.b.weight
        weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / weight.std((1, 2, 3), keepdim=True)
        return torch.relu(self.c(torch.relu(F.conv2d(h, weight, self.b.bias, padding=1))))


class AWeightScaledByAPythonNumber(Convolutions):
    def middle(self, h):
        return self.c(torch.relu(self.b(h)) / float(self.b.weight.detach().abs().max()))


class DataOfAValueIsWrittenTo(Convolutions):
    def middle(self, h):
        y = self.b(h)
        y.data.relu_()
        y.data[:, 0] = 0.5
        return self.c(y)


class DataOfAWeightIsWrittenTo(Convolutions):
    def middle(self, h):
        self.b.weight.data.clamp_(-0.3, 0.3)
        return super().middle(h)


class ARoundTripThroughNumpy(Convolutions):
    def middle(self, h):
        return super().middle(torch.from_numpy(np.maximum(h.numpy(), 0.1)))


class BothMirrorImagesInOneBatch(Convolutions):
    """The two answers to an image do not lie next to each other."""

    def forward(self, x):
        both = super().forward(torch.cat([x, x.flip(3)]))
        return both[: len(x)] + both[len(x) :]


class ExamplesInReverse(Convolutions):
    """Inside, example i stands where example n - 1 - i did."""

    def middle(self, h):
        return super().middle(h.flip(0)).flip(0)


class ChosenExamplesTakeAnotherWay(Vectors):
    """The number of examples on the way depends on values; the first ones all take it."""

    def forward(self, x):
        h = torch.relu(self.a(x))
        chosen = x.abs().amax(1) < 2
        h = h.index_put((chosen,), torch.relu(self.b(h[chosen])))
        return self.head(torch.relu(self.c(h)))


class PartsInSinglePrecision(Convolutions):
    def middle(self, h):
        y = self.b(h).float().softmax(1).to(h.dtype)
        return self.c(h.to(torch.float64).mul(2).to(h.dtype) + y)


class HiddenStepsOfAutograd(Vectors):
    def middle(self, h):
        with torch.enable_grad():
            h = h.detach().requires_grad_()
            energy = torch.tanh(self.b(h)).sum()
            step = torch.autograd.grad(energy, h)[0]
        return self.c(h - step)


class AHookChangesAValue(Convolutions):
    def __init__(self):
        super().__init__()
        self.b.register_forward_hook(lambda module, args, output: output.relu() + 0.1)
        self.c.register_forward_pre_hook(lambda module, args: (args[0] * 2,))


class OnlyOutliersChangeTheOthers(Vectors):
    """Only the last image is large enough to change the answers to others of its batch."""

    def forward(self, x):
        return super().forward(x - 10 * x.mean(0) * torch.relu(x.abs().max() - 2.5))


class Signs(nn.Module):
    """Rounding moves values on a lattice over the jump of the next sign: rarely, and then by much."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(36, 24, bias=False), nn.Linear(24, 24, bias=False), nn.Linear(24, 10)

    def forward(self, x):
        return self.head(torch.sign(self.b(torch.sign(self.a(x.flatten(1))))))


SPECIALISED = "its computation depends on the number of examples"  # the graph would hold for one number of examples
BY_VALUE = EXPORT + "GuardOnDataDependentSymNode: Could not guard on data-dependent expression"
UNSEEN = EXPORT + "RuntimeError: We found a fake tensor in the exported program constant's list."
REPLAYED = [
    AModuleCalledTwice,
    TheSameModuleUnderTwoNames,
    TwoModulesShareAWeight,
    ADecoderTiedToItsEncoder,
    InPlaceAdditionAndRelu,
    AViewIsWrittenTo,
    AnotherModulesWeightIsReadBeforeItRuns,
    ContainersBetweenModules,
    DropoutReturnsItsInput,
    ABufferIsReused,
    AnAttributeCarriesAValue,
    ATableIsMadeAtTheFirstCall,
    ImagesAreChangedInPlace,
    AWeightIsReadThroughAView,
    AnAuxiliaryHeadTimesZero,
    TransposedAndGroupedConvolutions,
    ConvolutionsOfSequences,
    ConvolutionsOfVolumes,
    WordsAsImages,
    AStandardisedWeight,
    PartsInSinglePrecision,
    AFixedTypeInTheMidst,
    ANormInSinglePrecision,
    ANormWithTheEpsilonOfItsType,
    AClampByTheEpsilonOfItsType,
    ASimilarityChecksTypes,
    AHookChangesAValue,
    PackedAttention,
    ATransformerEncoder,
    TimeComesFirst,
    ExamplesInReverse,
]
UNUSED = {AWeightIsNeverRead: "c", ACachedCopyOfAWeightIsRead: "b"}
PARTLY = {AnAuxiliaryHeadIsDropped: {"auxiliary": NOT_READ}}  # layers measured by whole passes
WHOLE = {
    ABufferIsWrittenTo: "the model writes to its own state (n_calls)",
    AnAttributeCarriesAValueOfTheLastCall: AGAIN,
    TheBatchIsCentred: BATCH,
    StatisticsOfTheBatch: BATCH,
    TheSameRandomNoiseEachTime: "the model draws random numbers (aten.randn.generator)",
    ControlFlowByValues: BY_VALUE,
    ControlFlowByTheBatch: BY_VALUE,
    ControlFlowByAWeight: BY_VALUE,
    AWeightScaledByAPythonNumber: BY_VALUE,
    ControlFlowByTheNumberOfExamples: SPECIALISED,
    BothMirrorImagesInOneBatch: SPECIALISED,
    DataOfAValueIsWrittenTo: UNSEEN,
    DataOfAWeightIsWrittenTo: UNSEEN,
    HiddenStepsOfAutograd: UNSEEN,
    ARoundTripThroughNumpy: EXPORT + "RuntimeError: .numpy() is not supported for tensor subclasses.",
}
