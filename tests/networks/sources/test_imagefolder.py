"""A folder of images: what ImageFolder of torchvision reads, by the same classes and in the same order."""

import pytest
from torchvision.datasets import ImageFolder

from safer_bench.errors import BadInput
from safer_bench.networks.sources.imagefolder import read
from tests.made_up.foreign import image_folder


def test_it_reads_what_torchvision_reads(tmp_path):
    image_folder(tmp_path / "a", ("dog", "cat", "Ape"), n=3)
    (tmp_path / "a" / "cat" / "more").mkdir()
    (tmp_path / "a" / "cat" / "000.png").rename(tmp_path / "a" / "cat" / "more" / "0.PNG")
    (tmp_path / "a" / "cat" / "notes.txt").touch()
    records, theirs = read(str(tmp_path / "a")), ImageFolder(tmp_path / "a")
    assert records.classes == tuple(theirs.classes)
    assert records.n == len(theirs) == 9
    ours = {records.title(row): records.labels[row] for row in range(9)}
    assert ours == dict(theirs.samples)
    assert records.item(0).size == (24, 24)


def test_hidden_folders_are_no_classes(tmp_path):
    (image_folder(tmp_path / "a") / ".thumbnails").mkdir()
    assert read(str(tmp_path / "a")).classes == ("cat", "dog")


ENDINGS = ".jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp"


def test_what_is_no_such_folder_is_named(tmp_path):
    def said(path):
        with pytest.raises(BadInput) as error:
            read(str(path))
        return str(error.value).replace(str(tmp_path), "")

    assert said(tmp_path / "gone") == "imagefolder:/gone: there is no such folder; expected FOLDER/CLASS/IMAGE"
    (tmp_path / "empty").mkdir()
    assert (
        said(tmp_path / "empty")
        == f"imagefolder:/empty: holds no image in a folder of its class; expected FOLDER/CLASS/IMAGE ({ENDINGS})"
    )
    image_folder(tmp_path / "parts", ("train", "val"), n=1)
    assert (
        said(tmp_path / "parts")
        == "imagefolder:/parts: holds the parts 'train', 'val' of the data, and no classes; give what holds these: "
        "imagefolder:/parts/val"
    )
    image_folder(tmp_path / "whole", ("val",), n=1)
    assert (
        said(tmp_path / "whole")
        == "imagefolder:/whole: holds 'val', a part of the data, and no classes; give what holds these: imagefolder:/whole/val"
    )
    (image_folder(tmp_path / "a") / "hen").mkdir()
    assert said(tmp_path / "a") == "imagefolder:/a: the folder of class 'hen' holds no image; fill it, or take it away"
