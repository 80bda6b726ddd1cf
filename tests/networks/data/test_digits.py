"""The images of digits and their parts."""

import numpy as np
import pytest
import torch

from safer_bench.networks.data.parts import load_part, part_indices


def test_digits_parts_cover_all_images_once():
    parts = part_indices("digits")
    assert {name: len(found) for name, found in parts.items()} == {"fit": 677, "calibration": 520, "evaluation": 600}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1797))


def test_digits_are_standardised_images_of_eight_by_eight():
    images, labels = load_part("digits", "fit")
    assert (images.shape, images.dtype, labels.dtype) == ((677, 1, 8, 8), torch.float32, torch.int64)
    assert float(images.mean()) == pytest.approx(0, abs=0.05)
    assert float(images.std()) == pytest.approx(1, abs=0.05)
