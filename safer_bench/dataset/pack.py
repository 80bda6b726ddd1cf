"""Run folders and scores -> a dataset tree."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.dataset.documents.render import render_documents
from safer_bench.dataset.earlier import check_scores_are_there, networks_kept, scores_of_both, truth_of_both
from safer_bench.dataset.pinned import X_Y_Z
from safer_bench.dataset.submissions.submission import Submission, read_submission
from safer_bench.dataset.tree import Tree, load_tree, write_tree
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.tables.grouping import grouped
from safer_bench.truth.merge import check_same_code, merge
from safer_bench.truth.probe_tables import KEYS, probe_tables
from safer_bench.truth.request import another_file
from safer_bench.truth.run_folder import PROTOCOL, RunFolder


def pack(
    runs: Sequence[Path], score_folders: Sequence[Path], out: Path, version: str | None = None, base: Path | None = None
) -> None:
    """Write the dataset tree of finished run folders and scores, with the networks of an earlier tree; shards are merged.

    Large ones are packed by spawned processes: a script that calls this needs ``if __name__ == "__main__"``.

    Args:
        runs: run folders of one seed.
        score_folders: folders in the form of a submission; those of one criterion on different networks are merged.
        out: the tree's folder.
        version: ``X.Y.Z`` of the data, where the tree is a release: its documents state it, and its tag on the Hub is that.
        base: an earlier tree, of whose networks those that no run measured are taken over with their scores.

    Raises:
        BadInput: a run that is not finished, runs that contradict each other, networks under other perturbations than the
            rest, scores that do not fit, no version, or one below that of the earlier tree.
    """
    if version is not None and not re.fullmatch(X_Y_Z, version):
        raise BadInput(f"data version {version!r}; expected X.Y.Z, such as 1.0.0")
    if not runs and base is None:
        raise BadInput("nothing to pack: name run folders, or an earlier tree (--base) that gets further scores")
    folders = [RunFolder(path) for path in runs]
    facts: dict[str, Any] = {"protocol": PROTOCOL, "seed": _seed(folders)} if folders else {}
    measured, kept = _measured(folders) if folders else {}, {}
    if base is not None:
        earlier = load_tree(base)
        kept = networks_kept(earlier, measured, facts)
        facts = {name: earlier.manifest[name] for name in ("protocol", "seed")}
        _check_no_older(version, earlier)
    tables = truth_of_both(measured, kept)
    _check_under_the_same(tables["layer_drops"])
    scores = scores_of_both(_scores([read_submission(path, tables) for path in score_folders]), kept)
    if base is not None:
        check_scores_are_there(earlier, scores)
    tables |= {name: table for name, table in scores.items() if table.num_rows}
    facts |= {"version": version} if version else {}
    write_tree(out, tables, facts, partial(render_documents, data_version=version))


def _check_no_older(version: str | None, earlier: Tree) -> None:
    before = earlier.manifest.get("version")
    if version and before and _numbers(version) < _numbers(before):
        raise BadInput(f"data version {version}: {earlier.path} is {before} already; give a later one")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _seed(folders: Sequence[RunFolder]) -> int:
    """Return the seed of all runs, which have to be of today's protocol."""
    for folder in folders:
        if folder.request().get("protocol") != PROTOCOL:
            raise BadInput(f"{folder.path}: measured by another protocol; measure it again in a new folder")
    seeds = {folder.request()["seed"] for folder in folders}
    if len(seeds) != 1:
        raise BadInput(f"the run folders have different seeds ({', '.join(map(str, sorted(seeds)))}); expected one")
    return int(seeds.pop())


def _measured(folders: Sequence[RunFolder]) -> dict[str, pa.Table]:
    """Return the tables of the truth that the runs measured."""
    check_same_code(folders)
    shards = _shards(folders)
    tables = {
        name: merge(name, [folder.table(name) for folder in folders], key)
        for name, key in KEYS.items()
        if name != "networks"
    }
    networks = [folder.table("networks") for folder in folders if "shard" not in folder.request()]
    tables["networks"] = merge("networks", [*networks, *map(_joined, shards)], KEYS["networks"])
    return tables | probe_tables(folders, tables)


def _check_under_the_same(drops: pa.Table) -> None:
    """Refuse networks under other perturbations than the rest: means over perturbations would be of different ones."""
    of_what = ["network", "perturbation"]
    pairs = drops.select(of_what).unify_dictionaries().group_by(of_what).aggregate([])
    of_network = grouped(pairs.to_pylist(), key=lambda row: row["network"])
    under = {name: {row["perturbation"] for row in rows} for name, rows in of_network.items()}
    for (name, one), (other, another) in pairwise(sorted(under.items())):
        if one != another:
            only, without = (name, other) if one - another else (other, name)
            what = min(one - another or another - one)
            raise BadInput(
                f"network {only!r} is measured under {what!r}, and {without!r} is not; measure all networks of a tree under "
                "the same perturbations, or pack them apart"
            )


