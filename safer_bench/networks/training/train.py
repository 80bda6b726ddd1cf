"""The zoo's training: one recipe, resumable after every epoch, the same weights on the same machine and thread count."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.errors import BadInput
from safer_bench.networks import weights
from safer_bench.networks.data.parts import held_out, load_part
from safer_bench.networks.network import Examples
from safer_bench.networks.training.corruption import mix_gradients
from safer_bench.networks.zoo_network import Recipe, ZooNetwork
from safer_bench.tables import files

WARM_UP = 0.2  # share of the steps in which the learning rate rises


@dataclass(frozen=True, slots=True)
class Progress:
    """One finished epoch: mean training loss, accuracy on the part that ``held_out`` names, seconds since the start."""

    epoch: int
    loss: float
    accuracy: float
    seconds: float


def train(
    entry: ZooNetwork,
    out: Path,
    report: Callable[[Progress], None] = lambda _: None,
    finish: Callable[[], None] = lambda: None,
) -> Path:
    """Train a network of the zoo by its recipe and write its weights.

    Args:
        entry: the network.
        out: folder of the weights; a checkpoint lies beside them until the end.
        report: called after each epoch.
        finish: called when the weights are written; where it fails, training again goes on from there.

    Returns:
        The weights file, with recipe, digest and training log in its metadata.

    Raises:
        BadInput: the network has no recipe, or another command trains it there.
        MissingData: the examples are not on this machine.
    """
    if entry.recipe is None:
        raise BadInput(f"network {entry.name!r} has no training recipe")
    path = out / f"{entry.name}.safetensors"
    files.make_folder(out)
    refusal = f"{path}: another command trains it; wait for it, or name another folder"
    with files.locked(out / f".{entry.name}.lock", refusal):
        run = _Run(entry, entry.recipe, out / f"{entry.name}.checkpoint")
        for epoch in range(run.epoch, entry.recipe.epochs):
            report(run.train_epoch(epoch))
            run.save()
        weights.write_weights(path, run.model.eval(), run.metadata())
        finish()
        files.remove(run.checkpoint)
    return path


class _Run:
    """Model, optimizer and log of one training, restored from the checkpoint where there is one."""

    def __init__(self, entry: ZooNetwork, recipe: Recipe, checkpoint: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.checkpoint, self.class_axis = recipe, checkpoint, entry.class_axis
        self.model = entry.build().to(memory_format=torch.channels_last)
        self.optimizer = _optimizer(self.model, recipe)
        self.fit = load_part(entry.dataset, "fit")
        self.held_out = load_part(entry.dataset, held_out(entry.dataset))
        self.epoch, self.log = 0, []  # type: int, list[Progress]
        if checkpoint.is_file():
            self._restore()

    def _restore(self) -> None:
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, weights_only=True)
            ours = state["recipe_sha256"] == self.recipe.sha256
            if ours:
                self.model.load_state_dict(state["model"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.log = [Progress(**item) for item in state["log"]]
                _check_log(self.log, self.recipe.epochs)
        except Exception as error:  # torch raises whatever its unpickler meets
            raise BadInput(f"{self.checkpoint}: damaged ({type(error).__name__}); remove it to start again") from error
        if not ours:
            raise BadInput(f"{self.checkpoint}: belongs to another recipe; remove it to start again")
        self.epoch = len(self.log)

    def save(self) -> None:
        """Write the checkpoint, complete or not at all."""
        data = BytesIO()
        state = {"recipe_sha256": self.recipe.sha256, "log": [asdict(item) for item in self.log]}
        torch.save(state | {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}, data)
        files.write_bytes(self.checkpoint, data.getvalue())

    def train_epoch(self, epoch: int) -> Progress:
        """Train one epoch; its data order and augmentation depend on the seed and the epoch alone."""
        started, generator = time.monotonic(), torch.Generator().manual_seed(self.recipe.seed * 10_000 + epoch)
        n_steps, total = len(self.fit[1]) // self.recipe.batch_size, 0.0
        self.model.train()
        for step, (inputs, labels) in enumerate(_batches(self.fit, self.recipe, generator)):
            rate = learning_rate(self.recipe, (epoch * n_steps + step) / (self.recipe.epochs * n_steps))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            total += self._step(inputs, labels, generator)
        before = self.log[-1].seconds if self.log else 0.0
        seconds, share = before + time.monotonic() - started, accuracy(self.model, self.held_out, self.class_axis)
        self.log.append(Progress(epoch + 1, total / n_steps, share, seconds))
        return self.log[-1]

    def _step(self, inputs: Tensor, labels: Tensor, generator: torch.Generator) -> float:
        loss = self._loss(inputs, labels)
        self.optimizer.zero_grad()
        loss.backward()
        if self.recipe.corruption:
            mix_gradients(self.model, lambda: self._loss(inputs, labels), self.recipe.corruption, generator)
        self.optimizer.step()
        return loss.item()

    def _loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.recipe.bfloat16):
            logits = self.model(inputs)
        return F.cross_entropy(logits.float().movedim(self.class_axis, -1).flatten(0, -2), labels.flatten())

    def metadata(self) -> dict[str, str]:
        """Return what the weights file tells about its training; safetensors takes strings only."""
        return {
            "recipe": json.dumps(self.recipe.settings, sort_keys=True),
            "recipe_sha256": self.recipe.sha256,
            "log": json.dumps([asdict(item) for item in self.log]),
            "torch": torch.__version__,
            "threads": str(torch.get_num_threads()),
        }


def _check_log(log: list[Progress], epochs: int) -> None:
    """Refuse a log that is not of the first epochs, one after the other."""
    numbers = [(item.loss, item.accuracy, item.seconds) for item in log]
    if [item.epoch for item in log] != list(range(1, len(log) + 1)) or not 0 < len(log) <= epochs:
        raise ValueError("epochs")
    if not all(type(number) is float for row in numbers for number in row):
        raise ValueError("numbers")


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the one-cycle rate after a share ``progress`` of all steps: linear rise, cosine fall to zero."""
    if progress < WARM_UP:
        return recipe.peak_rate * (0.04 + 0.96 * progress / WARM_UP)
    return recipe.peak_rate * 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.peak_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=recipe.peak_rate)


