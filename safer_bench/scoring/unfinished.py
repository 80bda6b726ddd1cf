"""What criteria said before their submission is whole, kept in its folder so that a repeated command resumes."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from safer_bench.criteria.criterion import Criterion
from safer_bench.criteria.loading import package_of
from safer_bench.errors import BadInput
from safer_bench.measurement.identity import files_of_network, files_of_perturbation
from safer_bench.networks.network import Network
from safer_bench.packages import digests_at
from safer_bench.scoring.sweep import Levels, Scored
from safer_bench.tables import files
from safer_bench.tables.strict_json import read_json
from safer_bench.user_files import digests

FOLDER = "unfinished"
MOST_BYTES = 2**28  # of one file
PACKAGE = Path(__file__).parents[1] / "__init__.py"


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
        self._machinery = [n_sets, torch.__version__, digests_at(PACKAGE)]
        self._networks: dict[str, Any] = {}

    def find(self, network: Network, entry: Criterion, number: int) -> Scored | None:
        """Return what a criterion said of a network on a set of calibration examples, counted from 0, if that was kept."""
        try:
            return Scored(**read_json(self._path(network, entry, number), "", MOST_BYTES))
        except (FileNotFoundError, NotADirectoryError, BadInput, TypeError):  # or what a crash or somebody damaged
            return None

    def keep(self, network: Network, entry: Criterion, number: int, scored: Scored) -> None:
        """Keep what ``find`` is to return.

        Raises:
            BadInput: the folder cannot be written to.
        """
        files.write_text(self._path(network, entry, number), json.dumps(asdict(scored)))

    def remove(self) -> None:
        """Remove all that was kept: the submission is whole."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, network: Network, entry: Criterion, number: int) -> Path:
        """Return a file's place, by all that an answer follows from."""
        if network.name not in self._networks:
            about = [network.name, network.dataset, network.split, network.weights_sha256, network.inputs_sha256]
            self._networks[network.name] = [*about, files_of_network(network)]
        offer, file = package_of(entry.name), self._code.get(entry.name)
        source = digests(file) if file else offer.files() if offer else {}
        seen = self._levels if entry.aware else []
        key = [self._machinery, self._networks[network.name], entry.name, entry.track, source, seen, number]
        return self._folder / f"{files.sha256_of(json.dumps(key).encode())}.json"