def _shards(folders: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Return the shards of each run that was measured in shards, each once.

    Raises:
        BadInput: some are missing, or all together do not hold every unit once.
    """
    runs: dict[str, dict[int, RunFolder]] = {}
    for folder in folders:
        request = folder.request()
        if "shard" in request:
            number, of = request.pop("shard")
            del request["share"]
            request.pop("clean", None)  # whose last digits may differ between machines: compared before
            request.pop("files", None)  # which shards of before do not tell: compared where they do
            runs.setdefault(json.dumps([of, request], sort_keys=True), {})[number] = folder
    for key, shards in runs.items():
        of = json.loads(key)[0]
        missing = sorted(set(range(1, of + 1)) - set(shards))
        if missing:
            raise BadInput(
                f"of {of} shards of a run, {', '.join(map(str, missing))} are not among the run folders; give all of them"
            )
        _check_same_files(list(shards.values()))
        units = Counter(unit for shard in shards.values() for unit in shard.units())
        every = next(iter(shards.values())).units(whole=True)
        if units != Counter(every):
            wrong = next(unit for unit in (*every, *units) if units[unit] != 1)
            raise BadInput(
                f"{shards[1].path} and the other shards of its run: of network {wrong.network!r}, the layer of number "
                f"{wrong.layer_index} on examples from {wrong.example_start} is in {units[wrong]} of them, expected in one; "
                "measure the run again in new folders"
            )
    return [list(shards.values()) for shards in runs.values()]


def _check_same_files(shards: Sequence[RunFolder]) -> None:
    """Refuse shards of one run whose networks or perturbations are made by different files."""
    told = [(shard.path, shard.request()["files"]) for shard in shards if "files" in shard.request()]
    for (a, before), (b, now) in pairwise(told):
        found = another_file(before, now)
        if found is not None:
            raise BadInput(f"{b} and {a}, shards of one run, contradict each other: {found}; measure all by the same code")


def _joined(shards: Sequence[RunFolder]) -> pa.Table:
    """Return the table of networks of a run's shards, each of which knows its share of the clean answers."""
    tables = [shard.table("networks").to_pylist() for shard in shards]
    rows = []
    for same in zip(*tables, strict=True):
        outcomes = [np.frombuffer(row["clean_outcomes"], dtype=np.uint8) for row in same]
        joined = {"clean_correct": sum(row["clean_correct"] for row in same)}
        rows.append(same[0] | joined | {"clean_outcomes": np.bitwise_or.reduce(outcomes).tobytes()})
    return schema.build("networks", rows)


def _scores(submissions: Sequence[Submission]) -> dict[str, pa.Table]:
    pairs = Counter(pair for submission in submissions for pair in _scored(submission.scores))
    repeated = sorted(pair for pair, times in pairs.items() if times > 1)
    if repeated:
        raise BadInput("criterion {!r} is in two score folders for network {!r}; give it once".format(*repeated[0]))
    collect: Callable[[str, list[pa.Table]], pa.Table] = lambda name, parts: schema.in_order(  # noqa: E731
        pa.concat_tables([schema.build(name, []), *parts])
    )
    return {
        "criteria": schema.build("criteria", _described(submissions)),
        "scores": collect("scores", [item.scores for item in submissions]),
        "costs": collect("costs", [item.costs for item in submissions if item.costs is not None]),
    }


def _scored(scores: pa.Table) -> Iterable[tuple[str, str]]:
    """Return which criteria scored which networks."""
    found = scores.select(["criterion", "network"]).group_by(["criterion", "network"]).aggregate([])
    return zip(found["criterion"].to_pylist(), found["network"].to_pylist(), strict=True)


def _described(submissions: Sequence[Submission]) -> list[dict[str, object]]:
    """Return a row for each criterion, which all folders describe alike."""
    every = [
        {"criterion": item.name, **item.model_dump(exclude={"name"})}
        for submission in submissions
        for item in submission.card.criteria
    ]
    rows = {item["criterion"]: item for item in every}
    differing = [item["criterion"] for item in every if item != rows[item["criterion"]]]
    if differing:
        raise BadInput(f"the score folders describe criterion {min(differing)!r} in different ways; score it again")
    return list(rows.values())
