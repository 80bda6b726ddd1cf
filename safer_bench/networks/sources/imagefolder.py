"""``imagefolder:FOLDER``: a folder of images for each class, as torchvision's ImageFolder reads it."""

from pathlib import Path

from safer_bench.errors import BadInput
from safer_bench.networks.sources.pictures import open_image
from safer_bench.networks.sources.records import Records

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
PARTS = {"train", "training", "val", "valid", "validation", "test", "dev"}


def read(what: str) -> Records:
    """Return the images of a folder, none of them opened; classes are the folders in it, in the order of their names.

    Raises:
        BadInput: there is no such folder, no class or image in it, or its folders are parts and not classes.
    """
    root, where = Path(what), f"imagefolder:{what}"
    if not root.is_dir():
        raise BadInput(f"{where}: there is no such folder; expected FOLDER/CLASS/IMAGE")
    classes = tuple(sorted(folder.name for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")))
    if classes and set(map(str.lower, classes)) <= PARTS:
        parts = f"{classes[0]!r}, a part" if len(classes) == 1 else f"the parts {', '.join(map(repr, classes))}"
        raise BadInput(f"{where}: holds {parts} of the data, and no classes; give what holds these: {where}/{classes[-1]}")
    images = [(path, number) for number, name in enumerate(classes) for path in _images_in(root / name)]
    if not images:
        raise BadInput(
            f"{where}: holds no image in a folder of its class; expected FOLDER/CLASS/IMAGE ({' '.join(ENDINGS)})"
        )
    empty = sorted(set(range(len(classes))) - {number for _, number in images})
    if empty:
        raise BadInput(f"{where}: the folder of class {classes[empty[0]]!r} holds no image; fill it, or take it away")
    paths = [path for path, _ in images]
    return Records(
        where,
        "images",
        len(paths),
        lambda row: open_image(paths[row]),
        lambda row: str(paths[row]),
        [number for _, number in images],
        classes,
    )


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
