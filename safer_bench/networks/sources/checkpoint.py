"""Checkpoints of other people: read without executing anything, taken out of common wrappings, fitted to a model."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from safer_bench.errors import BadInput, text_of

State = dict[str, Tensor]
WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")
OPTIONAL = "num_batches_tracked"  # counts batches of the training, and old checkpoints lack it


def read_checkpoint(path: Path, where: str) -> State:
    """Return the tensors of a checkpoint by name.

    Args:
        path: of safetensors, by its ending, or of ``torch.save``, read with ``weights_only=True``.
        where: the network, for messages.

    Raises:
        BadInput: it is not there, damaged, holds more than tensors and plain values, or no state at all.
    """
    if not path.is_file():
        raise BadInput(f"{where}: there is no checkpoint {str(path)!r}; expected a file of safetensors or torch.save")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except Exception as error:
        raise BadInput(
            f"{where}: {path} cannot be read as weights alone ({_why(path, error):.200}); expected safetensors, or what "
            "torch.save writes of model.state_dict()"
        ) from error
    state = _unwrapped(found)
    if not state:
        raise BadInput(f"{where}: {path} holds {_kind(found)}; expected tensors by name, as model.state_dict() has them")
    return state


def fit(model: nn.Module, state: State, where: str, path: str) -> None:
    """Fill a model with the tensors of a checkpoint; other floating types become float32.

    Args:
        model: float32.
        state: of the checkpoint.
        where: the network, for messages.
        path: of the checkpoint, for messages.

    Raises:
        BadInput: it lacks a tensor, has one too many, or one of another shape; the first is named.
    """
    own = model.state_dict()
    state = without_prefix(state, own)
    missing = [key for key in own if key not in state and not key.endswith(OPTIONAL)]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    problems = [
        *(f"it has no {key}" for key in missing[:1]),
        *(f"it has {key}, which the network has not" for key in unexpected[:1]),
        *(f"its {key} is {tuple(state[key].shape)}, the network's {tuple(own[key].shape)}" for key in shapes[:1]),
    ]
    if problems:
        n = len(missing) + len(unexpected) + len(shapes)
        raise BadInput(
            f"{where}: {path} is of another architecture: {problems[0]} ({n} of {len(own)} tensors do not fit); "
            f"expected the weights of {where}"
        )
    model.load_state_dict(state, strict=False)


def without_prefix(state: State, own: Mapping[str, Any]) -> State:
    """Return a state without what wrappers put before every name, where the model's own names do not begin so."""
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in own):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def precision_note(tensors: Mapping[str, Tensor], where: str) -> tuple[str, ...]:
    """Return what to say of weights that are not float32 where they are kept: one line, or none."""
    kinds = {str(value.dtype).removeprefix("torch.") for value in tensors.values() if value.is_floating_point()}
    other = sorted(kinds - {"float32"})
    if not other:
        return ()
    what = "rounded to float32" if "float64" in other else "read as the float32 numbers that they are"
    return (f"{where}: weights in {', '.join(other)} are {what}",)


def classes_in(state: State, own: Mapping[str, Tensor], n_classes: int) -> int | None:
    """Return the number of classes of a checkpoint's head, where it differs from the model's in nothing else.

    Args:
        state: of the checkpoint.
        own: of a model with ``n_classes`` classes.
        n_classes: of its head.
    """
    state = without_prefix(state, own)
    differing = [key for key in own if key in state and own[key].shape != state[key].shape]
    rows = {state[key].shape[0] for key in differing if state[key].ndim and own[key].shape[:1] == (n_classes,)}
    of_heads = all(state[key].shape[1:] == own[key].shape[1:] and own[key].shape[:1] == (n_classes,) for key in differing)
    return rows.pop() if len(rows) == 1 and of_heads else None


def _load(path: Path) -> Any:
    with torch.serialization.safe_globals([argparse.Namespace]):  # the arguments of a training, beside its weights
        return torch.load(path, map_location="cpu", weights_only=True)


def _why(path: Path, error: Exception) -> str:
    """Return why a file was not read: what it holds that is no tensor, where it is one of ``torch.save``."""
    if not isinstance(error, UnpicklingError):
        return text_of(error)
    try:
        objects = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:
        objects = []
    return f"it holds objects of {', '.join(objects[:3])}" if objects else "it is none of torch.save"


def _unwrapped(found: Any) -> State:
    """Return the tensors by name in what a file holds; none where there are none."""
    for _ in range(len(WRAPPERS)):
        inner = [found[key] for key in WRAPPERS if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)]
        if not inner:
            break
        found = inner[0]
    if not isinstance(found, Mapping):
        return {}
    tensors = {key: value for key, value in found.items() if isinstance(value, Tensor)}
    return tensors if all(isinstance(key, str) for key in tensors) else {}


def _kind(found: Any) -> str:
    if isinstance(found, Mapping):
        return f"a dict of {', '.join(map(str, list(found)[:5]))}" if found else "an empty dict"
    return f"a {type(found).__name__}"
