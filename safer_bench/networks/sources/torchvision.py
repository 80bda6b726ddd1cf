"""``torchvision:NAME[@CHECKPOINT]``: a classifier or a segmentation network of torchvision, with its weights' transforms."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from safer_bench.errors import needs_package
from safer_bench.networks.sources.building import IMAGENET_CLASSES, built, unknown
from safer_bench.networks.sources.checkpoint import classes_in
from safer_bench.networks.sources.named import split_checkpoint
from safer_bench.networks.sources.pictures import as_pixels
from safer_bench.networks.sources.records import Foreign
from safer_bench.networks.sources.timm import imagenet_names


def load(what: str, n_classes_of_data: Callable[[], int | None]) -> Foreign:
    """Return a network of torchvision.

    Args:
        what: ``NAME`` for the default weights, ``NAME@FILE``, or ``NAME@random:SEED``.
        n_classes_of_data: how many classes a head at random gets; None for torchvision's own number.

    Raises:
        UnknownName: torchvision has no classifier or segmentation network of that name.
        BadInput: the checkpoint is none, or of another architecture.
        MissingData: the default weights are not to be had.
        MissingExtra: torchvision is not installed.
    """
    with needs_package("torchvision", "timm"):
        from torchvision import models
    name, at, checkpoint = split_checkpoint(what)
    where = f"torchvision:{name}"
    known = [*models.list_models(module=models), *models.list_models(module=models.segmentation)]
    if name not in known:
        raise unknown(where, name, known, "classifiers and segmentation networks of torchvision.models.list_models()")
    weights = models.get_model_weights(name).DEFAULT
    names = tuple(weights.meta["categories"])
    in_file = lambda state, model: classes_in(state, model.state_dict(), len(names))  # noqa: E731
    build, pretrained = partial(_build, name), partial(models.get_model, name, weights=weights)
    model, notes = built(checkpoint if at else None, where, build, n_classes_of_data, in_file, pretrained)
    return _foreign(model, where, weights, names, notes)


def _build(name: str, n_classes: int | None) -> nn.Module:
    from torchvision import models

    known = inspect.signature(models.get_model_builder(name)).parameters
    given: dict[str, Any] = {"weights": None} | ({} if n_classes is None else {"num_classes": n_classes})
    if "weights_backbone" in known:
        given["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        given["init_weights"] = True  # not said, it warns
    return models.get_model(name, **given)


def _foreign(model: nn.Module, where: str, weights: Any, names: tuple[str, ...], notes: tuple[str, ...]) -> Foreign:
    from torchvision import models

    segments = where.partition(":")[2] in models.list_models(module=models.segmentation)
    transform = weights.transforms()
    n_classes = None if segments else _n_classes(model)
    also = imagenet_names(IMAGENET_CLASSES) if len(names) == IMAGENET_CLASSES else ()
    return Foreign(
        model,
        where,
        "inputs" if segments else "images",
        lambda items, titles: as_pixels(items, titles, lambda image: transform(image.convert("RGB"))),
        n_classes,
        tuple(each for each in (names, *also) if len(each) == n_classes),
        output=(lambda answer: answer["out"]) if segments else None,
        family=type(model).__module__.rpartition(".")[2],
        notes=notes,
    )


def _n_classes(model: nn.Module) -> int:
    """Return the outputs of the last layer, which is the head of every classifier of torchvision."""
    heads = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return int(heads[-1].weight.shape[0])
