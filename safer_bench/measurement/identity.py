"""By what a run knows a network and a user's code again: its answers, and the files that make it."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from safer_bench.errors import BadInput
from safer_bench.measurement.answers.canonical import CanonicalModel, judge
from safer_bench.networks import loading as networks
from safer_bench.networks.examples import counted
from safer_bench.networks.network import Network
from safer_bench.networks.sources.named import data_file, is_of_source
from safer_bench.perturbations import loading as perturbations
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.registry import is_file_spec
from safer_bench.tables.files import sha256_of
from safer_bench.truth.request import other_answers
from safer_bench.user_files import digests

N_EXAMPLES = 64  # whose outcomes are kept, of the first
N_LOGITS = (3, 8)  # examples and classes whose logits are kept: of as many first ones
DIGITS = 6  # last ones differ between machines, so that they are compared by a tolerance and never hashed

_clean: WeakKeyDictionary[Network, dict[str, Any]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Identity:
    """What a network is known by: SHA-256 of weights and of inputs, its clean answers, and the user's files that make it."""

    weights: str
    inputs: str
    clean: dict[str, Any]
    files: dict[str, str]

    @classmethod
    def of(cls, network: Network) -> Self:
        """Return that of a network."""
        return cls(network.weights_sha256, network.inputs_sha256, clean_answers(network), files_of_network(network))

    def difference(self, other: Self) -> str | None:
        """Return what another one did, in words; None where it is the same network."""
        if (self.weights, self.inputs) != (other.weights, other.inputs):
            return "built other weights or images"
        if self.files != other.files:
            names = self.files.keys() | other.files.keys()
            return f"is made by another {min(name for name in names if self.files.get(name) != other.files.get(name))}"
        return None if other_answers({"": self.clean}, {"": other.clean}) is None else "answers otherwise"


def clean_answers(network: Network) -> dict[str, Any]:
    """Return what an unperturbed network answers to its first examples, as a request keeps it; computed once."""
    if network not in _clean:
        inputs, labels = network.examples(0, N_EXAMPLES)
        logits = CanonicalModel(network).logits(inputs)
        right = judge(logits, labels).predictions == counted(labels)
        few = logits[: N_LOGITS[0]].flatten(1)[:, : N_LOGITS[1]].tolist()
        _clean[network] = {
            "logits": [[_written(value) for value in of_one] for of_one in few],
            "examples": len(labels),
            "outcomes": sha256_of(np.packbits(right).tobytes()),
        }
    return _clean[network]


def _written(value: float) -> float | str:
    """Return a logit to six digits; JSON knows no infinity."""
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else str(value)


def files_of_network(network: Network) -> dict[str, str]:
    """Return the SHA-256 of the user's or package's files that make a network; of one of the zoo or of a script, of none."""
    offer, spec = networks.package_of(network), network.spec
    if offer is not None:
        return offer.files()
    if spec is None or not is_file_spec(spec):
        return {}
    path = data_file(spec) if is_of_source(spec) else Path(spec.rpartition(":")[0])
    return {} if path is None else digests(path)


def files_of_perturbation(entry: Perturbation) -> dict[str, str]:
    """Return the SHA-256 of the user's or package's files that make a perturbation; of a built-in one of none."""
    if entry.function.__module__.startswith("safer_bench."):
        return {}
    offer = perturbations.package_of(entry)
    if offer is not None:
        return offer.files()
    path = Path(inspect.getfile(entry.function))
    return digests(path) if path.is_file() else {path.name: sha256_of(_source(entry).encode())}


def source_of(entry: Perturbation) -> str:
    """Return the SHA-256 of the file that defines a perturbation which is not built in."""
    path = Path(inspect.getfile(entry.function))
    return sha256_of(path.read_bytes()) if perturbations.package_of(entry) else files_of_perturbation(entry)[path.name]


def _source(entry: Perturbation) -> str:
    """Return the text of a function that stands in no file, such as in a notebook.

    Raises:
        BadInput: it stands nowhere.
    """
    try:
        return inspect.getsource(entry.function)
    except (OSError, TypeError) as error:
        raise BadInput(
            f"perturbation {entry.name!r} stands in no file, so that a run could not tell an edited one; put it in one"
        ) from error
