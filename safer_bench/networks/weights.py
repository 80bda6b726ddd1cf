"""Where trained weights lie, and how they are written and read."""

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from safer_bench.errors import BadInput, MissingData, text_of
from safer_bench.tables import files

PACKAGED = Path(__file__).parent / "weights"
ZOO_TREE = Path("data_cards/safer-bench-zoo")


def weight_folders(dataset: str) -> list[Path]:
    """Return the folders that may hold a dataset's weights, in the order they are searched."""
    if dataset == "digits":
        return [PACKAGED]
    given = os.environ.get("SAFER_BENCH_ZOO")
    return ([Path(given)] if given else []) + [ZOO_TREE, Path(__file__).parents[2] / ZOO_TREE]


def training_folder(dataset: str) -> Path:
    """Return the folder in which training leaves a dataset's weights, unless it is told another."""
    return PACKAGED if dataset == "digits" else ZOO_TREE


def weights_path(name: str, dataset: str) -> Path:
    """Return the file that holds a network's weights.

    Raises:
        MissingData: no folder holds it; the message names them and the command that trains it.
    """
    folders = weight_folders(dataset)
    for folder in folders:
        if (folder / f"{name}.safetensors").is_file():
            return folder / f"{name}.safetensors"
    raise MissingData(
        f"no weights of {name!r}: looked for {name}.safetensors in {', '.join(map(str, folders))}. Set SAFER_BENCH_ZOO "
        f"to the folder that holds it, or train it: safer-bench train {name}"
    )


def load_weights_file(path: Path, model: nn.Module, recipe_sha256: str | None) -> nn.Module:
    """Fill ``model`` with trained weights and set it to evaluation mode.

    Args:
        path: ``NAME.safetensors``.
        model: the bare network.
        recipe_sha256: digest of the recipe that must have trained them; None for any.

    Raises:
        BadInput: the file is damaged, does not fit the model, or was trained by another recipe.
    """
    mend = f"train it again: safer-bench train {path.stem}"
    try:
        with safe_open(path, framework="pt") as file:
            trained_by = (file.metadata() or {}).get("recipe_sha256")
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a mapping
    except SafetensorError as error:
        raise BadInput(f"{path}: damaged ({text_of(error)}); {mend}") from error
    if recipe_sha256 and trained_by != recipe_sha256:
        raise BadInput(f"{path}: trained by recipe {str(trained_by)[:16]}, expected {recipe_sha256[:16]}; {mend}")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise BadInput(f"{path}: does not fit the network ({text_of(error)[:200]}); {mend}") from error
    return model.eval()


def holds_weights(path: Path, recipe_sha256: str) -> bool:
    """Tell whether the file is there, whole, and trained by the recipe of that digest."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("recipe_sha256") == recipe_sha256
    except (OSError, SafetensorError):
        return False


def write_weights(path: Path, model: nn.Module, metadata: dict[str, str]) -> None:
    """Write the state of ``model`` with ``metadata``, complete or not at all.

    Raises:
        BadInput: the file cannot be written.
    """
    files.write_bytes(path, save({key: value.contiguous() for key, value in model.state_dict().items()}, metadata))


def n_parameters(model: nn.Module) -> int:
    """Return the number of trainable entries."""
    return sum(parameter.numel() for parameter in model.parameters())
