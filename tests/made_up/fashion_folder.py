"""What somebody has who wants to quantize a network: ``python -m tests.made_up.fashion_folder`` in a folder of its own.

Both come to lie in the working folder: ``photos/val``, 400 images of Fashion-MNIST in a folder for each class, and
``checkpoint.safetensors``, a network of timm trained on others of its images for a minute.
"""

from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from torch.optim.swa_utils import update_bn

from safer_bench.networks.data.fashion_mnist import read_part

NETWORK = "test_resnet"
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
N_TRAIN, N_VAL, EPOCHS = 800, 400, 3


def pictures(part, n):
    """Return the first images of a part of Fashion-MNIST as they look, and the number of each one's class."""
    images, labels = read_part(part)
    pixels = (images[:n, 0] * 0.3530 + 0.2860).clip(0.0, 1.0)
    return [Image.fromarray((255 * each).round().astype("uint8")) for each in pixels], labels[:n].tolist()


def write_folder(folder):
    """Write a PNG of each image into the folder of its class, in the order in which a head would number them."""
    for number, (image, label) in enumerate(zip(*pictures("evaluation", N_VAL), strict=True)):
        path = folder / f"{label}-{CLASSES[label]}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def train():
    """Return a network of timm, trained on a few images."""
    import timm  # not by everything that collects tests
    from timm.data import create_transform, resolve_model_data_config

    torch.manual_seed(0)
    model = timm.create_model(NETWORK, num_classes=len(CLASSES))
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    images, numbers = pictures("fit", N_TRAIN)
    inputs, labels = torch.stack([transform(image.convert("RGB")) for image in images]), torch.tensor(numbers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(labels)).split(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    update_bn(inputs.split(50), model)  # so few steps leave running means far behind
    return model


if __name__ == "__main__":
    write_folder(Path("photos/val"))
    save_file(train().state_dict(), "checkpoint.safetensors")
