"""One line names a network of a source with its data: it can be read again, in any folder, and gives a name for tables."""

import re
from pathlib import Path

import pytest

from safer_bench.errors import BadInput
from safer_bench.networks.loading import load_network
from safer_bench.networks.sources.named import Choice, Named, data_file, is_of_source, split_checkpoint
from safer_bench.tables.columns import NAME


def test_the_line_says_all_that_was_chosen_and_is_read_again(tmp_path):
    choice = Choice(f"imagefolder:{tmp_path}/two words", 40, 0, 3, "mine")
    named = Named.of("timm:resnet18@random:5", choice)
    assert named.spec == (
        f"timm:resnet18@random:5 --data 'imagefolder:{tmp_path}/two words' --examples-from 40 --calibration 0 --data-seed 3 "
        "--name mine"
    )
    assert Named.of(named.spec, Choice()) == named


def test_paths_hold_in_other_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pt").touch()
    (tmp_path / "rows").mkdir()
    (tmp_path / "bert").mkdir()
    root = tmp_path.resolve()
    for network, data, expected in (
        ("timm:x@a.pt", "imagefolder:rows", f"timm:x@{root}/a.pt --data imagefolder:{root}/rows"),
        ("transformers:bert", "hub:rows:test", f"transformers:{root}/bert --data hub:{root}/rows:test"),
        ("transformers:org/bert", "hub:org/rows", "transformers:org/bert --data hub:org/rows"),
        ("transformers:bert@random:1", "my.py:rows", f"transformers:{root}/bert@random:1 --data {root}/my.py:rows"),
    ):
        assert Named.of(network, Choice(data)).spec == expected


def test_a_name_is_made_of_network_checkpoint_and_data_and_names_files():
    for network, data, expected in (
        ("timm:resnet18@/x/best.safetensors", "imagefolder:/y/flowers", "timm-resnet18-best-imagefolder-flowers"),
        ("transformers:org/bert-tiny", "hub:org/imdb:plain:test", "transformers-bert-tiny-hub-imdb-plain-test"),
        ("timm:vit_tiny.a1_in1k@random:3", "/z/my rows.py:make", "timm-vit_tiny.a1_in1k-random-3-my-rows-make"),
    ):
        assert Named.of(network, Choice(data)).name == expected
        assert re.fullmatch(NAME, expected)


def test_what_is_published_of_its_origin_names_no_folder(tmp_path):
    (tmp_path / "best.pt").touch()
    for network, data, expected in (
        (
            f"timm:resnet18@{tmp_path}/best.pt",
            f"imagefolder:{tmp_path}/flowers",
            "timm:resnet18@best.pt on imagefolder:flowers",
        ),
        ("transformers:org/bert", "hub:org/imdb:test", "transformers:org/bert on hub:org/imdb:test"),
        ("timm:x@random:1", f"{tmp_path}/my.py:rows", "timm:x@random:1 on my.py:rows"),
    ):
        assert Named.of(network, Choice(data)).origin == expected


def test_long_names_are_cut_and_stay_apart():
    names = {Named.of("timm:x", Choice(f"imagefolder:/{'a' * 90}{end}")).name for end in "bc"}
    assert len(names) == 2
    assert all(len(name) == 80 for name in names)


def test_a_path_with_an_at_sign_is_no_checkpoint(tmp_path):
    assert split_checkpoint("resnet18@/x/best.pt") == ("resnet18", "@", "/x/best.pt")
    assert split_checkpoint("/models/a@b") == ("/models/a@b", "", "")
    assert split_checkpoint("/models/a@b@random:1") == ("/models/a@b", "@", "random:1")


def test_the_users_file_of_the_data_is_found():
    assert data_file("timm:x --data /a/my.py:rows") == Path("/a/my.py")
    assert data_file("timm:x --data imagefolder:/a") is None
    assert [is_of_source(spec) for spec in ("timm:x", "timm.py:x", "timm", "a/timm.py:x", "hub:x")] == [True, *[False] * 4]


@pytest.mark.parametrize(
    ("spec", "choice", "message"),
    [
        ("timm:x", Choice(), "timm:x: on which data? Expected --data imagefolder:FOLDER, hub:ID[:CONFIG][:SPLIT] or FILE.py:FUNC"),
        ("timm:", Choice("hub:x"), "'timm:': a source without a network; expected timm:NAME"),
        ("timm:x", Choice("flowers"), "--data flowers: found no source of data; expected imagefolder:FOLDER, hub:ID[:CONFIG][:SPLIT] or FILE.py:FUNC"),
        ("timm:x --data hub:y", Choice("hub:z"), "timm:x --data hub:y: says what is chosen already; found --data hub:z beside it, give one of both"),
        ("timm:x --dat hub:y", Choice(), "timm:x --dat hub:y: --dat says nothing; expected pairs of --data, --examples-from, --calibration, --data-seed, --name and a value"),
        ("timm:x --data hub:y --calibration few", Choice(), "--calibration few: expected a whole number, 0 or more"),
        ("digits_mlp", Choice("hub:y"), "digits_mlp: brings its own examples and name; --data is for networks of timm:, torchvision: and transformers:"),
        ("mine.py:build", Choice(data_seed=1), "mine.py:build: brings its own examples and name; --data-seed is for networks of timm:, torchvision: and transformers:"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(spec, choice, message):
    with pytest.raises(BadInput) as error:
        load_network(spec, **{key: getattr(choice, key) for key in Choice.__slots__})
    assert str(error.value) == message
