"""``timm:NAME[@CHECKPOINT]``: a classifier of timm, with timm's own preprocessing."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from safer_bench.errors import BadInput, needs_package, text_of
from safer_bench.networks.sources.building import built, unknown
from safer_bench.networks.sources.checkpoint import State, without_prefix
from safer_bench.networks.sources.named import split_checkpoint
from safer_bench.networks.sources.pictures import as_pixels
from safer_bench.networks.sources.records import Foreign

ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")  # timm's own prefixes of a repository or folder with a config


def load(what: str, n_classes_of_data: Callable[[], int | None]) -> Foreign:
    """Return a network of timm.

    Args:
        what: ``NAME`` for pretrained weights, ``NAME@FILE``, or ``NAME@random:SEED``.
        n_classes_of_data: how many classes a head at random gets; None for timm's own number.

    Raises:
        UnknownName: timm has no such network.
        BadInput: the checkpoint is none, or of another architecture; or the network has no head.
        MissingData: the pretrained weights are not to be had.
        MissingExtra: timm is not installed.
    """
    with needs_package("timm", "timm"):
        import timm
    name, at, checkpoint = split_checkpoint(what)
    where = f"timm:{name}"
    if not name.startswith(ELSEWHERE) and not timm.is_model(name):
        raise unknown(where, name, timm.list_models(), "timm.list_models()")
    build = partial(_build, name)
    pretrained = partial(timm.create_model, name, pretrained=True)
    model, notes = built(checkpoint if at else None, where, build, n_classes_of_data, _classes_in, pretrained)
    return _foreign(model, where, notes, pretrained=not at)


def _build(name: str, n_classes: int | None) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, num_classes=n_classes)
    except Exception as error:
        raise BadInput(
            f"timm:{name}: timm cannot build it ({text_of(error):.200}); expected a name of timm.list_models()"
        ) from error


def _classes_in(state: State, model: Any) -> int | None:
    """Return the rows of the classifier in a checkpoint."""
    heads = (model.pretrained_cfg or {}).get("classifier") or ()
    state = without_prefix(state, model.state_dict())
    rows = {
        len(state[f"{head}.weight"]) for head in ([heads] if isinstance(heads, str) else heads) if f"{head}.weight" in state
    }
    return rows.pop() if len(rows) == 1 else None


def _foreign(model: Any, where: str, notes: tuple[str, ...], *, pretrained: bool) -> Foreign:
    from timm.data import create_transform, resolve_model_data_config

    if not model.num_classes:
        raise BadInput(f"{where}: it has no head, and gives features; expected a classifier: give a checkpoint with a head")
    config = resolve_model_data_config(model)
    transform = create_transform(**config, is_training=False)
    mode = "L" if config["input_size"][0] == 1 else "RGB"
    settings = model.pretrained_cfg or {}
    return Foreign(
        model,
        where,
        "images",
        lambda items, titles: as_pixels(items, titles, lambda image: transform(image.convert(mode))),
        model.num_classes,
        _class_names(model.num_classes, settings if pretrained else {}),
        family=type(model).__module__.rpartition(".")[2],
        licence=str(settings.get("license") or "") if pretrained else "",
        notes=notes,
    )


def _class_names(n_classes: int, settings: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return the names of the classes: those that the weights carry, and ImageNet's where the number is one of its own."""
    own = tuple(settings.get("label_names") or ())
    return tuple(names for names in (own, *imagenet_names(n_classes)) if len(names) == n_classes)


def imagenet_names(n_classes: int) -> tuple[tuple[str, ...], ...]:
    """Return ImageNet's names (WordNet ids) of so many classes, as timm knows them; none where it knows none."""
    try:
        from timm.data import ImageNetInfo, infer_imagenet_subset
    except ModuleNotFoundError:
        return ()
    subset = infer_imagenet_subset({"num_classes": n_classes})
    return (tuple(ImageNetInfo(subset).label_names()),) if subset else ()
