"""Networks that were never published, in a file of their maintainer's, and submissions of code that try what code may try."""

from pathlib import Path

import yaml

NETWORKS = {"quokka": "test", "numbat": "test", "dunnart": "test", "bilby": "validation"}
LAYERS = ("pouch", "whisker", "burrow")
FILE = """import torch
from torch import nn
import safer_bench as sb

EVALUATION = torch.ones(3)  # what the file knows and the network does not


class Marsupial(nn.Module):
    def __init__(self):
        super().__init__()
        self.pouch, self.whisker, self.burrow = nn.Linear(6, 7), nn.Linear(7, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.burrow(torch.tanh(self.whisker(torch.tanh(2 * self.pouch(x)))))


def built(name, split, seed):
    torch.manual_seed(seed)
    model = Marsupial().eval()
    inputs = torch.randn(60, 6)
    labels = model(inputs).argmax(1)
    labels[::5] = (labels[::5] + 1) % 3
    calibration = (inputs[40:], labels[40:])
    return sb.Network(model, inputs[:40], labels[:40], name=name, split=split, family=f"kin_{name}", calibration=calibration)


"""
PARTS = "    layers = [name for name, part in model.named_modules() if hasattr(part, 'weight')]\n"


def networks_file(folder: Path, *, seed: int = 0) -> list[str]:
    """Write a file that builds the networks; return what names each: ``FILE.py:FUNC``."""
    functions = [
        f"def {name}():\n    return built({name!r}, {split!r}, {seed + number})\n"
        for number, (name, split) in enumerate(NETWORKS.items())
    ]
    folder.mkdir(exist_ok=True)
    (folder / "nets.py").write_text(FILE + "\n\n".join(functions))
    return [f"{folder / 'nets.py'}:{name}" for name in NETWORKS]


def submission(root: Path, name: str, *codes: str, track: str = "blind", **more: tuple[str, str]) -> Path:
    """Write a submission without scores: of a criterion called like its folder, where there is code, and of ``more``.

    Args:
        root: of the submissions.
        name: of folder and criterion.
        codes: one or none: the body of a function of (model, batches), which knows the names of ``layers``, or a whole file.
        track: of that criterion.
        more: ``{name: (track, code)}`` of further criteria.
    """
    folder = root / name
    folder.mkdir(parents=True)
    items = []
    for each, (its_track, code) in ({name: (track, "".join(codes))} | more).items():
        items.append({"name": each, "track": its_track} | ({"code": f"{each}.py:{each}"} if code else {}))
        if code:
            text = code if "def " in code else f"def {each}(model, batches):\n{PARTS}    {code}\n"
            (folder / f"{each}.py").write_text(text)
    (folder / "submission.yaml").write_text(yaml.safe_dump({"name": name, "criteria": items}))
    return folder
