"""Images to one tensor, by the transform that belongs to the model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from safer_bench.errors import BadInput, text_of


def open_image(path: Path) -> Any:
    """Return an image of PIL, decoded to the end.

    Raises:
        Exception: whatever PIL raises of a file that is no whole image.
    """
    from PIL import Image  # what measures tensors alone never needs it

    with Image.open(path) as image:
        image.load()
        return image.copy()


def as_pixels(items: Sequence[Callable[[], Any]], titles: Sequence[str], transform: Callable[[Any], Tensor]) -> Tensor:
    """Return images as one float32 tensor ``(n, ...)``.

    Args:
        items: each opens one image of PIL.
        titles: what to call them.
        transform: of the model: an image to a tensor, always of one shape.

    Raises:
        BadInput: an image cannot be read, or two have other shapes.
    """
    pixels: Tensor | None = None
    for row, (opened, title) in enumerate(zip(items, titles, strict=True)):
        try:
            one = transform(opened())
        except Exception as error:
            raise BadInput(
                f"{title}: cannot be read as an image ({text_of(error):.200}); put a whole one in its place, or take it away"
            ) from error
        if pixels is None:
            pixels = torch.empty(len(items), *one.shape)
        if one.shape != pixels.shape[1:]:
            raise BadInput(
                f"{title}: {tuple(one.shape)} after the model's own transform, {titles[0]} {tuple(pixels.shape[1:])}; "
                "expected one shape: give a model whose transform resizes and crops, or images of one size"
            )
        pixels[row] = one
    return torch.empty(0) if pixels is None else pixels
