"""Datasets of the Hub's kind, from a folder: splits, columns, labels by name."""

import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value

from safer_bench.errors import BadInput, MissingData
from safer_bench.networks.sources.hub import read, records_of
from tests.made_up.foreign import image_folder, text_dataset


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    text_dataset(tmp_path / "rows", split="train", n=30)
    return text_dataset(tmp_path / "rows", split="test", n=20)


def test_the_split_asked_for_or_the_first_that_judges(folder):
    assert read(f"{folder}:train").n == 30
    assert read(str(folder)).n == read(f"{folder}:test").n == read(f"{folder}:default:test").n == 20


def test_texts_and_classes_are_found(folder):
    records = read(str(folder))
    assert records.kind == "texts"
    assert records.classes == ("bad", "good")
    assert set(records.labels) == {0, 1}
    assert records.item(3).startswith("the ")
    assert records.title(3) == f"hub:{folder}, row 3"


def test_images_are_decoded_when_asked_for(tmp_path):
    paths = sorted(map(str, image_folder(tmp_path / "a", n=2).rglob("*.png")))
    features = Features({"picture": Image(), "class": ClassLabel(names=["cat", "dog"])})
    records = records_of(Dataset.from_dict({"picture": paths, "class": [0, 0, 1, 1]}, features=features), "x")
    assert (records.kind, records.n, records.classes) == ("images", 4, ("cat", "dog"))
    assert records.item(1).size == (24, 24)


def test_labels_that_are_words_are_classes():
    records = records_of(Dataset.from_dict({"text": ["a", "b", "c"], "label": ["pos", "neg", "pos"]}), "x")
    assert (records.classes, list(records.labels)) == (("neg", "pos"), [1, 0, 1])


def test_pairs_of_texts_are_pairs():
    rows = {"idx": [0], "premise": ["it rains"], "hypothesis": ["it is wet"], "label": [1]}
    assert records_of(Dataset.from_dict(rows), "x").item(0) == ("it rains", "it is wet")
    assert records_of(Dataset.from_dict({"question": ["who"], "sentence": ["me"], "label": [1]}), "x").item(0) == (
        "who",
        "me",
    )


def test_columns_that_may_be_meant_are_not_guessed():
    rows = Dataset.from_dict(
        {"title": ["a"], "body": ["b"]}, features=Features({"title": Value("string"), "body": Value("string")})
    )
    with pytest.raises(BadInput) as error:
        records_of(rows, "x")
    assert str(error.value) == (
        "x: its columns are title, body; expected one of images, or of texts called text or sentence or content or document or "
        "review: rename them in a FILE.py:FUNC that gives the data"
    )


def test_what_is_not_there_is_said(folder, tmp_path):
    with pytest.raises(BadInput) as error:
        read(f"{folder}:tset")
    assert str(error.value) == f"hub:{folder}:tset: no config or split is called 'tset'; expected a split (train, test)"
    (tmp_path / "nothing").mkdir()
    with pytest.raises(BadInput, match=r"nothing: cannot be read as a dataset \(.*\); expected files or a card"):
        read(str(tmp_path / "nothing"))
    with pytest.raises(MissingData, match=r"hub:nobody/nothing: not on this machine and not fetched \(.*\); expected an id"):
        read("nobody/nothing")
    with pytest.raises(BadInput, match=r"hub:a:b:c:d: expected hub:ID\[:CONFIG\]\[:SPLIT\]"):
        read("a:b:c:d")