def _batches(fit: Examples, recipe: Recipe, generator: torch.Generator) -> Iterator[Examples]:
    inputs, labels = fit
    order = torch.randperm(len(labels), generator=generator)
    for start in range(0, len(order) - recipe.batch_size + 1, recipe.batch_size):
        rows = order[start : start + recipe.batch_size]
        chosen = inputs[rows]
        yield augment(chosen, recipe, generator) if recipe.shift or recipe.flip else chosen, labels[rows]


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Shift and mirror each image of ``(n, channels, height, width)`` at random; what moves in is background."""
    n, height, width = len(images), images.shape[2], images.shape[3]
    moves = torch.randint(-recipe.shift, recipe.shift + 1, (2, n, 1), generator=generator)
    rows = torch.arange(height) + moves[0] + recipe.shift
    columns = torch.arange(width) + moves[1] + recipe.shift
    if recipe.flip:
        mirrored = torch.rand((n, 1), generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(images, (recipe.shift,) * 4, value=float(images.min()))
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def accuracy(model: nn.Module, examples: Examples, class_axis: int = 1, batch_size: int = 250) -> float:
    """Return the share of answers that the model, set to evaluation mode, gets right.

    Args:
        model: maps inputs to logits.
        examples: inputs ``(n, ...)`` and labels ``(n, *positions)``, each of which is one answer.
        class_axis: of the logits that runs over classes.
        batch_size: examples at a time.
    """
    model.eval()
    batches = zip(*(tensor.split(batch_size) for tensor in examples), strict=True)
    right = sum(int((model(inputs).argmax(class_axis) == labels).sum()) for inputs, labels in batches)
    return right / examples[1].numel()
