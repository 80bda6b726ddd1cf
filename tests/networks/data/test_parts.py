"""What is published of the parts of all datasets."""

import json

import pytest

from safer_bench.networks.data.parts import DATASETS, SOURCES, held_out, part_indices
from safer_bench.networks.training.model_card import PUBLISHED
from tests.conftest import ROOT


def test_the_published_indices_are_those_in_use():
    published = json.loads((ROOT / "data_cards" / "safer-bench-zoo" / "parts.json").read_text())
    for dataset, parts in published.items():
        for part, indices in parts.items():
            name = {published: ours for ours, published in PUBLISHED.items()}.get(part, part)
            assert indices == part_indices(dataset)[name].tolist(), (dataset, part)
    assert set(published["fashion_mnist"]) == {"tune", "probe"}
    assert set(published) == set(DATASETS) == set(SOURCES)


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_two_parts_of_a_dataset_that_count_alike_overlap(dataset):
    parts = part_indices(dataset)
    apart = [parts[name] for name in parts if dataset != "fashion_mnist" or name in ("fit", "tune", "calibration")]
    every = [number for part in apart for number in part.tolist()]
    assert len(every) == len(set(every))


def test_trainings_are_watched_on_tune_or_where_there_is_none_on_calibration():
    assert {dataset: held_out(dataset) for dataset in DATASETS} == {
        "digits": "calibration",
        "fashion_mnist": "tune",
        "text": "tune",
    }
