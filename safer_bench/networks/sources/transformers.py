"""``transformers:ID_OR_FOLDER[@random:SEED]``: classifiers of text or images, causal language models."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from safer_bench.errors import BadInput, MissingData, needs_package, text_of
from safer_bench.networks.sources.building import at_random
from safer_bench.networks.sources.checkpoint import precision_note
from safer_bench.networks.sources.named import random_seed, split_checkpoint
from safer_bench.networks.sources.pictures import as_pixels
from safer_bench.networks.sources.records import Foreign
from safer_bench.networks.sources.tokens import as_tokens, longest, next_tokens, padded_tokenizer

TAKEN = "models for sequence classification, image classification or causal language modelling"


def load(what: str, n_classes_of_data: Callable[[], int | None]) -> Foreign:  # noqa: ARG001  a config says how many
    """Return a model of transformers with its own tokenizer or image processor.

    Args:
        what: an id of the Hub, or a folder that ``save_pretrained`` wrote; with ``@random:SEED`` its config alone counts.
        n_classes_of_data: unused.

    Raises:
        BadInput: the config names another kind of model, the weights do not fit it, or its tokenizer cannot pad.
        MissingData: it is not to be had.
        MissingExtra: transformers is not installed.
    """
    with needs_package("transformers", "transformers"):
        import transformers
    name, at, checkpoint = split_checkpoint(what)
    where = f"transformers:{Path(name).name if Path(name).is_dir() else name}"
    seed = random_seed(checkpoint, where) if at else None
    if at and seed is None:
        raise BadInput(
            f"{where}: found checkpoint {checkpoint!r}; expected a folder that save_pretrained wrote, which holds it"
        )
    config = _found(transformers.AutoConfig, name, where)
    kind = _kind(config, where)
    if getattr(config, "quantization_config", None) is not None:
        raise BadInput(f"{where}: its weights are quantized already; expected the float weights that they were made from")
    auto = getattr(transformers, f"AutoModelFor{kind}")
    if seed is None:
        model, notes = _pretrained(auto, name, where)
    else:
        model, notes = at_random(lambda: auto.from_config(config), seed), ()
    model = model.float().eval()
    model.config.use_cache = False  # one pass answers all positions: nothing is to be kept for another
    if any(".experts." in name for name, _ in model.named_parameters()) and hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("batched_mm")  # the default's grouped products know no float64
    foreign = _of_images if kind == "ImageClassification" else _of_text
    return foreign(model, name, where, kind, notes)


def _found(auto: Any, name: str, where: str) -> Any:
    """Return what an Auto class of transformers makes of a folder or an id.

    Raises:
        BadInput: a folder does not hold it.
        MissingData: an id is not to be had.
    """
    part = auto.__name__.removeprefix("Auto").lower()
    try:
        return auto.from_pretrained(name)
    except Exception as error:
        said = f"{text_of(error):.200}"
        if Path(name).is_dir():
            raise BadInput(
                f"{where}: no {part} in that folder ({said}); expected what save_pretrained(FOLDER) writes"
            ) from error
        raise MissingData(
            f"{where}: its {part} is not on this machine and could not be fetched ({said}); expected an id of the Hub, or a "
            "folder that save_pretrained wrote"
        ) from error


def _kind(config: Any, where: str) -> str:
    """Return what a model is for, by the architecture that its config names."""
    from transformers.models.auto import modeling_auto

    kinds = {
        "SequenceClassification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "ImageClassification": modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        "CausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    named = (config.architectures or ["none"])[0]
    for kind, names in kinds.items():
        if any(named in ((each,) if isinstance(each, str) else each) for each in names.values()):
            return kind
    raise BadInput(f"{where}: its config names the architecture {named}, which gives no logits of those; expected {TAKEN}")


def _pretrained(auto: Any, name: str, where: str) -> tuple[Any, tuple[str, ...]]:
    """Return a model with all of its weights, and what to say of them."""
    try:
        with _without_bars():
            model, info = auto.from_pretrained(name, dtype="auto", output_loading_info=True)
    except (OSError, ConnectionError) as error:
        raise MissingData(
            f"{where}: its weights are not on this machine and could not be fetched ({text_of(error):.200}); for a trial "
            f"take random ones, {where}@random:0"
        ) from error
    except Exception as error:
        raise BadInput(
            f"{where}: its weights do not fit its config ({text_of(error):.200}); expected those of one model"
        ) from error
    wrong = sorted(map(str, [*info["missing_keys"], *info.get("mismatched_keys", ())]))
    if wrong:
        raise BadInput(
            f"{where}: its weights are of another architecture: they lack {wrong[0]} ({len(wrong)} tensors); expected "
            f"those of {type(model).__name__}"
        )
    left = sorted(info["unexpected_keys"])
    spare = [f"{where}: weights that {type(model).__name__} has no place for are left out: {name}" for name in left[:1]]
    return model, (*precision_note(model.state_dict(), where), *spare)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Let transformers show no bar of its own within the block, which would break ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _of_images(model: Any, name: str, where: str, kind: str, notes: tuple[str, ...]) -> Foreign:  # noqa: ARG001  as below
    import transformers

    processor = _found(transformers.AutoImageProcessor, name, where)

    def transform(image: Any) -> Tensor:
        pixels: Tensor = processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return pixels

    return Foreign(
        model,
        where,
        "images",
        lambda items, titles: {"pixel_values": as_pixels(items, titles, transform)},
        model.config.num_labels,
        _class_names(model.config),
        family=model.config.model_type,
        notes=notes,
    )


def _of_text(model: Any, name: str, where: str, kind: str, notes: tuple[str, ...]) -> Foreign:
    import transformers

    is_causal = kind == "CausalLM"
    tokenizer = padded_tokenizer(_found(transformers.AutoTokenizer, name, where), where, is_causal=is_causal)
    if model.config.pad_token_id is None and not is_causal:
        model.config.pad_token_id = tokenizer.pad_token_id  # by which those that read left to right find the last token

    def prepare(items: Sequence[Callable[[], Any]], titles: Sequence[str]) -> dict[str, Tensor]:
        return as_tokens([item() for item in items], titles, tokenizer, model, longest(tokenizer, model))

    return Foreign(
        model,
        where,
        "texts",
        prepare,
        None if is_causal else model.config.num_labels,
        () if is_causal else _class_names(model.config),
        labels_of=partial(next_tokens, where=where) if is_causal else None,
        class_axis=-1 if is_causal else 1,
        family=model.config.model_type,
        notes=notes,
    )


def _class_names(config: Any) -> tuple[tuple[str, ...], ...]:
    """Return the names of a config's classes, where they are more than LABEL_0, LABEL_1 ..."""
    names = tuple(str(config.id2label.get(number, "")) for number in range(config.num_labels))
    return () if all(name == f"LABEL_{number}" for number, name in enumerate(names)) else (names,)
