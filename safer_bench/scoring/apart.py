"""Scores by a submission's code, in the process that is kept for it; what comes back is names and numbers alone."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from safer_bench.criteria.criterion import Criterion
from safer_bench.criteria.loading import criteria, parse_criterion
from safer_bench.errors import BadInput, text_of
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.sets import calibration_sweeps, over_sets
from safer_bench.scoring.sweep import Sweep
from safer_bench.user_files import loaded


class ScoredNetwork(Network):
    """A network without the examples that judge it: what criteria may see, and no more.

    Args:
        network: with calibration examples.
    """

    def __init__(self, network: Network) -> None:
        self.name, self.dataset, self.split, self.model = network.name, network.dataset, network.split, network.model
        self._calibration = network.calibration
        self.layers = network.layers


def hand_over(networks: list[Network], path: Path) -> None:
    """Write networks for ``score_all``, tensors that they share once.

    Classes of people's own files go with them, and the files do not: what else these build or hold may judge the networks.

    Raises:
        BadInput: a model cannot be pickled.
    """
    own = loaded()
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        torch.save([ScoredNetwork(network) for network in networks], path, cloudpickle, pickle.DEFAULT_PROTOCOL)
    except Exception as error:
        raise BadInput(f"networks {', '.join(network.name for network in networks)}: cannot be handed to another process "
                       f"({error!r:.200}); define their models in files") from error  # fmt: skip
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def score_all(job: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
    """Score networks by criteria, as the parent asks.

    Args:
        job: ``networks`` (file), ``code`` (folder), ``criteria`` ``{name: FILE.py:FUNC}``, ``tracks``, ``sets`` and
            ``tasks``, a list of (network, criterion, perturbations ``NAME:LEVEL,...``).
        write: takes ``{network, criterion, rows}``, or ``{refused}``, after which nothing follows.
    """
    tune_allocator()
    criteria()  # reads all modules of ours
    networks = {network.name: network for network in torch.load(job["networks"], weights_only=False)}
    sys.path.insert(0, job["code"])
    at, sweeps, doing = "", list[Sweep](), "its code"
    try:
        entries = {
            name: _entry(name, f"{job['code']}/{spec}", job["tracks"][name]) for name, spec in job["criteria"].items()
        }
        for network, criterion, levels in job["tasks"]:
            doing = f"criterion {criterion!r} on network {network!r}"
            if network != at:
                at, sweeps = network, calibration_sweeps(networks[network], job["sets"])
            rows = over_sets(sweeps, entries[criterion], [parse_perturbation(spec) for spec in levels]).rows
            plain = [[row[key] for key in ("perturbation", "level", "layer", "score", "spread")] for row in rows]
            write({"network": network, "criterion": criterion, "rows": plain})
    except BaseException as error:
        told = str(error) if isinstance(error, BadInput) else f"{doing}: raised {text_of(error, typed=True)}"
        write({"refused": told.replace(f"{job['code']}/", "")})


def _entry(name: str, spec: str, track: str) -> Criterion:
    entry = parse_criterion(spec)
    if entry.track != track:
        raise BadInput(f"the code of {name!r} is of track {entry.track}, submission.yaml says {track}")
    return entry
