"""What criteria said before their submission is whole, kept in its folder so that a repeated command resumes."""

import inspect
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import safer_bench
from safer_bench.criteria.criterion import Criterion
from safer_bench.criteria.loading import package_of
from safer_bench.errors import BadInput
from safer_bench.measurement.identity import files_of_network, files_of_perturbation
from safer_bench.networks.network import Network
from safer_bench.packages import digests_at
from safer_bench.scoring.sweep import Levels, Scored, Sweep
from safer_bench.tables import files
from safer_bench.tables.strict_json import read_json
from safer_bench.user_files import digests

FOLDER = "unfinished"
MOST_BYTES = 2**28  # of one file


class Unfinished:
    """Answers of single criteria on single sets of calibration examples, by all that they follow from.

    A part that is found again was said by the same code of the same network, weights, examples and levels.

    Args:
        out: the submission's folder; nothing is made there before something is kept.
        code: the file of each criterion that comes from one, by the criterion's name.
        levels: the perturbations that aware criteria are asked about.
        n_sets: of calibration examples.
    """

    def __init__(self, out: Path, code: Mapping[str, Path], levels: Levels, n_sets: int) -> None:
        self._folder, self._code = out / FOLDER, code
        self._levels = [(each.name, list(values), files_of_perturbation(each)) for each, values in levels]
        self._machinery = [n_sets, torch.__version__, digests_at(Path(inspect.getfile(safer_bench)))]
        self._networks: dict[str, Any] = {}

    def scored(self, sweep: Sweep, entry: Criterion, levels: Levels, number: int) -> Scored:
        """Return what a criterion says of a set of calibration examples: from the folder, or by running it.

        Args:
            sweep: over the set.
            entry: the criterion.
            levels: as the class was given.
            number: the set's, from 0.

        Raises:
            BadInput: the criterion failed, or the folder cannot be written to.
        """
        path = self._folder / f"{files.sha256_of(json.dumps(self._key(sweep.network, entry, number)).encode())}.json"
        found = _read(path)
        if found is None:
            found = sweep.scored(entry, levels)
            files.write_text(path, json.dumps(asdict(found)))
        return found

    def remove(self) -> None:
        """Remove all that was kept: the submission is whole."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _key(self, network: Network, entry: Criterion, number: int) -> list[Any]:
        """Return all that an answer follows from."""
        if network.name not in self._networks:
            about = [network.name, network.dataset, network.split, network.weights_sha256, network.inputs_sha256]
            self._networks[network.name] = [*about, files_of_network(network)]
        offer, file = package_of(entry.name), self._code.get(entry.name)
        source = digests(file) if file else offer.files() if offer else {}
        seen = self._levels if entry.aware else []
        return [self._machinery, self._networks[network.name], entry.name, entry.track, source, seen, number]


def _read(path: Path) -> Scored | None:
    """Return what was kept; None where there is nothing, or what a crash or somebody damaged."""
    try:
        return Scored(**read_json(path, "", MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError, BadInput, TypeError):
        return None
