"""Distributions made up for tests: a package and its metadata in a folder, as an installer leaves them."""

from pathlib import Path

CODE = """import torch
from {package}.parts import half
import safer_bench as sb

def whole_sum(model, batches):
    "The sum of the absolute weights."
    return {{name[:-7]: float(p.detach().abs().sum()) for name, p in model.named_parameters() if name.endswith("weight")}}

def ours():
    from tests.made_up.networks import tiny_network
    return tiny_network("ours")
"""
PERTURBATIONS = """from {package}.parts import half
import safer_bench as sb

@sb.perturbation(levels=(0.5, 0.25), scale="linear", unit="factor", source="ours", deterministic=True)
def shrunk(weight, level, rng):
    "Smaller by a factor."
    return weight * level * 2 * half
"""


def distribution(root: Path, package: str, points: str, version: str = "1.0", **modules: str) -> Path:
    """Write a distribution ``package-of`` whose entry points are ``points``; return the folder that goes on the path."""
    (root / package).mkdir(parents=True)
    (root / package / "__init__.py").write_text("")
    for name, text in modules.items():
        (root / package / f"{name}.py").write_text(text)
    info = root / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points)
    return root


def whole_distribution(root: Path, package: str, version: str = "1.0") -> Path:
    """Write one that offers a criterion, a perturbation and a network."""
    points = (
        f"[safer_bench.criteria]\nwhole_sum = {package}.code:whole_sum\n"
        f"[safer_bench.perturbations]\nshrunk = {package}.noise:shrunk\n"
        f"[safer_bench.networks]\nours = {package}.code:ours\n"
    )
    noise = PERTURBATIONS.format(package=package)
    return distribution(root, package, points, version, parts="half = 0.5\n", noise=noise, code=CODE.format(package=package))
